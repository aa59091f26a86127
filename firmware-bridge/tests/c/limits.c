/* The limits that the header states: the last value that is allowed is accepted, the next one is refused, and the text names the
 * field. Each field that makes a frame unusable has its code, in events and counters.
 *
 *     limits MODEL
 */
#include "common.h"

#include <math.h>
#include <stddef.h>

/* Writes a number to a field: 'i' for 32 bits, 'h' for 16, 'l' for 64, 'f' for a float. */
static void put(void *structure, size_t offset, char type, double value) {
  uint8_t *place = (uint8_t *)structure + offset;
  const float real = (float)value;
  const uint16_t half = (uint16_t)(type == 'h' ? value : 0);
  const uint32_t word = (uint32_t)(type == 'i' ? value : 0);
  const uint64_t wide = (uint64_t)(type == 'l' ? value : 0);
  switch (type) {
  case 'f': memcpy(place, &real, sizeof real); break;
  case 'h': memcpy(place, &half, sizeof half); break;
  case 'i': memcpy(place, &word, sizeof word); break;
  default: memcpy(place, &wide, sizeof wide);
  }
}

struct limit {
  const char *name;
  size_t offset;
  char type;
  /* Allowed ones, and the ones next to them. */
  double least, most, below, above;
};

#define SETTING(name, type, least, most, below, above)                                              \
  { #name, offsetof(sonotrace_config_t, name), type, least, most, below, above }

static void settings(const char *path) {
  static uint8_t tables[SONOTRACE_VENDOR_TABLES_MAX * 256];
  static const struct limit limits[] = {
      SETTING(budget_ns, 'l', 1, 1e12, 0, 1e12 + 1),
      SETTING(slice_ns, 'l', 1, 1e12, 0, 1e12 + 1),
      SETTING(kept_frames, 'i', 1, 64, 0, 65),
      SETTING(table_rows_per_frame, 'i', 1, UINT32_MAX, 0, 0),
      SETTING(display_width, 'i', 1, 16384, 0, 16385),
      SETTING(display_height, 'i', 1, 16384, 0, 16385),
      SETTING(attention_below, 'f', 0, 1, -0.001, 1.001),
      SETTING(absent_from, 'f', 0.01, 1, 0.009, 1.001),
      SETTING(frames_queued, 'i', 1, 1024, 0, 1025),
      SETTING(overlays_queued, 'i', 1, 1024, 0, 1025),
      SETTING(commands_queued, 'i', 1, 1024, 0, 1025),
      SETTING(events_queued, 'i', 1, 1024, 0, 1025),
      SETTING(vendor_table_count, 'i', 0, SONOTRACE_VENDOR_TABLES_MAX, SONOTRACE_VENDOR_TABLES_MAX + 1, UINT32_MAX),
      SETTING(policy, 'i', SONOTRACE_POLICY_NEWEST, SONOTRACE_POLICY_ALL, 0, 3),
      SETTING(checks_per_frame, 'i', 0, SONOTRACE_OBJECTS_MAX, 11, UINT32_MAX),
  };
  sonotrace_model_t *model;
  CHECK_OK(sonotrace_model_map(path, &model));
  const uint8_t *data = sonotrace_model_data(model);
  size_t data_bytes = sonotrace_model_bytes(model), bytes, align;
  for (size_t at = 0; at < sizeof limits / sizeof limits[0]; at += 1) {
    const struct limit *limit = &limits[at];
    const double values[] = {limit->least, limit->most, limit->below, limit->above};
    for (int value = 0; value < 4; value += 1) {
      sonotrace_config_t config = small_config();
      config.vendor_tables = tables;
      put(&config, limit->offset, limit->type, values[value]);
      sonotrace_status_e status = sonotrace_memory_required(data, data_bytes, &config, &bytes, &align);
      if (status != (value < 2 ? SONOTRACE_STATUS_OK : SONOTRACE_STATUS_CONFIG)) {
        fprintf(stderr, "`%s` = %g: %s, %s\n", limit->name, values[value], sonotrace_status_name(status),
                sonotrace_last_error());
        exit(1);
      }
    }
  }
  /* What the header says about the settings to start from. */
  sonotrace_config_t config;
  CHECK_OK(sonotrace_config_default(&config));
  CHECK(config.policy == SONOTRACE_POLICY_NEWEST && config.budget_ns == 33000000 && config.payload_bytes == 1 << 20);
  CHECK(config.display_width == 640 && config.display_height == 480 && config.now_ns == NULL);

  /* A configuration that ends after the policy: the other settings are those. */
  const uint32_t config_bytes = offsetof(sonotrace_config_t, budget_ns);
  void *shorter = malloc(config_bytes);
  CHECK(shorter != NULL);
  memcpy(shorter, &config, config_bytes);
  memcpy(shorter, &config_bytes, sizeof config_bytes);
  size_t of_shorter = 0;
  CHECK_OK(sonotrace_memory_required(data, data_bytes, &config, &bytes, &align));
  CHECK_OK(sonotrace_memory_required(data, data_bytes, shorter, &of_shorter, &align));
  CHECK(of_shorter == bytes);
  free(shorter);
  sonotrace_model_unmap(model);
}

static sonotrace_frame_descriptor_t good_frame(uint32_t geometry) {
  sonotrace_frame_descriptor_t frame = small_frame(1);
  frame.geometry = geometry;
  if (geometry == SONOTRACE_GEOMETRY_CONVEX || geometry == SONOTRACE_GEOMETRY_PHASED) {
    frame.apex_radius_mm = 40;
    frame.first_angle_rad = -0.5f;
    frame.last_angle_rad = 0.5f;
  } else if (geometry != SONOTRACE_GEOMETRY_LINEAR) {
    frame.domain = SONOTRACE_DOMAIN_SCAN_CONVERTED;
    frame.spacing_x_mm = frame.spacing_y_mm = 0.5f;
  }
  return frame;
}

#define LINEAR SONOTRACE_GEOMETRY_LINEAR
#define CONVEX SONOTRACE_GEOMETRY_CONVEX
#define PHASED SONOTRACE_GEOMETRY_PHASED
#define RASTER SONOTRACE_GEOMETRY_RASTER
#define FIELD(geometry, name, type, code, least, most, below, above)                                            \
  { geometry, SONOTRACE_FRAME_FIELD_##code, {#name, offsetof(sonotrace_frame_descriptor_t, name), type, least, most, below, above} }

static const struct {
  uint32_t geometry, code;
  struct limit limit;
} fields[] = {
    FIELD(LINEAR, magic, 'i', MAGIC, 0x46544E53, 0x46544E53, 0, 1),
    FIELD(LINEAR, abi_version, 'h', ABI_VERSION, SONOTRACE_FRAME_ABI_VERSION, SONOTRACE_FRAME_ABI_VERSION, 0, 2),
    FIELD(LINEAR, descriptor_bytes, 'h', DESCRIPTOR_BYTES, sizeof(sonotrace_frame_descriptor_t),
          sizeof(sonotrace_frame_descriptor_t), 0, sizeof(sonotrace_frame_descriptor_t) + 8),
    FIELD(LINEAR, payload_bytes, 'i', PAYLOAD_BYTES, 1024, 1024, 1023, 1025),
    FIELD(LINEAR, flags, 'i', FLAGS, 0, 62, 64, UINT32_MAX),
    FIELD(LINEAR, domain, 'i', DOMAIN, SONOTRACE_DOMAIN_POLAR_ENVELOPE, SONOTRACE_DOMAIN_POLAR_ENVELOPE, 0, 5),
    FIELD(LINEAR, domain, 'i', DOMAIN, SONOTRACE_DOMAIN_POLAR_ENVELOPE, SONOTRACE_DOMAIN_POLAR_ENVELOPE,
          SONOTRACE_DOMAIN_POLAR_RF, UINT32_MAX),
    FIELD(LINEAR, sample_type, 'i', SAMPLE_TYPE, SONOTRACE_SAMPLE_TYPE_U8, SONOTRACE_SAMPLE_TYPE_U8, 0,
          SONOTRACE_SAMPLE_TYPE_I16),
    FIELD(LINEAR, lines, 'i', LINES, 16, 16, 1, SONOTRACE_LINES_MAX + 1),
    FIELD(LINEAR, samples, 'i', SAMPLES, 64, 64, 1, SONOTRACE_SAMPLES_MAX + 1),
    FIELD(LINEAR, stride_bytes, 'i', STRIDE_BYTES, 64, 64, 63, 8 * SONOTRACE_SAMPLES_MAX + 1),
    FIELD(LINEAR, geometry, 'i', GEOMETRY, LINEAR, LINEAR, RASTER, 6),
    FIELD(CONVEX, apex_radius_mm, 'f', APEX_RADIUS_MM, 0.1, 1000, 0.09, 1001),
    FIELD(PHASED, apex_radius_mm, 'f', APEX_RADIUS_MM, 0, 1000, -0.1, 1001),
    FIELD(CONVEX, first_angle_rad, 'f', FIRST_ANGLE_RAD, -1.5707, 0.49, -1.571, 1.571),
    FIELD(CONVEX, last_angle_rad, 'f', LAST_ANGLE_RAD, -0.49, 1.5707, -0.5, 1.571),
    FIELD(LINEAR, first_depth_mm, 'f', FIRST_DEPTH_MM, 0, 39.8, -0.1, 1001),
    FIELD(LINEAR, last_depth_mm, 'f', LAST_DEPTH_MM, 0.1, 1000, 0.05, 1001),
    FIELD(LINEAR, left_mm, 'f', LEFT_MM, -1000, 19.8, -1001, 1001),
    FIELD(RASTER, left_mm, 'f', LEFT_MM, -1000, 1000, -1001, 1001),
    FIELD(LINEAR, right_mm, 'f', RIGHT_MM, -19.8, 1000, -19.95, 1001),
    FIELD(RASTER, top_mm, 'f', TOP_MM, -1000, 1000, -1001, 1001),
    FIELD(RASTER, spacing_x_mm, 'f', SPACING_X_MM, 0.00011, 10, 0.00009, 10.1),
    FIELD(RASTER, spacing_y_mm, 'f', SPACING_Y_MM, 0.00011, 10, 0.00009, 10.1),
    FIELD(LINEAR, content_column, 'i', CONTENT, 0, 0, 1, UINT32_MAX),
    FIELD(LINEAR, content_rows, 'i', CONTENT, 0, 0, 2, UINT32_MAX),
    FIELD(RASTER, content_rows, 'i', CONTENT, 0, 0, 1, 17),
    FIELD(LINEAR, speed_of_sound_m_s, 'f', SPEED_OF_SOUND_M_S, 300, 8000, 299, 8001),
    FIELD(LINEAR, amplitude_law, 'i', AMPLITUDE_LAW, SONOTRACE_LAW_LINEAR, SONOTRACE_LAW_LOGARITHMIC, 0, 4),
    FIELD(LINEAR, law_range_db, 'f', LAW_RANGE_DB, 1, 200, 0.9, 201),
    FIELD(LINEAR, gain_db, 'f', GAIN_DB, -200, 200, -201, 201),
    FIELD(LINEAR, frame_rate_hz, 'f', FRAME_RATE_HZ, 0, 10000, -0.1, 10001),
    FIELD(LINEAR, tgc_points, 'i', TGC, 0, SONOTRACE_TGC_POINTS, SONOTRACE_TGC_POINTS + 1, UINT32_MAX),
};

/* The name of a field's code: "content" and "tgc" stand for several fields. */
static const char *name_of(uint32_t code, const char *field) {
  return code == SONOTRACE_FRAME_FIELD_CONTENT ? "content" : code == SONOTRACE_FRAME_FIELD_TGC ? "tgc" : field;
}

static void frames(const char *path) {
  sonotrace_config_t config = small_config();
  config.events_queued = 1024;
  struct scan scan = open_scan(path, &config);
  uint64_t malformed = 0, by_field[SONOTRACE_FRAME_FIELDS] = {0};
  for (size_t at = 0; at < sizeof fields / sizeof fields[0]; at += 1) {
    const struct limit *limit = &fields[at].limit;
    const double values[] = {limit->least, limit->most, limit->below, limit->above, NAN, INFINITY};
    for (int value = 0; value < (limit->type == 'f' ? 6 : 4); value += 1) {
      sonotrace_frame_descriptor_t frame = good_frame(fields[at].geometry);
      put(&frame, limit->offset, limit->type, values[value]);
      sonotrace_status_e status = sonotrace_frame_descriptor_check(&frame);
      if (status != (value < 2 ? SONOTRACE_STATUS_OK : SONOTRACE_STATUS_FRAME)) {
        fprintf(stderr, "`%s` = %g: %s, %s\n", limit->name, values[value], sonotrace_status_name(status),
                sonotrace_last_error());
        exit(1);
      }
      if (value < 2) {
        continue;
      }
      CHECK(commit(scan.session, frame) == SONOTRACE_STATUS_FRAME);
      /* The device changes a descriptor after the commit: what the step takes is checked again. */
      sonotrace_frame_slot_t slot;
      CHECK_OK(sonotrace_frame_acquire(scan.session, &slot));
      *slot.descriptor = good_frame(fields[at].geometry);
      CHECK_OK(sonotrace_frame_commit(scan.session, NULL));
      *slot.descriptor = frame;
      CHECK(outcome(scan.session) == SONOTRACE_STEP_DROPPED);
      malformed += 1;
      by_field[fields[at].code] += 1;
      sonotrace_event_t event;
      do {
        CHECK_OK(sonotrace_event_next(scan.session, &event));
      } while (event.kind != SONOTRACE_EVENT_FRAME_DROPPED);
      char text[160], expected[160];
      CHECK_OK(sonotrace_event_text(&event, text, sizeof text));
      snprintf(expected, sizeof expected, "malformed: field `%s`", name_of(fields[at].code, limit->name));
      if (event.detail != SONOTRACE_DROP_REASON_MALFORMED || event.value != fields[at].code || event.seq != 1 ||
          strstr(text, expected) == NULL) {
        fprintf(stderr, "`%s` = %g: %s\n", limit->name, values[value], text);
        exit(1);
      }
    }
  }
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.dropped_malformed == malformed && counters.frames_refused == malformed);
  for (size_t code = 0; code < SONOTRACE_FRAME_FIELDS; code += 1) {
    CHECK(counters.malformed_by_field[code] == by_field[code]);
  }
  free_scan(scan);
}

/* The largest frame: each line and each sample that the header allows, in a slot of just that size. */
static void largest(const char *path) {
  sonotrace_config_t config = small_config();
  config.payload_bytes = (uint64_t)SONOTRACE_LINES_MAX * SONOTRACE_SAMPLES_MAX;
  config.frames_queued = 1;
  struct scan scan = open_scan(path, &config);
  sonotrace_frame_descriptor_t frame = small_frame(1);
  frame.lines = SONOTRACE_LINES_MAX;
  frame.samples = frame.stride_bytes = SONOTRACE_SAMPLES_MAX;
  frame.payload_bytes = (uint32_t)config.payload_bytes;
  CHECK_OK(commit(scan.session, frame));
  CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  settings(argv[1]);
  frames(argv[1]);
  largest(argv[1]);
  return 0;
}
