/* A scan neither depends on the caller's floating-point environment nor changes it: it rounds as by default, raises no
 * exception that the caller sees (but for inexact results), and traps that the caller has switched on do not end the program.
 *
 *     environment MODEL
 */
#define _GNU_SOURCE
#include "common.h"

#include <fenv.h>

/* A clock by calls, so that two scans have the same times. */
static uint64_t by_calls(void *user) {
  uint64_t *calls = user;
  return *calls += 1000;
}

/* Nearly every result is inexact: its flag says nothing. */
#define EXCEPTIONS (FE_ALL_EXCEPT & ~FE_INEXACT)

struct environment {
  int rounding, flags, traps;
};

static struct environment environment(void) {
  struct environment seen = {fegetround(), fetestexcept(EXCEPTIONS), 0};
#ifdef __GLIBC__
  seen.traps = fegetexcept();
#endif
  return seen;
}

#define CHECK_KEPT(call)                                                                                  \
  do {                                                                                                    \
    struct environment before = environment();                                                            \
    CHECK(call);                                                                                          \
    struct environment after = environment();                                                             \
    CHECK(before.rounding == after.rounding && before.flags == after.flags && before.traps == after.traps); \
  } while (0)

/* The overlays' bytes, hashed (FNV-1a). */
static uint64_t overlays_of(const char *path) {
  uint64_t calls = 0, hash = 0xCBF29CE484222325;
  sonotrace_config_t config = small_config();
  config.now_ns = by_calls;
  config.clock_user = &calls;
  sonotrace_model_t *model = NULL;
  size_t bytes = 0, align = 0;
  CHECK_KEPT(sonotrace_model_map(path, &model) == SONOTRACE_STATUS_OK);
  const uint8_t *data = sonotrace_model_data(model);
  size_t data_bytes = sonotrace_model_bytes(model);
  CHECK_KEPT(sonotrace_memory_required(data, data_bytes, &config, &bytes, &align) == SONOTRACE_STATUS_OK);
  void *region = aligned_alloc(align, (bytes + align - 1) / align * align);
  sonotrace_session_t *session = NULL;
  CHECK_KEPT(sonotrace_open(data, data_bytes, &config, region, bytes, &session) == SONOTRACE_STATUS_OK);
  sonotrace_prompt_t click = small_click();
  for (uint64_t seq = 1; seq <= 12; seq += 1) {
    if (seq % 4 == 1) {
      CHECK_KEPT(sonotrace_prompt(session, &click, NULL) == SONOTRACE_STATUS_OK);
    }
    sonotrace_frame_descriptor_t frame = small_frame(seq);
    CHECK_KEPT(commit(session, frame) == SONOTRACE_STATUS_OK);
    CHECK_KEPT(outcome(session) == SONOTRACE_STEP_OVERLAY);
    const sonotrace_overlay_t *overlay = NULL;
    CHECK_KEPT(sonotrace_overlay_poll(session, &overlay) == SONOTRACE_STATUS_OK);
    CHECK(overlay->object_count == 1 && overlay->objects[0].points > 0);
    const uint8_t *shown = (const uint8_t *)overlay;
    for (size_t at = 0; at < sizeof *overlay; at += 1) {
      hash = (hash ^ shown[at]) * 0x100000001B3;
    }
  }
  CHECK_KEPT(sonotrace_close(session, NULL) == SONOTRACE_STATUS_OK);
  sonotrace_model_unmap(model);
  free(region);
  return hash;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(feclearexcept(FE_ALL_EXCEPT) == 0);
  uint64_t expected = overlays_of(argv[1]);
  CHECK(fetestexcept(EXCEPTIONS) == 0);
  const int roundings[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  for (size_t at = 0; at < sizeof roundings / sizeof roundings[0]; at += 1) {
    CHECK(fesetround(roundings[at]) == 0);
    CHECK(overlays_of(argv[1]) == expected);
  }
  CHECK(fesetround(FE_TONEAREST) == 0);
#ifdef __GLIBC__
  /* The signal of a trap would end the program. Some processors have no traps. */
  if (feenableexcept(FE_INVALID | FE_OVERFLOW | FE_DIVBYZERO | FE_UNDERFLOW) != -1) {
    CHECK(overlays_of(argv[1]) == expected);
    fedisableexcept(FE_ALL_EXCEPT);
  }
#endif
  return 0;
}
