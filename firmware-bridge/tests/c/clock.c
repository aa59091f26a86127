/* How often each call reads the clock, and what a call on the session from within the clock returns.
 *
 *     clock MODEL LARGE_MODEL
 */
#include "common.h"

#define PIECE_BYTES (32 * 1024)

struct counting {
  uint64_t calls;
  /* Called from within the clock, if not null. */
  void (*inside)(void);
};

static struct counting counting;
static sonotrace_session_t *session;

static uint64_t by_calls(void *user) {
  CHECK(user == &counting);
  counting.calls += 1;
  void (*inside)(void) = counting.inside;
  if (inside != NULL) {
    counting.inside = NULL;
    inside();
  }
  return counting.calls;
}

/* Calls of the clock since the last call of this. */
static uint64_t calls(void) {
  static uint64_t last;
  uint64_t since = counting.calls - last;
  last = counting.calls;
  return since;
}

static sonotrace_config_t counted_config(void) {
  sonotrace_config_t config = small_config();
  config.now_ns = by_calls;
  config.clock_user = &counting;
  return config;
}

/* Calls of the clock until the frame has its overlay, without that of its commit. */
static uint64_t calls_of_frame(sonotrace_frame_descriptor_t frame) {
  CHECK_OK(commit(session, frame));
  (void)calls();
  (void)outcome(session);
  return calls();
}

static void counted(const char *model) {
  sonotrace_config_t config = counted_config();
  config.payload_bytes = 1 << 20;
  struct scan scan = open_scan(model, &config);
  session = scan.session;
  CHECK(calls() >= 1);
  size_t bytes, align;
  CHECK_OK(sonotrace_memory_required(sonotrace_model_data(scan.model), sonotrace_model_bytes(scan.model), &config, &bytes,
                                     &align));
  sonotrace_frame_slot_t slot;
  CHECK_OK(sonotrace_frame_acquire(session, &slot));
  *slot.descriptor = small_frame(1);
  slot.descriptor->lines = 1;
  CHECK(sonotrace_frame_commit(session, NULL) == SONOTRACE_STATUS_FRAME);
  CHECK(calls() == 0);
  *slot.descriptor = small_frame(1);
  CHECK_OK(sonotrace_frame_commit(session, NULL));
  CHECK(calls() == 1);
  /* The time of the commit is that of this call. */
  uint64_t t_enqueue_ns = counting.calls;
  sonotrace_prompt_t click = small_click();
  CHECK_OK(sonotrace_prompt(session, &click, NULL));
  CHECK_OK(sonotrace_set_frozen(session, 0));
  sonotrace_event_t event;
  char text[100];
  CHECK_OK(sonotrace_event_next(session, &event));
  CHECK_OK(sonotrace_event_text(&event, text, sizeof text));
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_counters(session, &counters));
  CHECK(calls() == 0);
  CHECK(outcome(session) == SONOTRACE_STEP_OVERLAY);
  CHECK(calls() > 10);
  const sonotrace_overlay_t *overlay;
  CHECK_OK(sonotrace_overlay_poll(session, &overlay));
  CHECK(calls() == 0);
  CHECK(overlay->latency_ns > 10 && t_enqueue_ns + overlay->latency_ns <= counting.calls);
  CHECK(outcome(session) == SONOTRACE_STEP_IDLE);
  uint64_t idle = calls();
  CHECK(idle >= 1 && idle < 10);

  /* The checksum of 1 MiB has 32 pieces of work. Its last piece and what follows it are one. */
  sonotrace_frame_descriptor_t frame = small_frame(2);
  frame.lines = 256;
  frame.samples = frame.stride_bytes = 4096;
  frame.payload_bytes = 1 << 20;
  uint64_t steps[2];
  sonotrace_counters_t before, after;
  frame.flags = 0;
  /* The second frame of this size, so that its table is there. */
  (void)calls_of_frame(frame);
  frame.seq = frame.t_acq_ns = 3;
  frame.crc32 = 0;
  CHECK_OK(sonotrace_counters(session, &before));
  frame.flags = SONOTRACE_FRAME_CRC_PRESENT;
  steps[1] = calls_of_frame(frame);
  CHECK_OK(sonotrace_counters(session, &after));
  /* Its checksum is wrong, so that nothing else is computed. */
  CHECK(after.malformed_by_field[SONOTRACE_FRAME_FIELD_CRC32] == before.malformed_by_field[SONOTRACE_FRAME_FIELD_CRC32] + 1);
  frame = small_frame(4);
  frame.flags = SONOTRACE_FRAME_CRC_PRESENT;
  steps[0] = calls_of_frame(frame);
  CHECK(steps[1] - steps[0] == (1 << 20) / PIECE_BYTES - 1);
  CHECK_OK(sonotrace_close(session, NULL));
  uint64_t closing = calls();
  CHECK(closing >= 1 && closing < 10);
  free_scan(scan);
}

