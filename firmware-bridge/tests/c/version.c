/* A caller that was compiled with some header: opens a session if the library allows it, and prints what happened. Whatever
 * the header says, nothing behind a structure may be written.
 *
 *     version MODEL
 */
#include "common.h"

#define CANARY 0xC5

struct guarded_config {
  sonotrace_config_t config;
  uint8_t canary[512];
};

struct guarded_counters {
  sonotrace_counters_t counters;
  uint8_t canary[1024];
};

static void must_be_intact(const uint8_t *canary, size_t bytes) {
  for (size_t at = 0; at < bytes; at += 1) {
    if (canary[at] != CANARY) {
      fprintf(stderr, "the library wrote %zu bytes behind a structure\n", at + 1);
      exit(1);
    }
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  struct guarded_config guarded;
  struct guarded_counters totals;
  memset(&guarded, CANARY, sizeof guarded);
  memset(&totals, CANARY, sizeof totals);
  sonotrace_status_e status = sonotrace_config_default(&guarded.config);
  must_be_intact(guarded.canary, sizeof guarded.canary);
  if (status != SONOTRACE_STATUS_OK) {
    printf("config: %s: %s\n", sonotrace_status_name(status), sonotrace_last_error());
    return 0;
  }
  guarded.config.payload_bytes = 8192;
  guarded.config.policy = SONOTRACE_POLICY_ALL;
  sonotrace_model_t *model = NULL;
  CHECK_OK(sonotrace_model_map(argv[1], &model));
  const uint8_t *data = sonotrace_model_data(model);
  size_t data_bytes = sonotrace_model_bytes(model), bytes = 1, align = 1;
  status = sonotrace_memory_required(data, data_bytes, &guarded.config, &bytes, &align);
  if (status != SONOTRACE_STATUS_OK) {
    CHECK(bytes == 0 && align == 0);
    printf("memory: %s: %s\n", sonotrace_status_name(status), sonotrace_last_error());
    sonotrace_model_unmap(model);
    return 0;
  }
  void *region = aligned_alloc(align, (bytes + align - 1) / align * align);
  sonotrace_session_t *session = NULL;
  CHECK_OK(sonotrace_open(data, data_bytes, &guarded.config, region, bytes, &session));
  CHECK_OK(commit(session, small_frame(1)));
  CHECK(outcome(session) == SONOTRACE_STEP_OVERLAY);
  CHECK_OK(sonotrace_counters(session, &totals.counters));
  must_be_intact(totals.canary, sizeof totals.canary);
  CHECK(totals.counters.overlays == 1);
  CHECK_OK(sonotrace_close(session, &totals.counters));
  must_be_intact(totals.canary, sizeof totals.canary);
  CHECK(totals.counters.overlays == 1);
  sonotrace_model_unmap(model);
  free(region);
  printf("scanned\n");
  return 0;
}
