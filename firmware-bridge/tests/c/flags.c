/* Each flag of a frame, each bit of VALID and of an overlay's flags, each state, rung and outcome: set where the header says so,
 * and not set elsewhere. Each amplitude law.
 *
 *     flags MODEL
 */
#include "common.h"

#include <math.h>

/* A clock that the test sets, so that two scans have the same times. */
static uint64_t by_hand(void *user) { return *(const uint64_t *)user; }

static uint64_t now_ns;

static sonotrace_config_t still_config(void) {
  sonotrace_config_t config = small_config();
  config.now_ns = by_hand;
  config.clock_user = &now_ns;
  return config;
}

/* CRC-32 (IEEE), bit by bit. */
static uint32_t crc32(const uint8_t *bytes, size_t count) {
  uint32_t crc = 0xFFFFFFFF;
  for (size_t at = 0; at < count; at += 1) {
    crc ^= bytes[at];
    for (int bit = 0; bit < 8; bit += 1) {
      crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
    }
  }
  return crc ^ 0xFFFFFFFF;
}

/* Steps until a frame has its outcome, then fetches its overlay. */
static const sonotrace_overlay_t *next_overlay(sonotrace_session_t *session, sonotrace_step_e expected) {
  const sonotrace_overlay_t *overlay = NULL;
  CHECK(outcome(session) == expected);
  CHECK_OK(sonotrace_overlay_poll(session, &overlay));
  return overlay;
}

static const sonotrace_overlay_t *overlay_of(sonotrace_session_t *session, sonotrace_frame_descriptor_t frame) {
  CHECK_OK(commit(session, frame));
  return next_overlay(session, SONOTRACE_STEP_OVERLAY);
}

static sonotrace_event_t event_of(sonotrace_session_t *session, uint32_t kind) {
  sonotrace_event_t event;
  do {
    CHECK_OK(sonotrace_event_next(session, &event));
  } while (event.kind != kind);
  return event;
}

static int has_event(sonotrace_session_t *session, uint32_t kind) {
  sonotrace_event_t event;
  int is_found = 0;
  while (sonotrace_event_next(session, &event) == SONOTRACE_STATUS_OK) {
    is_found |= event.kind == kind;
  }
  return is_found;
}

/* The overlay of a click on one frame with some samples, in a session of its own with two amplitude tables or none. */
static sonotrace_overlay_t overlay_with(const char *model, sonotrace_frame_descriptor_t frame, const uint8_t *samples,
                                        const uint8_t *table) {
  sonotrace_config_t config = still_config();
  config.vendor_tables = table;
  config.vendor_table_count = table == NULL ? 0 : 2;
  struct scan scan = open_scan(model, &config);
  sonotrace_prompt_t click = small_click();
  CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
  sonotrace_frame_slot_t slot;
  CHECK_OK(sonotrace_frame_acquire(scan.session, &slot));
  memcpy(slot.payload, samples, frame.payload_bytes);
  *slot.descriptor = frame;
  CHECK_OK(sonotrace_frame_commit(scan.session, NULL));
  sonotrace_overlay_t overlay = *next_overlay(scan.session, SONOTRACE_STEP_OVERLAY);
  CHECK(overlay.object_count == 1 && overlay.objects[0].points > 0);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
  return overlay;
}

static int are_same(const sonotrace_overlay_t *a, const sonotrace_overlay_t *b) { return memcmp(a, b, sizeof *a) == 0; }

/* The overlays of both frames are the same, up to rounding, or they are not. The model's confidence depends on the samples, of dark
 * frames by some 1e-5 for each of 255 levels. */
static int are_close(const sonotrace_overlay_t *a, const sonotrace_overlay_t *b) {
  float apart = a->objects[0].confidence - b->objects[0].confidence;
  return apart > -1e-6f && apart < 1e-6f;
}

