/* A display's thread sleeps until there is an overlay, while another thread computes.
 *
 *     waiting MODEL
 */
#include "common.h"

#include <pthread.h>

#define FRAMES 300
/* Nothing takes so long: a call that ends with it was not woken. */
#define FAILED_NS 60000000000ull

static void *display(void *user) {
  sonotrace_session_t *session = user;
  for (uint64_t seq = 1; seq <= FRAMES;) {
    const sonotrace_overlay_t *overlay = NULL;
    CHECK_OK(sonotrace_overlay_wait(session, FAILED_NS, &overlay));
    CHECK(overlay != NULL && overlay->seq >= seq);
    seq = overlay->seq + 1;
  }
  return NULL;
}

/* Waits for one overlay that nobody commits, for 100 ms. */
static void *idle_display(void *user) {
  const sonotrace_overlay_t *overlay = NULL;
  sonotrace_status_e status = sonotrace_overlay_wait(user, 100000000, &overlay);
  /* Busy, while the other thread polls. */
  CHECK(status == SONOTRACE_STATUS_TIMEOUT || status == SONOTRACE_STATUS_BUSY);
  CHECK(overlay == NULL);
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  sonotrace_config_t config = small_config();
  struct scan scan = open_scan(argv[1], &config);
  const sonotrace_overlay_t *overlay;

  /* Nothing is queued: no failure, and the last error's text stays. */
  CHECK(sonotrace_prompt(scan.session, NULL, NULL) == SONOTRACE_STATUS_NULL_POINTER);
  for (uint64_t timeout_ns = 0; timeout_ns <= 2000000; timeout_ns += 1000000) {
    overlay = (const void *)&scan;
    CHECK(sonotrace_overlay_wait(scan.session, timeout_ns, &overlay) == SONOTRACE_STATUS_TIMEOUT);
    CHECK(overlay == NULL && strstr(sonotrace_last_error(), "prompt") != NULL);
  }
  CHECK(sonotrace_overlay_wait(scan.session, 0, NULL) == SONOTRACE_STATUS_NULL_POINTER);
  CHECK(sonotrace_overlay_wait(NULL, 0, &overlay) == SONOTRACE_STATUS_NULL_POINTER);

  /* One that is queued is there at once, whatever the time. */
  CHECK_OK(commit(scan.session, small_frame(1)));
  CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  CHECK_OK(sonotrace_overlay_wait(scan.session, UINT64_MAX, &overlay));
  CHECK(overlay->seq == 1);

  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, display, scan.session) == 0);
  for (uint64_t seq = 2; seq <= FRAMES; seq += 1) {
    CHECK_OK(commit(scan.session, small_frame(seq)));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  }
  CHECK(pthread_join(thread, NULL) == 0);

  /* The display's side is busy while it waits, and the session cannot be closed; steps go on. */
  CHECK(pthread_create(&thread, NULL, idle_display, scan.session) == 0);
  sonotrace_status_e status = SONOTRACE_STATUS_EMPTY;
  for (long attempt = 0; attempt < 100000 && status == SONOTRACE_STATUS_EMPTY; attempt += 1) {
    status = sonotrace_overlay_poll(scan.session, &overlay);
    CHECK_OK(sonotrace_step(scan.session, NULL, NULL));
  }
  CHECK(status == SONOTRACE_STATUS_EMPTY || status == SONOTRACE_STATUS_BUSY);
  CHECK(pthread_join(thread, NULL) == 0);

  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.overlays == FRAMES);
  CHECK(sonotrace_overlay_wait(scan.session, 0, &overlay) == SONOTRACE_STATUS_NOT_A_SESSION);
  free_scan(scan);
  return 0;
}
