/* What the test programs share: a scan with small frames, and checks that end the program. */
#ifndef COMMON_H
#define COMMON_H

#include "sonotrace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program unless the condition holds. */
#define CHECK(condition)                                                                                 \
  do {                                                                                                   \
    if (!(condition)) {                                                                                  \
      fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #condition, sonotrace_last_error()); \
      exit(1);                                                                                           \
    }                                                                                                    \
  } while (0)

#define CHECK_OK(call) CHECK((call) == SONOTRACE_STATUS_OK)

struct scan {
  sonotrace_model_t *model;
  sonotrace_session_t *session;
  void *region;
  size_t region_bytes;
};

/* Settings for frames of up to 8192 bytes. */
static inline sonotrace_config_t small_config(void) {
  sonotrace_config_t config;
  CHECK_OK(sonotrace_config_default(&config));
  config.policy = SONOTRACE_POLICY_ALL;
  config.payload_bytes = 8192;
  return config;
}

/* Opens a session in memory that was never touched. */
static inline struct scan open_scan(const char *path, const sonotrace_config_t *config) {
  struct scan scan = {NULL, NULL, NULL, 0};
  size_t align = 0;
  CHECK_OK(sonotrace_model_map(path, &scan.model));
  const uint8_t *data = sonotrace_model_data(scan.model);
  size_t data_bytes = sonotrace_model_bytes(scan.model);
  CHECK_OK(sonotrace_memory_required(data, data_bytes, config, &scan.region_bytes, &align));
  scan.region = aligned_alloc(align, (scan.region_bytes + align - 1) / align * align);
  CHECK(scan.region != NULL);
  CHECK_OK(sonotrace_open(data, data_bytes, config, scan.region, scan.region_bytes, &scan.session));
  return scan;
}

static inline void free_scan(struct scan scan) {
  sonotrace_model_unmap(scan.model);
  free(scan.region);
}

/* A frame of a linear probe, 40 mm x 40 mm. */
static inline sonotrace_frame_descriptor_t small_frame(uint64_t seq) {
  sonotrace_frame_descriptor_t frame;
  CHECK_OK(sonotrace_frame_descriptor_init(&frame));
  frame.seq = seq;
  frame.t_acq_ns = seq;
  frame.domain = SONOTRACE_DOMAIN_POLAR_ENVELOPE;
  frame.sample_type = SONOTRACE_SAMPLE_TYPE_U8;
  frame.geometry = SONOTRACE_GEOMETRY_LINEAR;
  frame.lines = 16;
  frame.samples = 64;
  frame.stride_bytes = 64;
  frame.payload_bytes = 1024;
  frame.left_mm = -20;
  frame.right_mm = 20;
  frame.last_depth_mm = 40;
  frame.amplitude_law = SONOTRACE_LAW_LOGARITHMIC;
  frame.law_range_db = 60;
  frame.speed_of_sound_m_s = 1540;
  return frame;
}

/* Acquires a slot, fills it with a pattern and the frame, and commits it. */
static inline sonotrace_status_e commit(sonotrace_session_t *session, sonotrace_frame_descriptor_t frame) {
  sonotrace_frame_slot_t slot;
  CHECK_OK(sonotrace_frame_acquire(session, &slot));
  for (size_t at = 0; at < frame.payload_bytes && at < slot.payload_capacity; at += 1) {
    slot.payload[at] = (uint8_t)(at * 7);
  }
  *slot.descriptor = frame;
  return sonotrace_frame_commit(session, NULL);
}

/* Steps until there is an outcome. */
static inline sonotrace_step_e outcome(sonotrace_session_t *session) {
  sonotrace_step_e step = SONOTRACE_STEP_WORKING;
  while (step == SONOTRACE_STEP_WORKING) {
    CHECK_OK(sonotrace_step(session, &step, NULL));
  }
  return step;
}

static inline sonotrace_prompt_t small_click(void) {
  sonotrace_prompt_t click;
  memset(&click, 0, sizeof click);
  click.kind = SONOTRACE_PROMPT_CLICK;
  click.object = 1;
  click.space = SONOTRACE_SPACE_PLANE;
  click.is_positive = 1;
  click.from[1] = 20;
  return click;
}

#endif