/* Flags that change nothing, and those that mark samples. */
static void samples(const char *model) {
  static uint8_t plain[1024], raised[1024], tables[512];
  for (size_t at = 0; at < sizeof plain; at += 1) {
    plain[at] = (uint8_t)(at * 7 % 170);
    raised[at] = (uint8_t)(plain[at] + 8);
  }
  sonotrace_frame_descriptor_t frame = small_frame(1), other = frame;
  const sonotrace_overlay_t expected = overlay_with(model, frame, plain, NULL);
  const sonotrace_overlay_t brighter = overlay_with(model, frame, raised, NULL);
  CHECK(!are_close(&expected, &brighter));
  other.flags = SONOTRACE_FRAME_BURNT_IN_OVERLAY | SONOTRACE_FRAME_REPLAYED;
  sonotrace_overlay_t seen = overlay_with(model, other, plain, NULL);
  CHECK(are_same(&seen, &expected));
  /* Fields that a linear frame does not use. */
  other = frame;
  other.apex_radius_mm = other.first_angle_rad = other.last_angle_rad = strtof("nan", NULL);
  other.top_mm = other.spacing_x_mm = other.spacing_y_mm = strtof("inf", NULL);
  other.law_table = other.tgc_points = 7;
  other.tgc[7].gain_db = 100;
  seen = overlay_with(model, other, plain, NULL);
  CHECK(are_same(&seen, &expected));
  /* The checksum: without the flag it is not looked at. */
  other = frame;
  other.crc32 = 1;
  seen = overlay_with(model, other, plain, NULL);
  CHECK(are_same(&seen, &expected));
  other.flags = SONOTRACE_FRAME_CRC_PRESENT;
  other.crc32 = crc32(plain, sizeof plain);
  seen = overlay_with(model, other, plain, NULL);
  CHECK(are_same(&seen, &expected));
  /* A gain of 8 of 255 levels of 60 dB; without the flag it was applied already. */
  const float gain_db = 8 * 60 / 255.0f;
  other = frame;
  other.gain_db = gain_db;
  seen = overlay_with(model, other, plain, NULL);
  CHECK(are_same(&seen, &expected));
  other.flags = SONOTRACE_FRAME_TGC_PENDING;
  seen = overlay_with(model, other, plain, NULL);
  CHECK(are_close(&seen, &brighter));
  /* The same gain, by a curve that is flat. */
  other.gain_db = 0;
  other.tgc_points = 2;
  other.tgc[1].depth_mm = 40;
  other.tgc[0].gain_db = other.tgc[1].gain_db = gain_db;
  seen = overlay_with(model, other, plain, NULL);
  CHECK(are_close(&seen, &brighter));
  other.flags = 0;
  seen = overlay_with(model, other, plain, NULL);
  CHECK(are_same(&seen, &expected));
  /* A table that changes nothing, and one that raises each sample; the range of the other laws does not count. */
  for (size_t at = 0; at < 256; at += 1) {
    tables[at] = (uint8_t)at;
    tables[256 + at] = (uint8_t)(at < 170 ? at + 8 : 255);
  }
  other = frame;
  other.amplitude_law = SONOTRACE_LAW_VENDOR_TABLE;
  other.law_range_db = 0;
  seen = overlay_with(model, other, plain, tables);
  CHECK(are_close(&seen, &expected));
  other.law_table = 1;
  seen = overlay_with(model, other, plain, tables);
  CHECK(are_close(&seen, &brighter));
  /* Linear samples, whose levels are 255 (1 + 20 log10(sample / 255) / 30). */
  static uint8_t linear[1024], logarithmic[1024];
  for (size_t at = 0; at < sizeof linear; at += 1) {
    linear[at] = (uint8_t)(9 + plain[at] / 4);
    logarithmic[at] = (uint8_t)(255.5 + 255.0 * 20 / 30 * log10(linear[at] / 255.0));
  }
  other = frame;
  other.law_range_db = 30;
  other.amplitude_law = SONOTRACE_LAW_LINEAR;
  const sonotrace_overlay_t uncompressed = overlay_with(model, frame, linear, NULL);
  const sonotrace_overlay_t compressed = overlay_with(model, frame, logarithmic, NULL);
  seen = overlay_with(model, other, linear, NULL);
  CHECK(are_close(&seen, &compressed) && !are_close(&seen, &uncompressed));
  /* Pairs with the levels of `plain`: full scale is an envelope of 32767. */
  static int16_t pairs[1024][2];
  for (size_t at = 0; at < 1024; at += 1) {
    double envelope = 32767 * pow(10, (plain[at] / 255.0 - 1) * 30 / 20);
    pairs[at][0] = (int16_t)(0.6 * envelope + 0.5);
    pairs[at][1] = (int16_t)(-0.8 * envelope - 0.5);
  }
  other.domain = SONOTRACE_DOMAIN_POLAR_IQ;
  other.sample_type = SONOTRACE_SAMPLE_TYPE_I16_PAIR;
  other.stride_bytes = 4 * other.samples;
  other.payload_bytes = sizeof pairs;
  seen = overlay_with(model, other, (const uint8_t *)pairs, NULL);
  CHECK(are_close(&seen, &expected));
}

