/* A session is not closed while a call on it is in progress: neither from within the clock, nor by another thread.
 *
 *     closing MODEL
 */
#define _GNU_SOURCE
#include "common.h"

#include <pthread.h>
#include <stdatomic.h>

static _Atomic(sonotrace_session_t *) session;
static atomic_uint clock_calls, refused, other;

static uint64_t closing_clock(void *user) {
  (void)user;
  unsigned calls = atomic_fetch_add(&clock_calls, 1);
  sonotrace_session_t *open = atomic_load(&session);
  if (open != NULL) {
    sonotrace_counters_t counters;
    memset(&counters, 0xFF, sizeof counters);
    sonotrace_status_e status = sonotrace_close(open, &counters);
    atomic_fetch_add(status == SONOTRACE_STATUS_BUSY ? &refused : &other, 1);
    CHECK(counters.overlays == 0);
  }
  return (uint64_t)calls * 1000;
}

static void from_the_clock(const char *model) {
  sonotrace_config_t config = small_config();
  config.now_ns = closing_clock;
  struct scan scan = open_scan(model, &config);
  atomic_store(&session, scan.session);
  CHECK_OK(commit(scan.session, small_frame(1)));
  CHECK(atomic_load(&refused) == 1);
  CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  CHECK(atomic_load(&refused) > 3 && atomic_load(&other) == 0);
  /* The close itself calls the clock, too: the session is closed then. */
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.overlays == 1);
  atomic_store(&session, NULL);
  free_scan(scan);
}

/* Each round opens a session, which takes longer with sanitizers. */
#ifdef SANITIZED
#define ROUNDS 20
#else
#define ROUNDS 50
#endif

static atomic_int must_end;

static void *steps(void *user) {
  struct scan *scan = user;
  while (!atomic_load(&must_end)) {
    sonotrace_status_e status = sonotrace_step(scan->session, NULL, NULL);
    CHECK(status == SONOTRACE_STATUS_OK || status == SONOTRACE_STATUS_BUSY ||
          status == SONOTRACE_STATUS_NOT_A_SESSION);
  }
  return NULL;
}

static void *commits(void *user) {
  struct scan *scan = user;
  for (uint64_t seq = 1; !atomic_load(&must_end); seq += 1) {
    sonotrace_frame_slot_t slot;
    if (sonotrace_frame_acquire(scan->session, &slot) == SONOTRACE_STATUS_OK) {
      *slot.descriptor = small_frame(seq);
      (void)sonotrace_frame_commit(scan->session, NULL);
    }
  }
  return NULL;
}

/* The caller does not keep to the rule that calls end before a close: it is refused, or all later calls are. */
static void from_another_thread(const char *model) {
  sonotrace_config_t config = small_config();
  unsigned refusals = 0;
  for (unsigned round = 0; round < ROUNDS; round += 1) {
    struct scan scan = open_scan(model, &config);
    pthread_t stepping, committing;
    atomic_store(&must_end, 0);
    CHECK(pthread_create(&stepping, NULL, steps, &scan) == 0);
    CHECK(pthread_create(&committing, NULL, commits, &scan) == 0);
    sonotrace_status_e status = SONOTRACE_STATUS_BUSY;
    while (status == SONOTRACE_STATUS_BUSY) {
      status = sonotrace_close(scan.session, NULL);
      refusals += status == SONOTRACE_STATUS_BUSY;
    }
    CHECK(status == SONOTRACE_STATUS_OK);
    atomic_store(&must_end, 1);
    CHECK(pthread_join(stepping, NULL) == 0 && pthread_join(committing, NULL) == 0);
    free_scan(scan);
  }
  printf("%u closes were refused\n", refusals);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  from_the_clock(argv[1]);
  from_another_thread(argv[1]);
  return 0;
}
