/* Coordinates: a click at a place that is known by the geometry gives a contour around that place, in millimetres and in
 * display pixels, whichever space the click is in. The small model draws a disc around a click. What the header says about
 * origin, axes and display is written out here again. The packaged model finds a cyst where its samples lie.
 *
 *     plane MODEL PACKAGED_MODEL
 */
#define _GNU_SOURCE
#include "common.h"

#include <math.h>

/* Side of the small model's input. */
#define INPUT 32

struct point {
  double x, y;
};

struct rect {
  double x0, y0, x1, y1;
};

/* The point of the plane at a line and a sample. */
static struct point plane_of(const sonotrace_frame_descriptor_t *frame, double line, double sample) {
  double across = line / (frame->lines - 1), along = sample / (frame->samples - 1);
  double depth = frame->first_depth_mm + along * (frame->last_depth_mm - frame->first_depth_mm);
  double angle = frame->first_angle_rad + across * (frame->last_angle_rad - frame->first_angle_rad);
  double radius = frame->apex_radius_mm + depth;
  switch (frame->geometry) {
  case SONOTRACE_GEOMETRY_LINEAR:
    return (struct point){frame->left_mm + across * (frame->right_mm - frame->left_mm), depth};
  case SONOTRACE_GEOMETRY_CONVEX:
  case SONOTRACE_GEOMETRY_PHASED:
    return (struct point){radius * sin(angle), radius * cos(angle) - frame->apex_radius_mm};
  case SONOTRACE_GEOMETRY_RASTER:
    return (struct point){frame->left_mm + sample * frame->spacing_x_mm, frame->top_mm + line * frame->spacing_y_mm};
  default: return (struct point){sample, line};
  }
}

/* The rectangle around the field of view, found by walking along its border. A picture ends half a pixel beyond the centres of
 * the outermost pixels of its content. */
static struct rect view_of(const sonotrace_frame_descriptor_t *frame) {
  int is_picture = frame->domain == SONOTRACE_DOMAIN_SCAN_CONVERTED;
  double line0 = 0, sample0 = 0, line1 = frame->lines - 1, sample1 = frame->samples - 1;
  if (is_picture) {
    line0 = frame->content_row - 0.5;
    sample0 = frame->content_column - 0.5;
    line1 = line0 + (frame->content_rows > 0 ? frame->content_rows : frame->lines);
    sample1 = sample0 + (frame->content_columns > 0 ? frame->content_columns : frame->samples);
  }
  struct rect view = {INFINITY, INFINITY, -INFINITY, -INFINITY};
  for (int step = 0; step <= 10000; step += 1) {
    double part = step / 10000.0, line = line0 + part * (line1 - line0), sample = sample0 + part * (sample1 - sample0);
    const struct point border[4] = {plane_of(frame, line, sample0), plane_of(frame, line, sample1),
                                    plane_of(frame, line0, sample), plane_of(frame, line1, sample)};
    for (int at = 0; at < 4; at += 1) {
      view.x0 = fmin(view.x0, border[at].x);
      view.y0 = fmin(view.y0, border[at].y);
      view.x1 = fmax(view.x1, border[at].x);
      view.y1 = fmax(view.y1, border[at].y);
    }
  }
  return view;
}

/* How the display shows the plane: pixel 0 lies at `origin`, and a pixel has `pitch` units of the plane. */
struct display {
  struct point origin, pitch;
};

static struct display display_of(const sonotrace_frame_descriptor_t *frame, uint32_t width, uint32_t height) {
  if (width == 0) {
    struct point first = plane_of(frame, 0, 0), second = plane_of(frame, 1, 1);
    return (struct display){first, {second.x - first.x, second.y - first.y}};
  }
  struct rect view = view_of(frame);
  double pitch = fmax((view.x1 - view.x0) / width, (view.y1 - view.y0) / height);
  return (struct display){{(view.x0 + view.x1) / 2 - (width - 1) / 2.0 * pitch,
                           (view.y0 + view.y1) / 2 - (height - 1) / 2.0 * pitch},
                          {pitch, pitch}};
}

