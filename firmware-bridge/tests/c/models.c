/* A model file of which one bit changed is refused, wherever the bit is, also in padding.
 *
 *     models MODEL STRIDE
 *
 * Changes one bit in every STRIDE-th byte.
 */
#include "common.h"

int main(int argc, char **argv) {
  CHECK(argc == 3);
  size_t stride = (size_t)strtoul(argv[2], NULL, 10);
  CHECK(stride > 0);
  sonotrace_config_t config = small_config();
  config.payload_bytes = 1024;
  struct scan scan = open_scan(argv[1], &config);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  size_t data_bytes = sonotrace_model_bytes(scan.model);
  uint8_t *data = aligned_alloc(4096, (data_bytes + 4095) / 4096 * 4096);
  CHECK(data != NULL);
  memcpy(data, sonotrace_model_data(scan.model), data_bytes);
  size_t refused = 0, padding = 0;
  for (size_t at = 0; at < data_bytes; at += stride) {
    padding += data[at] == 0;
    data[at] ^= (uint8_t)(1u << refused % 8);
    sonotrace_session_t *session = (sonotrace_session_t *)scan.region;
    sonotrace_status_e status = sonotrace_open(data, data_bytes, &config, scan.region, scan.region_bytes, &session);
    if (status == SONOTRACE_STATUS_OK) {
      fprintf(stderr, "a change of byte %zu is not noticed\n", at);
      exit(1);
    }
    CHECK(session == NULL && sonotrace_last_error()[0] != 0);
    data[at] ^= (uint8_t)(1u << refused % 8);
    refused += 1;
  }
  /* One byte less. */
  sonotrace_session_t *session = NULL;
  CHECK(sonotrace_open(data, data_bytes - 1, &config, scan.region, scan.region_bytes, &session) ==
        SONOTRACE_STATUS_MODEL);
  CHECK_OK(sonotrace_open(data, data_bytes, &config, scan.region, scan.region_bytes, &session));
  CHECK_OK(sonotrace_close(session, NULL));
  printf("%zu changes refused, %zu of them of zeros\n", refused, padding);
  free(data);
  free_scan(scan);
  return 0;
}
