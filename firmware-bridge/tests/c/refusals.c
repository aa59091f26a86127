/* Frames that cannot be used, memory that is overwritten, overlays and events that are not fetched: nothing is silent.
 *
 *     refusals MODEL FIFO
 */
#include "common.h"

/* A frame that cannot be used is refused at its commit, and the text says why. */
static void must_refuse(struct scan scan, sonotrace_frame_descriptor_t frame, const char *why) {
  CHECK(commit(scan.session, frame) == SONOTRACE_STATUS_FRAME);
  if (strstr(sonotrace_last_error(), why) == NULL) {
    fprintf(stderr, "\"%s\" does not say \"%s\"\n", sonotrace_last_error(), why);
    exit(1);
  }
}

static void frames(const char *model) {
  sonotrace_config_t config = small_config();
  struct scan scan = open_scan(model, &config);
  sonotrace_frame_descriptor_t frame = small_frame(1);
  frame.lines = 4096;
  frame.payload_bytes = 4096 * 64;
  must_refuse(scan, frame, "262144 bytes, a slot holds 8192");
  frame = small_frame(1);
  frame.amplitude_law = SONOTRACE_LAW_VENDOR_TABLE;
  must_refuse(scan, frame, "`law_table` is 0, the session has 0 tables");
  frame = small_frame(1);
  frame.abi_version = 9;
  must_refuse(scan, frame, "ABI version is 9");
  frame = small_frame(1);
  frame.descriptor_bytes -= 8;
  must_refuse(scan, frame, "`descriptor_bytes` is");

  /* A pending gain for amplitudes whose range is not known, a curve for rows whose depth is not known. */
  frame = small_frame(1);
  frame.flags = SONOTRACE_FRAME_TGC_PENDING;
  frame.amplitude_law = SONOTRACE_LAW_VENDOR_TABLE;
  must_refuse(scan, frame, "`flags` and `amplitude_law` contradict each other");
  frame = small_frame(1);
  frame.flags = SONOTRACE_FRAME_TGC_PENDING;
  frame.domain = SONOTRACE_DOMAIN_SCAN_CONVERTED;
  frame.geometry = SONOTRACE_GEOMETRY_RASTER_UNKNOWN;
  frame.tgc_points = 1;
  must_refuse(scan, frame, "`domain` and `tgc_points` contradict each other");

  /* The samples are checked by the step: event and counters name the checksum. */
  frame = small_frame(2);
  frame.flags = SONOTRACE_FRAME_CRC_PRESENT;
  frame.crc32 = 1;
  CHECK_OK(commit(scan.session, frame));
  CHECK(outcome(scan.session) == SONOTRACE_STEP_DROPPED);
  sonotrace_event_t event;
  do {
    CHECK_OK(sonotrace_event_next(scan.session, &event));
  } while (event.kind != SONOTRACE_EVENT_FRAME_DROPPED);
  CHECK(event.detail == SONOTRACE_DROP_REASON_MALFORMED && event.value == SONOTRACE_FRAME_FIELD_CRC32);
  char text[160];
  CHECK_OK(sonotrace_event_text(&event, text, sizeof text));
  CHECK(strstr(text, "malformed: field `crc32`") != NULL);
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.frames_refused == 6 && counters.dropped_malformed == 1 && counters.overlays == 0);
  CHECK(counters.malformed_by_field[SONOTRACE_FRAME_FIELD_CRC32] == 1);
  free_scan(scan);
}

static void displays(const char *model) {
  sonotrace_config_t config = small_config();
  config.display_width = config.display_height = 0;
  struct scan scan = open_scan(model, &config);
  must_refuse(scan, small_frame(1), "display");
  CHECK_OK(sonotrace_close(scan.session, NULL));
  config.display_width = 20000;
  config.display_height = 480;
  size_t bytes = 1, align = 1;
  CHECK(sonotrace_memory_required(sonotrace_model_data(scan.model), sonotrace_model_bytes(scan.model), &config, &bytes,
                                  &align) == SONOTRACE_STATUS_CONFIG);
  CHECK(bytes == 0 && align == 0 && strstr(sonotrace_last_error(), "20000") != NULL);
  free_scan(scan);
}

