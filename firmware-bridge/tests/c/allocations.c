/* After a session is open, the calls on it allocate and free nothing, also when they fail; closing it frees nothing either.
 *
 *     allocations MODEL
 */
#include "common.h"

static int is_counting;
static unsigned allocations;

/* The sanitizers have an allocator of their own. */
#if defined(__GLIBC__) && !defined(SANITIZED)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *place, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void __libc_free(void *place);

void *malloc(size_t bytes) {
  allocations += is_counting;
  return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
  allocations += is_counting;
  return __libc_calloc(count, bytes);
}
void *realloc(void *place, size_t bytes) {
  allocations += is_counting;
  return __libc_realloc(place, bytes);
}
void *aligned_alloc(size_t align, size_t bytes) {
  allocations += is_counting;
  return __libc_memalign(align, bytes);
}
int posix_memalign(void **place, size_t align, size_t bytes) {
  allocations += is_counting;
  *place = __libc_memalign(align, bytes);
  return *place == NULL;
}
void free(void *place) {
  allocations += is_counting;
  __libc_free(place);
}
#define COUNTS 1
#else
#define COUNTS 0
#endif

int main(int argc, char **argv) {
  CHECK(argc == 2);
  /* The counting works: mapping a model allocates, as the header says. */
  is_counting = 1;
  sonotrace_model_t *model = NULL;
  CHECK_OK(sonotrace_model_map(argv[1], &model));
  sonotrace_model_unmap(model);
  is_counting = 0;
  CHECK((allocations > 0) == COUNTS);

  sonotrace_config_t config = small_config();
  struct scan scan = open_scan(argv[1], &config);
  CHECK(sonotrace_config_default(NULL) == SONOTRACE_STATUS_NULL_POINTER);
  allocations = 0;
  is_counting = 1;
  sonotrace_prompt_t click = small_click();
  for (uint64_t seq = 1; seq <= 60; seq += 1) {
    sonotrace_frame_descriptor_t frame = small_frame(seq);
    /* Two geometries, each with a table that is filled again; every fifth frame is damaged. */
    frame.last_depth_mm = seq / 20 % 2 == 0 ? 40 : 60;
    if (seq % 5 == 0) {
      frame.flags = SONOTRACE_FRAME_CRC_PRESENT;
    }
    if (seq % 7 == 1) {
      CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
      CHECK(sonotrace_prompt(scan.session, NULL, NULL) == SONOTRACE_STATUS_NULL_POINTER);
    }
    CHECK_OK(commit(scan.session, frame));
    CHECK(outcome(scan.session) == (seq % 5 == 0 ? SONOTRACE_STEP_DROPPED : SONOTRACE_STEP_OVERLAY));
    CHECK_OK(sonotrace_set_frozen(scan.session, 0));
    frame.lines = 1;
    CHECK(commit(scan.session, frame) == SONOTRACE_STATUS_FRAME);
    const sonotrace_overlay_t *overlay;
    while (sonotrace_overlay_poll(scan.session, &overlay) == SONOTRACE_STATUS_OK) {
    }
    sonotrace_event_t event;
    char text[160];
    while (sonotrace_event_next(scan.session, &event) == SONOTRACE_STATUS_OK) {
      CHECK_OK(sonotrace_event_text(&event, text, sizeof text));
    }
    sonotrace_counters_t counters;
    CHECK_OK(sonotrace_counters(scan.session, &counters));
  }
  CHECK_OK(sonotrace_close(scan.session, NULL));
  is_counting = 0;
  if (allocations != 0) {
    fprintf(stderr, "%u allocations after the session was open\n", allocations);
    return 1;
  }
  free_scan(scan);
  return 0;
}