static struct point on_display(struct display display, struct point at) {
  return (struct point){(at.x - display.origin.x) / display.pitch.x, (at.y - display.origin.y) / display.pitch.y};
}

static void must_be_near(const char *what, double seen, double expected, double allowed) {
  /* Written so that NaN fails. */
  if (!(fabs(seen - expected) <= allowed)) {
    fprintf(stderr, "%s is %g, not %g within %g\n", what, seen, expected, allowed);
    exit(1);
  }
}

/* The measures are those of the contour's points. */
static void must_measure(const sonotrace_overlay_object_t *object) {
  double area = 0, perimeter = 0, longest = 0, x = 0, y = 0, axis = 0;
  uint32_t points = object->polygon_points[0];
  CHECK(object->polygons == 1 && points == object->points && points >= 8);
  for (uint32_t at = 0; at < points; at += 1) {
    const float *a = object->contour_mm[at], *b = object->contour_mm[(at + 1) % points];
    double cross = (double)a[0] * b[1] - (double)b[0] * a[1];
    area += cross / 2;
    x += cross * (a[0] + b[0]) / 6;
    y += cross * (a[1] + b[1]) / 6;
    perimeter += hypot(b[0] - a[0], b[1] - a[1]);
    for (uint32_t other = 0; other < at; other += 1) {
      const float *c = object->contour_mm[other];
      double length = hypot(c[0] - a[0], c[1] - a[1]);
      if (length > longest) {
        longest = length;
        axis = atan2(c[1] - a[1], c[0] - a[0]);
      }
    }
  }
  /* Positive: clockwise on the display, as y points down. */
  CHECK(area > 0);
  double low = INFINITY, high = -INFINITY;
  for (uint32_t at = 0; at < points; at += 1) {
    double across = object->contour_mm[at][1] * cos(axis) - object->contour_mm[at][0] * sin(axis);
    low = fmin(low, across);
    high = fmax(high, across);
  }
  must_be_near("area_mm2", object->area_mm2, area, 1e-3 * area);
  must_be_near("perimeter_mm", object->perimeter_mm, perimeter, 1e-3 * perimeter);
  must_be_near("long_axis_mm", object->long_axis_mm, longest, 1e-3 * longest);
  must_be_near("short_axis_mm", object->short_axis_mm, high - low, 1e-2 * longest);
  must_be_near("centroid_mm[0]", object->centroid_mm[0], x / area, 1e-3 * longest);
  must_be_near("centroid_mm[1]", object->centroid_mm[1], y / area, 1e-3 * longest);
  const sonotrace_ellipse_t *ellipse = &object->ellipse;
  double a = ellipse->semi_major_mm, b = ellipse->semi_minor_mm, h = (a - b) * (a - b) / ((a + b) * (a + b));
  CHECK(a >= b && b > 0);
  must_be_near("area of the ellipse", M_PI * a * b, area, 0.05 * area);
  must_be_near("centre of the ellipse", hypot(ellipse->centre_mm[0] - x / area, ellipse->centre_mm[1] - y / area), 0,
               1e-3 * longest);
  must_be_near("circumference_mm", ellipse->circumference_mm, M_PI * (a + b) * (1 + 3 * h / (10 + sqrt(4 - 3 * h))),
               1e-3 * perimeter);
  /* An object at the border has no volume. */
  const sonotrace_volume_t *volume = &object->volume;
  int at_border = (object->valid & SONOTRACE_VALID_AT_BORDER) != 0;
  CHECK(((object->valid & SONOTRACE_VALID_VOLUME) == 0) == at_border);
  if (at_border) {
    CHECK(volume->discs_ml == 0 && volume->area_length_ml == 0 && volume->length_mm == 0);
    return;
  }
  double length = hypot(volume->axis_mm[1][0] - volume->axis_mm[0][0], volume->axis_mm[1][1] - volume->axis_mm[0][1]);
  must_be_near("length_mm", volume->length_mm, length, 1e-3 * longest);
  must_be_near("area_length_ml", volume->area_length_ml, 8 * area * area / (3 * M_PI * length) / 1000,
               2e-3 * volume->area_length_ml);
  must_be_near("discs_ml", volume->discs_ml, volume->area_length_ml, 0.1 * volume->area_length_ml);
}

