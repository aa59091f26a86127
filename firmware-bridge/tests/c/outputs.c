/* Settings that sonotrace_open refuses are refused by sonotrace_memory_required too, with the same text; every output is set
 * after a failure.
 *
 *     outputs MODEL
 */
#include "common.h"

static int is_zero(const void *start, size_t bytes) {
  const uint8_t *at = start;
  while (bytes > 0 && *at == 0) {
    at += 1;
    bytes -= 1;
  }
  return bytes == 0;
}

static sonotrace_config_t wrong(int kind, uint8_t *tables) {
  sonotrace_config_t config = small_config();
  switch (kind) {
  case 0: config.checks_per_frame = 11; break;
  case 1: config.policy = 0; break;
  case 2: config.policy = 3; break;
  case 3: config.display_width = 0; break;
  case 4: config.display_height = 0; break;
  case 5: config.display_width = 16385; break;
  case 6: config.display_height = 16385; break;
  case 7: config.frames_queued = 0; break;
  case 8: config.overlays_queued = 0; break;
  case 9: config.commands_queued = 0; break;
  case 10: config.events_queued = UINT32_MAX; break;
  case 11: config.payload_bytes = UINT64_MAX; break;
  case 12: config.budget_ns = 0; break;
  case 13: config.slice_ns = 0; break;
  case 14: config.table_rows_per_frame = 0; break;
  case 15: config.kept_frames = UINT32_MAX; break;
  case 16: config.attention_below = -1; break;
  case 17: config.absent_from = 0; break;
  case 18: config.vendor_table_count = 1; break;
  case 19:
    config.vendor_table_count = SONOTRACE_VENDOR_TABLES_MAX + 1;
    config.vendor_tables = tables;
    break;
  case 20: config.config_bytes += 8; break;
  case 21: config.config_bytes = 0; break;
  case 22: config.abi_version += 1; break;
  case 23: config.overlay_bytes -= 8; break;
  default: config.kept_frames = 0; break;
  }
  return config;
}

static void settings(const char *path) {
  static uint8_t tables[256];
  sonotrace_config_t good = small_config();
  struct scan scan = open_scan(path, &good);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  const uint8_t *data = sonotrace_model_data(scan.model);
  size_t data_bytes = sonotrace_model_bytes(scan.model);
  for (int kind = 0; kind <= 24; kind += 1) {
    sonotrace_config_t config = wrong(kind, tables);
    size_t bytes = 1, align = 1;
    char text[256];
    sonotrace_status_e status = sonotrace_memory_required(data, data_bytes, &config, &bytes, &align);
    if (status == SONOTRACE_STATUS_OK) {
      fprintf(stderr, "wrong setting %d is accepted\n", kind);
      exit(1);
    }
    CHECK(bytes == 0 && align == 0);
    snprintf(text, sizeof text, "%s", sonotrace_last_error());
    scan.session = (sonotrace_session_t *)scan.region;
    CHECK(sonotrace_open(data, data_bytes, &config, scan.region, scan.region_bytes, &scan.session) == status);
    CHECK(scan.session == NULL && strncmp(text, sonotrace_last_error(), sizeof text - 1) == 0);
  }
  /* A region of one byte less, one that starts at an odd address, and a cut model. */
  scan.session = (sonotrace_session_t *)scan.region;
  CHECK(sonotrace_open(data, data_bytes, &good, scan.region, scan.region_bytes - 1, &scan.session) ==
        SONOTRACE_STATUS_REGION);
  CHECK(scan.session == NULL);
  scan.session = (sonotrace_session_t *)scan.region;
  CHECK(sonotrace_open(data, data_bytes, &good, (uint8_t *)scan.region + 1, scan.region_bytes, &scan.session) ==
        SONOTRACE_STATUS_REGION);
  CHECK(scan.session == NULL);
  size_t bytes = 1, align = 1;
  CHECK(sonotrace_memory_required(data, 4095, &good, &bytes, &align) == SONOTRACE_STATUS_MODEL);
  CHECK(bytes == 0 && align == 0);
  free_scan(scan);
}