/* FROZEN, by the frame's flag and by the user's call. */
static void frozen(const char *model) {
  sonotrace_config_t config = still_config();
  struct scan scan = open_scan(model, &config);
  sonotrace_session_t *session = scan.session;
  sonotrace_prompt_t click = small_click();
  CHECK_OK(sonotrace_prompt(session, &click, NULL));
  now_ns = 1000;
  const sonotrace_overlay_t *overlay = overlay_of(session, small_frame(1));
  CHECK(overlay->flags == 0 && overlay->state == SONOTRACE_STATE_FRESH && overlay->rung == SONOTRACE_RUNG_FULL);
  sonotrace_frame_descriptor_t frame = small_frame(2);
  frame.flags = SONOTRACE_FRAME_FROZEN;
  CHECK_OK(commit(session, frame));
  sonotrace_step_e step = SONOTRACE_STEP_WORKING;
  uint64_t seq = 0;
  while (step == SONOTRACE_STEP_WORKING) {
    CHECK_OK(sonotrace_step(session, &step, &seq));
  }
  CHECK(step == SONOTRACE_STEP_DROPPED && seq == 2);
  (void)event_of(session, SONOTRACE_EVENT_FROZEN);
  CHECK(sonotrace_overlay_poll(session, &overlay) == SONOTRACE_STATUS_EMPTY && outcome(session) == SONOTRACE_STEP_IDLE);
  /* A prompt is served on the frame that is shown: an update, as old as its frame. */
  click.object = 2;
  click.from[0] = -10;
  CHECK_OK(sonotrace_prompt(session, &click, NULL));
  now_ns = 5000;
  step = SONOTRACE_STEP_WORKING;
  while (step == SONOTRACE_STEP_WORKING) {
    CHECK_OK(sonotrace_step(session, &step, &seq));
  }
  CHECK(step == SONOTRACE_STEP_UPDATE && seq == 1);
  CHECK_OK(sonotrace_overlay_poll(session, &overlay));
  CHECK(overlay->flags == (SONOTRACE_OVERLAY_UPDATE | SONOTRACE_OVERLAY_FROZEN) && overlay->seq == 1);
  CHECK(overlay->object_count == 2 && overlay->age_ns == 4000 && overlay->latency_ns == 0);
  /* Live again with the first frame without the flag. */
  overlay = overlay_of(session, small_frame(3));
  CHECK(overlay->seq == 3 && overlay->flags == SONOTRACE_OVERLAY_GAP_BEFORE);
  (void)event_of(session, SONOTRACE_EVENT_RESUMED);
  CHECK_OK(sonotrace_set_frozen(session, 1));
  CHECK_OK(commit(session, small_frame(4)));
  CHECK(outcome(session) == SONOTRACE_STEP_DROPPED);
  CHECK_OK(sonotrace_set_frozen(session, 0));
  overlay = overlay_of(session, small_frame(5));
  CHECK(overlay->seq == 5 && (overlay->flags & SONOTRACE_OVERLAY_FROZEN) == 0);
  /* No event for each of them: frames go on arriving while the image is frozen. */
  CHECK(!has_event(session, SONOTRACE_EVENT_FRAME_DROPPED));
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(session, &counters));
  CHECK(counters.dropped_frozen == 2 && counters.overlays == 3 && counters.updates == 1);
  CHECK(counters.frames_missing == 0);
  free_scan(scan);
}