/* Clicks at a line and a sample, in one of the spaces, and checks the contour. */
static void click_at(const char *model, sonotrace_frame_descriptor_t frame, uint32_t width, uint32_t height,
                     uint32_t space, double line, double sample) {
  sonotrace_config_t config = small_config();
  config.display_width = width;
  config.display_height = height;
  struct scan scan = open_scan(model, &config);
  struct display display = display_of(&frame, width, height);
  struct point expected = plane_of(&frame, line, sample), shown = on_display(display, expected), from = expected;
  if (space == SONOTRACE_SPACE_LINE_SAMPLE) {
    from = (struct point){sample, line};
  } else if (space == SONOTRACE_SPACE_DISPLAY) {
    from = shown;
  }
  sonotrace_prompt_t click = small_click();
  click.space = space;
  click.from[0] = (float)from.x;
  click.from[1] = (float)from.y;
  CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
  CHECK_OK(commit(scan.session, frame));
  CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  const sonotrace_overlay_t *overlay = NULL;
  CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
  CHECK(overlay->object_count == 1 && overlay->answer_count == 1);
  CHECK(overlay->answers[0].outcome == SONOTRACE_PROMPT_OUTCOME_SERVED);
  const sonotrace_overlay_object_t *object = &overlay->objects[0];
  struct rect view = view_of(&frame);
  /* Half a pixel of the model's input. */
  double allowed = fmax(view.x1 - view.x0, view.y1 - view.y0) / INPUT / 2;
  must_be_near("centroid_px[0]", object->centroid_px[0], shown.x, allowed / display.pitch.x);
  must_be_near("centroid_px[1]", object->centroid_px[1], shown.y, allowed / display.pitch.y);
  CHECK(object->valid & SONOTRACE_VALID_PIXELS);
  CHECK(object->points > 0 && object->points <= SONOTRACE_CONTOUR_POINTS_MAX);
  const uint32_t millimetres = SONOTRACE_VALID_MILLIMETRES | SONOTRACE_VALID_ELLIPSE;
  if (frame.geometry == SONOTRACE_GEOMETRY_RASTER_UNKNOWN) {
    CHECK((object->valid & millimetres) == 0);
    CHECK(object->area_mm2 == 0 && object->perimeter_mm == 0 && object->long_axis_mm == 0 && object->short_axis_mm == 0);
    CHECK(object->centroid_mm[0] == 0 && object->centroid_mm[1] == 0 && object->ellipse.semi_major_mm == 0);
    for (uint32_t at = 0; at < SONOTRACE_CONTOUR_POINTS_MAX; at += 1) {
      CHECK(object->contour_mm[at][0] == 0 && object->contour_mm[at][1] == 0);
    }
  } else {
    CHECK((object->valid & millimetres) == millimetres);
    must_be_near("centroid_mm[0]", object->centroid_mm[0], expected.x, allowed);
    must_be_near("centroid_mm[1]", object->centroid_mm[1], expected.y, allowed);
    must_be_near("area_px2", object->area_px2 * display.pitch.x * display.pitch.y, object->area_mm2,
                 1e-3 * object->area_mm2);
    for (uint32_t at = 0; at < object->points; at += 1) {
      struct point pixel =
          on_display(display, (struct point){object->contour_mm[at][0], object->contour_mm[at][1]});
      must_be_near("contour_px[0]", object->contour_px[at][0], pixel.x, 0.05);
      must_be_near("contour_px[1]", object->contour_px[at][1], pixel.y, 0.05);
    }
    must_measure(object);
  }
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

static sonotrace_frame_descriptor_t sector(uint32_t geometry, float apex_radius_mm) {
  sonotrace_frame_descriptor_t frame = small_frame(1);
  frame.geometry = geometry;
  frame.left_mm = frame.right_mm = 0;
  frame.apex_radius_mm = apex_radius_mm;
  frame.first_angle_rad = -0.4f;
  frame.last_angle_rad = 0.6f;
  frame.first_depth_mm = 4;
  frame.last_depth_mm = 84;
  return frame;
}

static sonotrace_frame_descriptor_t picture(uint32_t geometry) {
  sonotrace_frame_descriptor_t frame = small_frame(1);
  frame.domain = SONOTRACE_DOMAIN_SCAN_CONVERTED;
  frame.geometry = geometry;
  frame.lines = 60;
  frame.samples = 90;
  frame.stride_bytes = 96;
  frame.payload_bytes = 60 * 96;
  frame.content_column = 10;
  frame.content_row = 4;
  frame.content_columns = 70;
  frame.content_rows = 50;
  if (geometry == SONOTRACE_GEOMETRY_RASTER) {
    frame.left_mm = -13;
    frame.top_mm = 3;
    frame.spacing_x_mm = 0.5f;
    frame.spacing_y_mm = 0.8f;
  }
  return frame;
}

/* The field of view is the rectangle around a sector: clicks in its corners are served, clicks beside it are not. */
static void corners(const char *model) {
  sonotrace_config_t config = small_config();
  sonotrace_frame_descriptor_t frame = sector(SONOTRACE_GEOMETRY_CONVEX, 50);
  const struct rect view = view_of(&frame);
  const double inside = 0.1;
  const struct {
    double x, y;
    uint32_t outcome;
  } clicks[] = {
      {view.x0 + inside, view.y1 - inside, SONOTRACE_PROMPT_OUTCOME_SERVED},
      {view.x1 - inside, view.y0 + inside, SONOTRACE_PROMPT_OUTCOME_SERVED},
      {view.x0 - inside, (view.y0 + view.y1) / 2, SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD},
      {view.x1 + inside, (view.y0 + view.y1) / 2, SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD},
      {0, view.y0 - inside, SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD},
      {0, view.y1 + inside, SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD},
  };
  struct scan scan = open_scan(model, &config);
  for (uint32_t at = 0; at < sizeof clicks / sizeof clicks[0]; at += 1) {
    sonotrace_prompt_t click = small_click();
    click.object = at + 1;
    click.from[0] = (float)clicks[at].x;
    click.from[1] = (float)clicks[at].y;
    CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
    frame.seq = frame.t_acq_ns = at + 1;
    CHECK_OK(commit(scan.session, frame));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
    const sonotrace_overlay_t *overlay = NULL;
    CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
    CHECK(overlay->answer_count == 1 && overlay->answers[0].outcome == clicks[at].outcome);
  }
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

/* A dark cyst in noise, drawn into the samples by the geometry: the packaged model's contour lies around it, in millimetres. */
static void cyst(const char *model, sonotrace_frame_descriptor_t frame) {
  const struct point centre = {20, 45};
  const double radius_mm = 10;
  sonotrace_config_t config = small_config();
  config.payload_bytes = 1 << 16;
  struct scan scan = open_scan(model, &config);
  frame.lines = 128;
  frame.samples = frame.stride_bytes = 512;
  frame.payload_bytes = 128 * 512;
  sonotrace_frame_slot_t slot;
  CHECK_OK(sonotrace_frame_acquire(scan.session, &slot));
  uint32_t noise = 1;
  for (uint32_t line = 0; line < frame.lines; line += 1) {
    for (uint32_t sample = 0; sample < frame.samples; sample += 1) {
      struct point at = plane_of(&frame, line, sample);
      noise = noise * 1664525 + 1013904223;
      int is_inside = hypot(at.x - centre.x, at.y - centre.y) < radius_mm;
      slot.payload[line * frame.stride_bytes + sample] = (uint8_t)(is_inside ? noise >> 29 : 100 + (noise >> 26));
    }
  }
  *slot.descriptor = frame;
  sonotrace_prompt_t click = small_click();
  click.from[0] = (float)centre.x + 3;
  click.from[1] = (float)centre.y - 2;
  CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
  CHECK_OK(sonotrace_frame_commit(scan.session, NULL));
  CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  const sonotrace_overlay_t *overlay = NULL;
  CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
  CHECK(overlay->object_count == 1 && overlay->objects[0].state == SONOTRACE_STATE_FRESH);
  const sonotrace_overlay_object_t *object = &overlay->objects[0];
  printf("cyst: %.2f, %.2f mm, %.0f mm2\n", object->centroid_mm[0], object->centroid_mm[1], object->area_mm2);
  must_be_near("centroid_mm[0]", object->centroid_mm[0], centre.x, radius_mm / 10);
  must_be_near("centroid_mm[1]", object->centroid_mm[1], centre.y, radius_mm / 10);
  const double area_mm2 = M_PI * radius_mm * radius_mm;
  must_be_near("area_mm2", object->area_mm2, area_mm2, 0.2 * area_mm2);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

static void cysts(const char *model) {
  sonotrace_frame_descriptor_t linear = small_frame(1), raster = linear;
  linear.left_mm = -15;
  linear.right_mm = 45;
  linear.last_depth_mm = 80;
  raster.domain = SONOTRACE_DOMAIN_SCAN_CONVERTED;
  raster.geometry = SONOTRACE_GEOMETRY_RASTER;
  raster.left_mm = -25;
  raster.top_mm = 3;
  raster.spacing_x_mm = 0.15f;
  raster.spacing_y_mm = 0.6f;
  cyst(model, linear);
  cyst(model, sector(SONOTRACE_GEOMETRY_CONVEX, 50));
  cyst(model, sector(SONOTRACE_GEOMETRY_PHASED, 0));
  cyst(model, raster);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  corners(argv[1]);
  cysts(argv[2]);
  sonotrace_frame_descriptor_t linear = small_frame(1);
  /* The field is not centred, so that the origin counts. */
  linear.left_mm = -9;
  linear.right_mm = 31;
  linear.first_depth_mm = 5;
  linear.last_depth_mm = 37;
  const sonotrace_frame_descriptor_t frames[] = {
      linear,
      sector(SONOTRACE_GEOMETRY_CONVEX, 50),
      sector(SONOTRACE_GEOMETRY_PHASED, 0),
      picture(SONOTRACE_GEOMETRY_RASTER),
      picture(SONOTRACE_GEOMETRY_RASTER_UNKNOWN),
  };
  static const uint32_t displays[][2] = {{640, 480}, {150, 900}, {0, 0}};
  for (size_t at = 0; at < sizeof frames / sizeof frames[0]; at += 1) {
    const sonotrace_frame_descriptor_t *frame = &frames[at];
    int is_picture = frame->domain == SONOTRACE_DOMAIN_SCAN_CONVERTED;
    for (size_t display = 0; display < (is_picture ? 3 : 2); display += 1) {
      for (uint32_t space = SONOTRACE_SPACE_PLANE; space <= SONOTRACE_SPACE_DISPLAY; space += 1) {
        /* Right of the middle, and above it; not the same part of both axes. */
        double line = is_picture ? 22 : 0.6 * (frame->lines - 1), sample = is_picture ? 51 : 0.45 * (frame->samples - 1);
        click_at(argv[1], *frame, displays[display][0], displays[display][1], space, line, sample);
      }
    }
  }
  return 0;
}
