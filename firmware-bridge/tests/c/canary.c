/* A caller that promises a region longer than it is. Must end with a report of AddressSanitizer.
 *
 *     canary MODEL
 */
#include "common.h"

int main(int argc, char **argv) {
  CHECK(argc == 2);
  sonotrace_config_t config = small_config();
  sonotrace_model_t *model = NULL;
  sonotrace_session_t *session = NULL;
  size_t bytes = 0, align = 0;
  CHECK_OK(sonotrace_model_map(argv[1], &model));
  const uint8_t *data = sonotrace_model_data(model);
  CHECK_OK(sonotrace_memory_required(data, sonotrace_model_bytes(model), &config, &bytes, &align));
  uint8_t *region = aligned_alloc(align, bytes / align * align - align);
  CHECK(region != NULL);
  (void)sonotrace_open(data, sonotrace_model_bytes(model), &config, region, bytes, &session);
  return 0;
}