/* GAP_BEFORE, by the frame's own flag and by its number; restarts. */
static void gaps(const char *model) {
  sonotrace_config_t config = still_config();
  struct scan scan = open_scan(model, &config);
  sonotrace_frame_descriptor_t frame = small_frame(1);
  CHECK(overlay_of(scan.session, frame)->flags == 0);
  CHECK(overlay_of(scan.session, small_frame(2))->flags == 0);
  frame = small_frame(3);
  frame.flags = SONOTRACE_FRAME_GAP_BEFORE;
  CHECK(overlay_of(scan.session, frame)->flags == SONOTRACE_OVERLAY_GAP_BEFORE);
  CHECK(!has_event(scan.session, SONOTRACE_EVENT_FRAMES_MISSING));
  CHECK(overlay_of(scan.session, small_frame(7))->flags == SONOTRACE_OVERLAY_GAP_BEFORE);
  sonotrace_event_t event = event_of(scan.session, SONOTRACE_EVENT_FRAMES_MISSING);
  CHECK(event.seq == 7 && event.value == 3);
  CHECK(overlay_of(scan.session, small_frame(8))->flags == 0);
  /* Not later than a delivered frame; the third one in order is a restart. */
  for (uint64_t seq = 1; seq <= 2; seq += 1) {
    CHECK_OK(commit(scan.session, small_frame(seq)));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_DROPPED);
    event = event_of(scan.session, SONOTRACE_EVENT_FRAME_DROPPED);
    CHECK(event.seq == seq && event.detail == SONOTRACE_DROP_REASON_OUT_OF_ORDER);
    CHECK(event.value == SONOTRACE_FRAME_FIELD_NONE);
  }
  CHECK(overlay_of(scan.session, small_frame(3))->seq == 3);
  (void)event_of(scan.session, SONOTRACE_EVENT_STREAM_RESTARTED);
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.frames_missing == 3 && counters.restarts == 1 && counters.dropped_out_of_order == 2);
  CHECK(counters.overlays == 6);
  free_scan(scan);
}

