/* Counters that are read while another thread steps are those of one step: every second frame is malformed, so the numbers of
 * overlays and of malformed frames never differ by more than one.
 *
 *     counters MODEL
 */
#include "common.h"

#include <pthread.h>
#include <stdatomic.h>

#define FRAMES 400

static atomic_int is_done;

static void *scans(void *user) {
  struct scan *scan = user;
  for (uint64_t seq = 1; seq <= FRAMES; seq += 1) {
    sonotrace_frame_descriptor_t frame = small_frame(seq);
    if (seq % 2 == 0) {
      frame.flags = SONOTRACE_FRAME_CRC_PRESENT;
      frame.crc32 = 1;
    }
    CHECK_OK(commit(scan->session, frame));
    CHECK(outcome(scan->session) == (seq % 2 == 0 ? SONOTRACE_STEP_DROPPED : SONOTRACE_STEP_OVERLAY));
  }
  atomic_store(&is_done, 1);
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  sonotrace_config_t config = small_config();
  struct scan scan = open_scan(argv[1], &config);
  pthread_t scanning;
  CHECK(pthread_create(&scanning, NULL, scans, &scan) == 0);
  sonotrace_counters_t last, counters;
  memset(&last, 0, sizeof last);
  unsigned reads = 0;
  while (!atomic_load(&is_done)) {
    sonotrace_status_e status = sonotrace_counters(scan.session, &counters);
    CHECK(status == SONOTRACE_STATUS_OK || status == SONOTRACE_STATUS_BUSY);
    if (status == SONOTRACE_STATUS_BUSY) {
      CHECK(counters.heartbeat == 0 && counters.overlays == 0);
      continue;
    }
    reads += 1;
    CHECK(counters.overlays == counters.dropped_malformed || counters.overlays == counters.dropped_malformed + 1);
    CHECK(counters.malformed_by_field[SONOTRACE_FRAME_FIELD_CRC32] == counters.dropped_malformed);
    CHECK(counters.overlays_unfetched == (counters.overlays > 4 ? counters.overlays - 4 : 0));
    CHECK(counters.overlays >= last.overlays && counters.heartbeat >= last.heartbeat);
    CHECK((counters.heartbeat == last.heartbeat) <= (counters.overlays == last.overlays));
    last = counters;
  }
  CHECK(pthread_join(scanning, NULL) == 0);
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.overlays == FRAMES / 2 && counters.dropped_malformed == FRAMES / 2);
  printf("%u reads\n", reads);
  free_scan(scan);
  return 0;
}