static void inside_step(void) {
  sonotrace_step_e step = SONOTRACE_STEP_OVERLAY;
  uint64_t seq = 9;
  CHECK(sonotrace_step(session, &step, &seq) == SONOTRACE_STATUS_BUSY && step == SONOTRACE_STEP_IDLE && seq == 0);
  sonotrace_counters_t counters;
  memset(&counters, 0x55, sizeof counters);
  CHECK(sonotrace_close(session, &counters) == SONOTRACE_STATUS_BUSY && counters.heartbeat == 0);
  /* The other sides are free. */
  CHECK_OK(sonotrace_counters(session, &counters));
  sonotrace_prompt_t click = small_click();
  CHECK_OK(sonotrace_prompt(session, &click, NULL));
  CHECK_OK(sonotrace_set_frozen(session, 0));
  CHECK_OK(commit(session, small_frame(2)));
  const sonotrace_overlay_t *overlay;
  CHECK(sonotrace_overlay_poll(session, &overlay) == SONOTRACE_STATUS_EMPTY);
  sonotrace_event_t event;
  CHECK_OK(sonotrace_event_next(session, &event));
  CHECK(event.kind == SONOTRACE_EVENT_OPENED);
}

static void inside_commit(void) {
  sonotrace_frame_slot_t slot = {NULL, (uint8_t *)session, 9};
  CHECK(sonotrace_frame_acquire(session, &slot) == SONOTRACE_STATUS_BUSY && slot.payload == NULL);
  CHECK(slot.payload_capacity == 0);
  uint32_t evicted = 9;
  CHECK(sonotrace_frame_commit(session, &evicted) == SONOTRACE_STATUS_BUSY && evicted == 0);
  CHECK(sonotrace_close(session, NULL) == SONOTRACE_STATUS_BUSY);
  sonotrace_step_e step;
  CHECK_OK(sonotrace_step(session, &step, NULL));
  CHECK(step == SONOTRACE_STEP_IDLE);
}

/* Calls from within the clock: the side in use is busy, the others are free. */
static void inside(const char *model) {
  sonotrace_config_t config = counted_config();
  struct scan scan = open_scan(model, &config);
  session = scan.session;
  counting.inside = inside_commit;
  CHECK_OK(commit(session, small_frame(1)));
  CHECK(counting.inside == NULL);
  counting.inside = inside_step;
  CHECK(outcome(session) == SONOTRACE_STEP_OVERLAY);
  CHECK(counting.inside == NULL);
  CHECK(outcome(session) == SONOTRACE_STEP_OVERLAY);
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(session, &counters));
  CHECK(counters.overlays == 2 && counters.prompts_served == 1);
  free_scan(scan);
}

/* With the packaged model a frame reads the clock some hundred to some thousand times. */
static void large(const char *model) {
  sonotrace_config_t config = counted_config();
  /* The clock counts its calls: one step for the whole frame. */
  config.slice_ns = 1000000;
  struct scan scan = open_scan(model, &config);
  session = scan.session;
  sonotrace_prompt_t click = small_click();
  CHECK_OK(sonotrace_prompt(session, &click, NULL));
  uint64_t seen = calls_of_frame(small_frame(1));
  printf("%llu calls of the clock for a frame with a click\n", (unsigned long long)seen);
  CHECK(seen >= 100 && seen < 10000);
  CHECK_OK(sonotrace_close(session, NULL));
  free_scan(scan);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  counted(argv[1]);
  inside(argv[1]);
  large(argv[2]);
  return 0;
}