/* States, rungs, and times of an overlay. */
static void states(const char *model) {
  sonotrace_config_t config = still_config();
  config.table_rows_per_frame = 8;
  config.budget_ns = 1000;
  struct scan scan = open_scan(model, &config);
  sonotrace_session_t *session = scan.session;
  now_ns = 100;
  const sonotrace_overlay_t *overlay = overlay_of(session, small_frame(1));
  CHECK(memcmp(&overlay->magic, "SNTO", 4) == 0 && overlay->abi_version == SONOTRACE_OVERLAY_ABI_VERSION);
  CHECK(overlay->state == SONOTRACE_STATE_EMPTY && overlay->object_count == 0 && overlay->answer_count == 0);
  uint64_t heartbeat = overlay->heartbeat;
  sonotrace_prompt_t click = small_click();
  uint32_t ticket = 0;
  CHECK_OK(sonotrace_prompt(session, &click, &ticket));
  sonotrace_frame_descriptor_t frame = small_frame(2);
  frame.t_acq_ns = 77;
  frame.geometry_epoch = 5;
  overlay = overlay_of(session, frame);
  CHECK(overlay->seq == 2 && overlay->t_acq_ns == 77 && overlay->geometry_epoch == 5);
  CHECK(overlay->heartbeat > heartbeat && overlay->answer_count == 1 && overlay->answers[0].ticket == ticket);
  CHECK(overlay->answers[0].object == 1 && overlay->answers[0].reserved == 0);
  const sonotrace_overlay_object_t *object = &overlay->objects[0];
  CHECK(object->id == 1 && object->state == SONOTRACE_STATE_FRESH && overlay->state == SONOTRACE_STATE_FRESH);
  CHECK(object->valid == (SONOTRACE_VALID_PIXELS | SONOTRACE_VALID_MILLIMETRES | SONOTRACE_VALID_ELLIPSE |
                          SONOTRACE_VALID_VOLUME));
  CHECK(object->confidence > 0.9f && object->confidence <= 1);
  frame = small_frame(3);
  frame.t_acq_ns = 78;
  CHECK_OK(commit(session, frame));
  /* Later than its budget. */
  now_ns += 1001;
  overlay = next_overlay(session, SONOTRACE_STEP_OVERLAY);
  CHECK(overlay->objects[0].state == SONOTRACE_STATE_TRACKED && overlay->latency_ns == 1001 && overlay->age_ns == 1001);
  CHECK(overlay->stage_ns[0] == 1001 && overlay->stage_ns[1] == 0);
  sonotrace_event_t event = event_of(session, SONOTRACE_EVENT_DEADLINE_MISSED);
  CHECK(event.value == 1 && event.seq == 3 && event.t_ns == now_ns);
  /* Within its budget, to the nanosecond. */
  frame = small_frame(4);
  frame.t_acq_ns = 79;
  CHECK_OK(commit(session, frame));
  now_ns += 1000;
  CHECK(next_overlay(session, SONOTRACE_STEP_OVERLAY)->latency_ns == 1000);
  /* Another geometry, whose table of 32 rows is complete on the fourth frame. */
  for (uint64_t seq = 5; seq <= 8; seq += 1) {
    frame = small_frame(seq);
    frame.t_acq_ns = 75 + seq;
    frame.last_depth_mm = 60;
    frame.geometry_epoch = 6;
    now_ns += 10;
    overlay = overlay_of(session, frame);
    int is_last = seq == 8;
    CHECK(overlay->rung == (is_last ? SONOTRACE_RUNG_FULL : SONOTRACE_RUNG_REPEAT));
    CHECK(overlay->state == (is_last ? SONOTRACE_STATE_TRACKED : SONOTRACE_STATE_STALE));
    CHECK(overlay->objects[0].state == overlay->state && overlay->latency_ns == 0);
    /* Frame 4 was committed 1000 ns before its own overlay. */
    CHECK(overlay->age_ns == (is_last ? 0 : 1000 + 10 * (seq - 4)));
  }
  CHECK(event_of(session, SONOTRACE_EVENT_GEOMETRY_CHANGED).detail == 6);
  CHECK(event_of(session, SONOTRACE_EVENT_TABLE_READY).value == 4);
  CHECK(event_of(session, SONOTRACE_EVENT_OBJECT_REPROJECTED).detail == 1);
  /* A picture of unknown scale has another plane. */
  frame = small_frame(9);
  frame.t_acq_ns = 90;
  frame.domain = SONOTRACE_DOMAIN_SCAN_CONVERTED;
  frame.geometry = SONOTRACE_GEOMETRY_RASTER_UNKNOWN;
  overlay = overlay_of(session, frame);
  object = &overlay->objects[0];
  CHECK(overlay->state == object->state && object->state == SONOTRACE_STATE_LOST && object->id == 1);
  CHECK(object->valid == 0 && object->points == 0 && object->polygons == 0 && object->area_px2 == 0);
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(session, &counters));
  CHECK(counters.deadline_misses == 1 && counters.geometry_changes == 2 && counters.repeats == 4);
  free_scan(scan);

  /* The small model's object is right with a probability of 0.95, and absent with one of 0.02. */
  static const struct {
    float attention_below, absent_from;
    uint32_t state;
  } limits[] = {{0, 0.5f, SONOTRACE_STATE_TRACKED},
                {0.9f, 0.5f, SONOTRACE_STATE_TRACKED},
                {1, 0.5f, SONOTRACE_STATE_ATTENTION},
                {1, 0.01f, SONOTRACE_STATE_ABSENT}};
  for (size_t at = 0; at < 4; at += 1) {
    config.attention_below = limits[at].attention_below;
    config.absent_from = limits[at].absent_from;
    scan = open_scan(model, &config);
    CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
    overlay = overlay_of(scan.session, small_frame(1));
    CHECK(overlay->state == SONOTRACE_STATE_FRESH && overlay->objects[0].state == SONOTRACE_STATE_FRESH);
    overlay = overlay_of(scan.session, small_frame(2));
    CHECK(overlay->state == limits[at].state && overlay->objects[0].state == limits[at].state);
    CHECK((overlay->objects[0].points == 0) == (limits[at].state == SONOTRACE_STATE_ABSENT));
    CHECK(overlay->objects[0].checked_frames_ago == 0);
    uint32_t warns = overlay->objects[0].valid & SONOTRACE_VALID_ATTENTION;
    CHECK((warns != 0) == (limits[at].state == SONOTRACE_STATE_ATTENTION));
    /* A table for another geometry is begun: the contour is stale, and the warning stays. */
    sonotrace_frame_descriptor_t deeper = small_frame(3);
    deeper.last_depth_mm *= 1.5f;
    deeper.geometry_epoch += 1;
    overlay = overlay_of(scan.session, deeper);
    CHECK((overlay->objects[0].valid & SONOTRACE_VALID_ATTENTION) == warns);
    CHECK(warns == 0 || overlay->rung != SONOTRACE_RUNG_REPEAT || overlay->objects[0].state == SONOTRACE_STATE_STALE);
    CHECK_OK(sonotrace_close(scan.session, NULL));
    free_scan(scan);
  }
}