static void calls(const char *path) {
  sonotrace_config_t config = small_config();
  config.commands_queued = 1;
  struct scan scan = open_scan(path, &config);
  sonotrace_model_t *model = (sonotrace_model_t *)scan.region;
  CHECK(sonotrace_model_map("/no/such/file", &model) == SONOTRACE_STATUS_FILE && model == NULL);

  memset(&config, 0x55, sizeof config);
  CHECK(sonotrace_config_sized(&config, sizeof config, SONOTRACE_ABI_VERSION + 1) == SONOTRACE_STATUS_VERSION);
  CHECK(is_zero(&config, sizeof config));

  uint32_t number = 9;
  CHECK(sonotrace_frame_commit(scan.session, &number) == SONOTRACE_STATUS_FRAME && number == 0);
  sonotrace_prompt_t click = small_click();
  click.object = 0;
  number = 9;
  CHECK(sonotrace_prompt(scan.session, &click, &number) == SONOTRACE_STATUS_PROMPT && number == 0);
  click.object = 1;
  CHECK_OK(sonotrace_prompt(scan.session, &click, &number));
  CHECK(number == 1 && sonotrace_prompt(scan.session, &click, &number) == SONOTRACE_STATUS_FULL && number == 0);

  const sonotrace_overlay_t *overlay = (const sonotrace_overlay_t *)scan.region;
  CHECK(sonotrace_overlay_poll(scan.session, &overlay) == SONOTRACE_STATUS_EMPTY && overlay == NULL);
  overlay = (const sonotrace_overlay_t *)scan.region;
  CHECK(sonotrace_overlay_wait(scan.session, 1, &overlay) == SONOTRACE_STATUS_TIMEOUT && overlay == NULL);
  sonotrace_event_t event;
  while (sonotrace_event_next(scan.session, &event) == SONOTRACE_STATUS_OK) {
    memset(&event, 0x55, sizeof event);
  }
  CHECK(is_zero(&event, sizeof event));
  char text[8] = "before";
  CHECK(sonotrace_event_text(NULL, text, sizeof text) == SONOTRACE_STATUS_NULL_POINTER && text[0] == 0);

  /* After the close, every call is refused, with its outputs set. */
  CHECK_OK(sonotrace_close(scan.session, NULL));
  const sonotrace_status_e closed = SONOTRACE_STATUS_NOT_A_SESSION;
  sonotrace_frame_slot_t slot = {(sonotrace_frame_descriptor_t *)scan.region, scan.region, 9};
  CHECK(sonotrace_frame_acquire(scan.session, &slot) == closed && is_zero(&slot, sizeof slot));
  number = 9;
  CHECK(sonotrace_frame_commit(scan.session, &number) == closed && number == 0);
  number = 9;
  CHECK(sonotrace_prompt(scan.session, &click, &number) == closed && number == 0);
  CHECK(sonotrace_set_frozen(scan.session, 1) == closed);
  sonotrace_step_e step = SONOTRACE_STEP_OVERLAY;
  uint64_t seq = 9;
  CHECK(sonotrace_step(scan.session, &step, &seq) == closed && step == SONOTRACE_STEP_IDLE && seq == 0);
  overlay = (const sonotrace_overlay_t *)scan.region;
  CHECK(sonotrace_overlay_poll(scan.session, &overlay) == closed && overlay == NULL);
  overlay = (const sonotrace_overlay_t *)scan.region;
  CHECK(sonotrace_overlay_wait(scan.session, 1, &overlay) == closed && overlay == NULL);
  memset(&event, 0x55, sizeof event);
  CHECK(sonotrace_event_next(scan.session, &event) == closed && is_zero(&event, sizeof event));
  sonotrace_counters_t counters;
  memset(&counters, 0x55, sizeof counters);
  CHECK(sonotrace_counters(scan.session, &counters) == closed && is_zero(&counters, sizeof counters));
  memset(&counters, 0x55, sizeof counters);
  CHECK(sonotrace_close(scan.session, &counters) == closed && is_zero(&counters, sizeof counters));
  free_scan(scan);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  settings(argv[1]);
  calls(argv[1]);
  return 0;
}
