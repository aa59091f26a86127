/* Stack that each call needs: each runs on its own thread, whose stack of 256 KiB was painted before. Prints the bytes.
 *
 *     stack MODEL
 */
#define _GNU_SOURCE
#include "common.h"

#include <pthread.h>
#include <sys/mman.h>

#define STACK_BYTES (256 * 1024)
#define PAINT 0xA7

static struct scan scan;
static sonotrace_config_t config;
static const char *model_path;
static const uint8_t *model_data;
static size_t model_bytes;
static uint64_t seq;

static void nothing(void) {}
static void error_text(void) { CHECK(sonotrace_config_default(NULL) == SONOTRACE_STATUS_NULL_POINTER); }
static void config_default(void) {
  sonotrace_config_t own;
  CHECK_OK(sonotrace_config_default(&own));
}
static void map(void) {
  sonotrace_model_t *model;
  CHECK_OK(sonotrace_model_map(model_path, &model));
  sonotrace_model_unmap(model);
}
static void map_fails(void) {
  sonotrace_model_t *model;
  CHECK(sonotrace_model_map("/dev/zero", &model) == SONOTRACE_STATUS_FILE);
}
static void memory_required(void) {
  size_t align;
  CHECK_OK(sonotrace_memory_required(model_data, model_bytes, &config, &scan.region_bytes, &align));
}
static void open_it(void) {
  CHECK_OK(sonotrace_open(model_data, model_bytes, &config, scan.region, scan.region_bytes, &scan.session));
}
static void open_fails(void) {
  sonotrace_session_t *session;
  CHECK(sonotrace_open(model_data, model_bytes, &config, scan.region, 4096, &session) == SONOTRACE_STATUS_REGION);
}
static void prompt(void) {
  sonotrace_prompt_t click = small_click();
  CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
}
static void frame(void) { CHECK_OK(commit(scan.session, small_frame(++seq))); }
static void frame_refused(void) {
  sonotrace_frame_descriptor_t wrong = small_frame(9);
  wrong.lines = 1;
  CHECK(commit(scan.session, wrong) == SONOTRACE_STATUS_FRAME);
}
static void step(void) { CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY); }
static void poll(void) {
  const sonotrace_overlay_t *overlay;
  CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
}
static void wait_for_one(void) {
  const sonotrace_overlay_t *overlay;
  CHECK_OK(sonotrace_overlay_wait(scan.session, 1000, &overlay));
}
static void wait_for_none(void) {
  const sonotrace_overlay_t *overlay;
  CHECK(sonotrace_overlay_wait(scan.session, 1000, &overlay) == SONOTRACE_STATUS_TIMEOUT);
}
static void realtime(void) { (void)sonotrace_thread_realtime(1, 1023, NULL); }
static void event(void) {
  sonotrace_event_t next;
  char text[160];
  CHECK_OK(sonotrace_event_next(scan.session, &next));
  CHECK_OK(sonotrace_event_text(&next, text, sizeof text));
}
static void counters(void) {
  sonotrace_counters_t totals;
  CHECK_OK(sonotrace_counters(scan.session, &totals));
}
static void freeze(void) { CHECK_OK(sonotrace_set_frozen(scan.session, 0)); }
static void lock_region(void) { (void)sonotrace_memory_lock(scan.region, scan.region_bytes); }
static void program(void) { (void)sonotrace_program_prefault(); }
static void close_it(void) { CHECK_OK(sonotrace_close(scan.session, NULL)); }

static void *run(void *call) {
  (*(void (**)(void))call)();
  return NULL;
}

/* Bytes of a painted stack that a thread with one call has changed. */
static size_t used(void (*call)(void)) {
  uint8_t *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  CHECK(stack != MAP_FAILED);
  memset(stack, PAINT, STACK_BYTES);
  pthread_attr_t attributes;
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstack(&attributes, stack, STACK_BYTES) == 0);
  CHECK(pthread_create(&thread, &attributes, run, &call) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  size_t untouched = 0;
  while (untouched < STACK_BYTES && stack[untouched] == PAINT) {
    untouched += 1;
  }
  pthread_attr_destroy(&attributes);
  munmap(stack, STACK_BYTES);
  return STACK_BYTES - untouched;
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*call)(void);
  } calls[] = {
      {"failure", error_text},     {"config_default", config_default},
      {"memory_required", memory_required}, {"open, refused", open_fails}, {"open", open_it},
      {"memory_lock", lock_region}, {"program_prefault", program},
      {"prompt", prompt},          {"commit", frame},       {"commit, refused", frame_refused},
      {"step with a prompt", step}, {"commit", frame},      {"step", step},
      {"overlay_poll", poll},      {"overlay_wait", wait_for_one}, {"overlay_wait, in vain", wait_for_none},
      {"thread_realtime", realtime},
      {"event_next, event_text", event}, {"counters", counters},
      {"set_frozen", freeze},      {"close", close_it},     {"model_map, model_unmap", map}, {"model_map, refused", map_fails},
  };
  CHECK(argc == 2);
  model_path = argv[1];
  config = small_config();
  scan.model = NULL;
  CHECK_OK(sonotrace_model_map(model_path, &scan.model));
  model_data = sonotrace_model_data(scan.model);
  model_bytes = sonotrace_model_bytes(scan.model);
  memory_required();
  scan.region = aligned_alloc(4096, (scan.region_bytes + 4095) / 4096 * 4096);
  used(nothing);
  /* A thread's own data lie on its stack, too. */
  size_t base = used(nothing), most = 0;
  for (size_t at = 0; at < sizeof calls / sizeof calls[0]; at += 1) {
    size_t bytes = used(calls[at].call);
    bytes = bytes > base ? bytes - base : 0;
    printf("%8zu %s\n", bytes, calls[at].name);
    most = bytes > most ? bytes : most;
  }
  printf("%8zu at most, %d allowed\n", most, SONOTRACE_STACK_BYTES);
  sonotrace_model_unmap(scan.model);
  free(scan.region);
#ifdef SANITIZED
  /* The sanitizers' own frames are counted too. */
  return 0;
#else
  return most <= SONOTRACE_STACK_BYTES ? 0 : 1;
#endif
}