/* Writes past a slot's samples. A little is found at the commit; more destroys the rings behind, and every side says so. */
static void overruns(const char *model) {
  for (size_t past = 1; past < 1 << 17; past *= 2) {
    sonotrace_config_t config = small_config();
    config.frames_queued = 1;
    struct scan scan = open_scan(model, &config);
    sonotrace_frame_slot_t slot = {NULL, NULL, 0};
    /* The last slot, behind which the next ring lies. */
    uint64_t last = 0;
    while (last < 6) {
      sonotrace_frame_slot_t next;
      CHECK_OK(sonotrace_frame_acquire(scan.session, &next));
      slot = next.payload > slot.payload ? next : slot;
      CHECK_OK(commit(scan.session, small_frame(++last)));
      CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
    }
    sonotrace_frame_slot_t acquired;
    CHECK_OK(sonotrace_frame_acquire(scan.session, &acquired));
    while (acquired.payload != slot.payload) {
      CHECK_OK(commit(scan.session, small_frame(++last)));
      CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
      CHECK_OK(sonotrace_frame_acquire(scan.session, &acquired));
    }
    *slot.descriptor = small_frame(last + 1);
    memset(slot.payload, 0x5A, slot.payload_capacity + past);
    CHECK(sonotrace_frame_commit(scan.session, NULL) == SONOTRACE_STATUS_RING);
    /* It is not forgotten. */
    CHECK(sonotrace_frame_acquire(scan.session, &acquired) == SONOTRACE_STATUS_RING);
    CHECK(acquired.payload == NULL && acquired.descriptor == NULL && acquired.payload_capacity == 0);
    CHECK(sonotrace_frame_commit(scan.session, NULL) == SONOTRACE_STATUS_RING);
    const sonotrace_overlay_t *overlay = (const sonotrace_overlay_t *)scan.region;
    sonotrace_status_e step = sonotrace_step(scan.session, NULL, NULL);
    sonotrace_status_e fetched = SONOTRACE_STATUS_OK;
    for (int round = 0; round < 9 && fetched == SONOTRACE_STATUS_OK; round += 1) {
      fetched = sonotrace_overlay_poll(scan.session, &overlay);
    }
    CHECK(fetched == SONOTRACE_STATUS_EMPTY || fetched == SONOTRACE_STATUS_RING);
    CHECK(overlay == NULL);
    if (past >= 2048) {
      CHECK(step == SONOTRACE_STATUS_RING && fetched == SONOTRACE_STATUS_RING);
      CHECK(sonotrace_close(scan.session, NULL) == SONOTRACE_STATUS_RING);
    } else {
      (void)sonotrace_close(scan.session, NULL);
    }
    CHECK(sonotrace_step(scan.session, NULL, NULL) == SONOTRACE_STATUS_NOT_A_SESSION);
    free_scan(scan);
  }
}

/* The words of the ring whose slots have some content: found by its header. Another ring follows it, other than copies of the
 * header. */
static uint32_t *ring_of(struct scan scan, const char *content) {
  for (size_t at = 0; at + 64 <= scan.region_bytes; at += 64) {
    uint8_t *header = (uint8_t *)scan.region + at;
    if (memcmp(header, "SNTR", 4) == 0 && memcmp(header + 8, content, 4) == 0) {
      uint32_t *words = (uint32_t *)(void *)header;
      size_t next = at + words[12];
      if (next + 4 <= scan.region_bytes && memcmp((uint8_t *)scan.region + next, "SNTR", 4) == 0) {
        return words;
      }
    }
  }
  CHECK(0 && "no such ring");
  return NULL;
}

/* Foreign writes into the ring of overlays: an old overlay is never shown as the next one. */
static void old_overlays(const char *model) {
  for (int kind = 0; kind < 4; kind += 1) {
    sonotrace_config_t config = small_config();
    struct scan scan = open_scan(model, &config);
    for (uint64_t seq = 1; seq <= 3; seq += 1) {
      CHECK_OK(commit(scan.session, small_frame(seq)));
      CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
    }
    const sonotrace_overlay_t *overlay = NULL;
    CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
    CHECK(overlay->seq == 1);
    uint32_t *ring = ring_of(scan, "SNTO");
    uint32_t *cells = ring + ring[7] / 4, count = ring[8];
    /* The word that counts what was read; the queue of slots; an overlay, with zeros and with what looks like a later step. */
    if (kind == 0) {
      ring[48] -= 1;
    } else if (kind == 1) {
      for (uint32_t at = 1; at < count; at += 1) {
        cells[at] = cells[0];
      }
    } else {
      memset((uint8_t *)ring + ring[11], kind == 2 ? 0 : 0x5A, (size_t)ring[5] * ring[6]);
    }
    CHECK(sonotrace_overlay_poll(scan.session, &overlay) == SONOTRACE_STATUS_RING);
    CHECK(overlay == NULL);
    (void)sonotrace_close(scan.session, NULL);
    free_scan(scan);
  }
}

/* A foreign write moves a ring's position by more than the ring holds: the step says so at once, and neither it nor the close
 * takes what was never there. */