/* The bit for a contour at the border: at the field's left, right, upper and lower edge, and not in the middle. */
static void borders(const char *model) {
  static const float places[][2] = {{0, 20}, {-19, 20}, {19, 20}, {0, 1}, {0, 39}};
  sonotrace_config_t config = still_config();
  struct scan scan = open_scan(model, &config);
  for (uint64_t seq = 1; seq <= 5; seq += 1) {
    sonotrace_prompt_t click = small_click();
    click.object = (uint32_t)seq;
    memcpy(click.from, places[seq - 1], sizeof click.from);
    CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
    const sonotrace_overlay_t *overlay = overlay_of(scan.session, small_frame(seq));
    CHECK(overlay->object_count == seq);
    /* The worst of the objects' states: the new one is fresh, the others are tracked. */
    CHECK(overlay->state == (seq == 1 ? SONOTRACE_STATE_FRESH : SONOTRACE_STATE_TRACKED));
    CHECK(overlay->objects[seq - 1].state == SONOTRACE_STATE_FRESH);
    for (uint64_t at = 0; at < seq; at += 1) {
      CHECK(overlay->objects[at].points > 0);
      CHECK(((overlay->objects[at].valid & SONOTRACE_VALID_AT_BORDER) != 0) == (at > 0));
      CHECK(((overlay->objects[at].valid & SONOTRACE_VALID_VOLUME) != 0) == (at == 0));
      CHECK((overlay->objects[at].volume.discs_ml > 0) == (at == 0));
      /* Nothing beats here. */
      CHECK((overlay->objects[at].valid & SONOTRACE_VALID_BEAT) == 0 && overlay->objects[at].beat.largest_t_ns == 0);
    }
  }
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

/* Prompts: each outcome, a box by any two corners, the frame that a prompt names. */
static void prompts(const char *model) {
  sonotrace_config_t config = still_config();
  struct scan scan = open_scan(model, &config);
  uint32_t last_ticket = 0;
  uint64_t seq = 0;
  struct {
    uint32_t kind, object;
    uint64_t seq;
    float from[2], to[2];
    uint32_t is_positive, outcome;
  } cases[] = {
      {SONOTRACE_PROMPT_CLICK, 1, 0, {0, 20}, {0, 0}, 1, SONOTRACE_PROMPT_OUTCOME_SERVED},
      {SONOTRACE_PROMPT_CLICK, 1, 0, {12, 20}, {0, 0}, 0, SONOTRACE_PROMPT_OUTCOME_SERVED},
      {SONOTRACE_PROMPT_CLICK, 2, 0, {12, 20}, {0, 0}, 0, SONOTRACE_PROMPT_OUTCOME_UNKNOWN_OBJECT},
      {SONOTRACE_PROMPT_CLICK, 2, 0, {20.5f, 20}, {0, 0}, 1, SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD},
      {SONOTRACE_PROMPT_CLICK, 2, 0, {0, -0.5f}, {0, 0}, 1, SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD},
      {SONOTRACE_PROMPT_BOX, 2, 0, {2, 5}, {2, 25}, 1, SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD},
      {SONOTRACE_PROMPT_BOX, 2, 0, {2, 25}, {12, 5}, 0, SONOTRACE_PROMPT_OUTCOME_SERVED},
      {SONOTRACE_PROMPT_REMOVE, 3, 0, {0, 0}, {0, 0}, 0, SONOTRACE_PROMPT_OUTCOME_UNKNOWN_OBJECT},
      {SONOTRACE_PROMPT_REMOVE, 1, 0, {0, 0}, {0, 0}, 0, SONOTRACE_PROMPT_OUTCOME_SERVED},
      /* On the tenth frame: the ninth is kept, the eighth is not. */
      {SONOTRACE_PROMPT_CLICK, 3, 9, {0, 20}, {0, 0}, 1, SONOTRACE_PROMPT_OUTCOME_SERVED},
      {SONOTRACE_PROMPT_CLICK, 3, 9, {0, 20}, {0, 0}, 1, SONOTRACE_PROMPT_OUTCOME_TOO_OLD},
  };
  for (size_t at = 0; at < sizeof cases / sizeof cases[0]; at += 1) {
    sonotrace_prompt_t prompt = small_click();
    prompt.kind = cases[at].kind;
    prompt.object = cases[at].object;
    prompt.seq = cases[at].seq;
    prompt.is_positive = cases[at].is_positive;
    memcpy(prompt.from, cases[at].from, sizeof prompt.from);
    memcpy(prompt.to, cases[at].to, sizeof prompt.to);
    uint32_t ticket = 0;
    CHECK_OK(sonotrace_prompt(scan.session, &prompt, &ticket));
    CHECK(ticket == ++last_ticket);
    const sonotrace_overlay_t *overlay = overlay_of(scan.session, small_frame(++seq));
    if (overlay->answer_count != 1 || overlay->answers[0].outcome != cases[at].outcome) {
      fprintf(stderr, "prompt %zu has outcome %u\n", at, overlay->answers[0].outcome);
      exit(1);
    }
    CHECK(overlay->answers[0].ticket == ticket && overlay->answers[0].object == cases[at].object);
    sonotrace_event_t event = event_of(scan.session, SONOTRACE_EVENT_PROMPT_ANSWERED);
    CHECK(event.value == ticket && event.detail == cases[at].outcome && event.seq == seq);
    if (cases[at].kind == SONOTRACE_PROMPT_BOX && cases[at].outcome == SONOTRACE_PROMPT_OUTCOME_SERVED) {
      CHECK(overlay->object_count == 2 && overlay->objects[1].id == 2);
      CHECK(overlay->objects[1].centroid_mm[0] > 6 && overlay->objects[1].centroid_mm[0] < 8);
    }
    if (cases[at].kind == SONOTRACE_PROMPT_REMOVE && cases[at].outcome == SONOTRACE_PROMPT_OUTCOME_SERVED) {
      CHECK(overlay->object_count == 1 && overlay->objects[0].id == 2);
    }
  }
  /* Objects 2 and 3 exist; eight more fit. */
  for (uint32_t object = 4; object <= SONOTRACE_OBJECTS_MAX + 2; object += 1) {
    sonotrace_prompt_t click = small_click();
    click.object = object;
    CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
    const sonotrace_overlay_t *overlay = overlay_of(scan.session, small_frame(++seq));
    int has_room = object < SONOTRACE_OBJECTS_MAX + 2;
    CHECK(overlay->object_count == (has_room ? object - 1 : SONOTRACE_OBJECTS_MAX));
    CHECK(overlay->answers[0].outcome ==
          (has_room ? SONOTRACE_PROMPT_OUTCOME_SERVED : SONOTRACE_PROMPT_OUTCOME_NO_ROOM));
  }
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.prompts_served == 13 && counters.prompts_too_old == 1 && counters.prompts_refused == 6);
  CHECK(counters.bad_commands == 0 && counters.prompts_unanswered == 0 && counters.answers_undelivered == 0);
  free_scan(scan);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  samples(argv[1]);
  frozen(argv[1]);
  gaps(argv[1]);
  states(argv[1]);
  borders(argv[1]);
  prompts(argv[1]);
  return 0;
}