static void positions(const char *model) {
  const char *const contents[] = {"SNTF", "SNTO", "SNTC"};
  for (size_t at = 0; at < sizeof contents / sizeof contents[0]; at += 1) {
    sonotrace_config_t config = small_config();
    struct scan scan = open_scan(model, &config);
    CHECK_OK(commit(scan.session, small_frame(1)));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
    ring_of(scan, contents[at])[48] -= 1u << 30;
    sonotrace_step_e step = SONOTRACE_STEP_OVERLAY;
    CHECK(sonotrace_step(scan.session, &step, NULL) == SONOTRACE_STATUS_RING && step == SONOTRACE_STEP_IDLE);
    CHECK(strstr(sonotrace_last_error(), "queued slots") != NULL);
    sonotrace_counters_t counters;
    CHECK(sonotrace_close(scan.session, &counters) == SONOTRACE_STATUS_RING);
    CHECK(counters.overlays == 1 && counters.dropped_shut_down == 0 && counters.prompts_unanswered == 0);
    free_scan(scan);
  }
}

/* Nothing is fetched while prompts are made: every answer still arrives, once, and lost events are counted. */
static void unfetched(const char *model) {
  sonotrace_config_t config = small_config();
  config.events_queued = 4;
  struct scan scan = open_scan(model, &config);
  sonotrace_prompt_t click = small_click();
  unsigned answered[11] = {0};
  uint64_t seq = 0;
  for (unsigned ticket = 1; ticket <= 10; ticket += 1) {
    uint32_t given = 0;
    CHECK_OK(sonotrace_prompt(scan.session, &click, &given));
    CHECK(given == ticket);
    CHECK_OK(commit(scan.session, small_frame(++seq)));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  }
  for (unsigned round = 0; round < 10; round += 1) {
    const sonotrace_overlay_t *overlay;
    while (sonotrace_overlay_poll(scan.session, &overlay) == SONOTRACE_STATUS_OK) {
      for (uint32_t at = 0; at < overlay->answer_count; at += 1) {
        CHECK(overlay->answers[at].ticket >= 1 && overlay->answers[at].ticket <= 10);
        answered[overlay->answers[at].ticket] += 1;
      }
    }
    CHECK_OK(commit(scan.session, small_frame(++seq)));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  }
  for (unsigned ticket = 1; ticket <= 10; ticket += 1) {
    CHECK(answered[ticket] == 1);
  }
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_counters(scan.session, &counters));
  CHECK(counters.overlays_unfetched > 0 && counters.events_lost > 0);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

/* Replies to prompts that no fetched overlay had are counted when the session is closed: those of queued overlays, and those
 * that wait for another overlay because theirs was evicted. */
static void undelivered(const char *model) {
  for (unsigned fetched = 0; fetched <= 4; fetched += 1) {
    sonotrace_config_t config = small_config();
    struct scan scan = open_scan(model, &config);
    sonotrace_prompt_t click = small_click();
    sonotrace_counters_t counters;
    unsigned delivered = 0;
    for (uint64_t seq = 1; seq <= 10; seq += 1) {
      CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
      CHECK_OK(commit(scan.session, small_frame(seq)));
      CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
    }
    for (unsigned at = 0; at < fetched; at += 1) {
      const sonotrace_overlay_t *overlay;
      CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
      delivered += overlay->answer_count;
    }
    CHECK_OK(sonotrace_counters(scan.session, &counters));
    CHECK(counters.answers_undelivered == 0 && counters.overlays_unfetched == 6);
    /* One more, which no frame serves. */
    CHECK_OK(sonotrace_prompt(scan.session, &click, NULL));
    CHECK_OK(sonotrace_close(scan.session, &counters));
    CHECK(counters.prompts_unanswered == 1);
    CHECK(counters.prompts_served + counters.prompts_too_old + counters.prompts_refused == 10);
    CHECK(delivered >= fetched && counters.answers_undelivered == 10 - delivered);
    free_scan(scan);
  }
}

/* Anything but a regular file is refused at once, also a FIFO without a writer. */
static void files(const char *fifo) {
  const char *paths[] = {fifo, "/dev/zero", "/dev/null", "/", "/no/such/file"};
  for (size_t at = 0; at < sizeof paths / sizeof paths[0]; at += 1) {
    sonotrace_model_t *model = (sonotrace_model_t *)paths;
    CHECK(sonotrace_model_map(paths[at], &model) == SONOTRACE_STATUS_FILE);
    CHECK(model == NULL && strstr(sonotrace_last_error(), paths[at]) != NULL);
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  frames(argv[1]);
  displays(argv[1]);
  overruns(argv[1]);
  old_overlays(argv[1]);
  positions(argv[1]);
  unfetched(argv[1]);
  undelivered(argv[1]);
  files(argv[2]);
  return 0;
}
