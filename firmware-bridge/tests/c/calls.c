/* What the header says about single calls: names and texts, alignment and extent of memory, slots, lifetimes, capacities.
 *
 *     calls MODEL
 */
#include "common.h"

#include <dirent.h>
#include <pthread.h>

#define PAGE_BYTES 4096
#define MARGIN_BYTES 64
#define CANARY 0xC5

static int is_all(const void *start, uint8_t value, size_t bytes) {
  const uint8_t *at = start;
  while (bytes > 0 && *at == value) {
    at += 1;
    bytes -= 1;
  }
  return bytes == 0;
}

static void *has_no_error(void *user) {
  CHECK(sonotrace_last_error()[0] == 0);
  return user;
}

/* Versions, names, and the text of the last failure, which each thread has for itself. */
static void texts(const char *model) {
  static const char *const names[] = {"ok",     "empty",   "null pointer", "not a session", "busy",    "config",
                                      "model",  "file",    "region",       "session",       "frame",   "prompt",
                                      "full",   "ring",    "panic",        "poisoned",      "version", "memory"};
  CHECK(sizeof names / sizeof names[0] == SONOTRACE_STATUS_MEMORY + 1);
  for (uint32_t status = 0; status <= SONOTRACE_STATUS_MEMORY; status += 1) {
    CHECK(strcmp(sonotrace_status_name(status), names[status]) == 0);
  }
  CHECK(strcmp(sonotrace_status_name(SONOTRACE_STATUS_REALTIME + 1), "unknown") == 0);
  unsigned major, minor, patch;
  char rest;
  CHECK(sscanf(sonotrace_version(), "%u.%u.%u%c", &major, &minor, &patch, &rest) == 3);
  CHECK(sonotrace_abi_version() == SONOTRACE_ABI_VERSION);

  CHECK(sonotrace_last_error()[0] == 0);
  sonotrace_config_t config = small_config();
  CHECK(sonotrace_config_default(NULL) == SONOTRACE_STATUS_NULL_POINTER);
  CHECK(strcmp(sonotrace_last_error(), "`config` is null") == 0);
  /* A success leaves the text, and so does a queue that is empty. */
  struct scan scan = open_scan(model, &config);
  const sonotrace_overlay_t *overlay;
  CHECK(sonotrace_overlay_poll(scan.session, &overlay) == SONOTRACE_STATUS_EMPTY);
  CHECK(strcmp(sonotrace_last_error(), "`config` is null") == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, has_no_error, NULL) == 0 && pthread_join(thread, NULL) == 0);

  sonotrace_event_t event;
  CHECK_OK(sonotrace_event_next(scan.session, &event));
  char whole[200], cut[200];
  CHECK_OK(sonotrace_event_text(&event, whole, sizeof whole));
  size_t length = strlen(whole);
  CHECK(strstr(whole, "session opened in") != NULL && strchr(whole, '\n') == NULL);
  for (size_t room = 1; room <= length + 1; room += 1) {
    memset(cut, CANARY, sizeof cut);
    CHECK_OK(sonotrace_event_text(&event, cut, room));
    CHECK(strlen(cut) == room - 1 && strncmp(cut, whole, room - 1) == 0 && is_all(cut + room, CANARY, sizeof cut - room));
  }
  CHECK(sonotrace_event_text(&event, cut, 0) == SONOTRACE_STATUS_NULL_POINTER);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

/* One frame with a click; its contour. */
static sonotrace_overlay_object_t object_in(const sonotrace_config_t *config, uint8_t *region, size_t bytes,
                                            const uint8_t *data, size_t data_bytes) {
  sonotrace_session_t *session = NULL;
  CHECK_OK(sonotrace_open(data, data_bytes, config, region, bytes, &session));
  sonotrace_prompt_t click = small_click();
  CHECK_OK(sonotrace_prompt(session, &click, NULL));
  CHECK_OK(commit(session, small_frame(1)));
  CHECK(outcome(session) == SONOTRACE_STEP_OVERLAY);
  const sonotrace_overlay_t *overlay = NULL;
  CHECK_OK(sonotrace_overlay_poll(session, &overlay));
  CHECK(overlay->object_count == 1);
  sonotrace_overlay_object_t object = overlay->objects[0];
  CHECK_OK(sonotrace_close(session, NULL));
  return object;
}

/* Regions: on the alignment that was returned and on no smaller one, of the size that was returned and of more, with any content
 * before; nothing is written beside them. Models: on a multiple of 64. */
static void memory(const char *path) {
  sonotrace_config_t config = small_config();
  sonotrace_model_t *model = NULL;
  CHECK_OK(sonotrace_model_map(path, &model));
  const uint8_t *data = sonotrace_model_data(model);
  size_t data_bytes = sonotrace_model_bytes(model), bytes = 0, align = 0, of_head = 0;
  CHECK((uintptr_t)data % PAGE_BYTES == 0);
  CHECK_OK(sonotrace_memory_required(data, data_bytes, &config, &bytes, &align));
  CHECK(align >= 64 && (align & (align - 1)) == 0);
  uint8_t *head = malloc(PAGE_BYTES);
  memcpy(head, data, PAGE_BYTES);
  CHECK_OK(sonotrace_memory_required(head, PAGE_BYTES, &config, &of_head, &align));
  CHECK(of_head == bytes);
  free(head);

  size_t room = 4 * align + bytes + MARGIN_BYTES;
  uint8_t *whole = aligned_alloc(2 * align, (room + 2 * align - 1) / (2 * align) * 2 * align);
  CHECK(whole != NULL);
  sonotrace_session_t *session = NULL;
  for (size_t offset = 1; offset < align; offset *= 2) {
    session = (sonotrace_session_t *)whole;
    memset(whole, CANARY, room);
    CHECK(sonotrace_open(data, data_bytes, &config, whole + offset, bytes, &session) == SONOTRACE_STATUS_REGION);
    CHECK(session == NULL && strstr(sonotrace_last_error(), "multiple") != NULL);
    CHECK(is_all(whole, CANARY, room));
  }
  session = (sonotrace_session_t *)whole;
  CHECK(sonotrace_open(data, data_bytes, &config, whole, bytes - 1, &session) == SONOTRACE_STATUS_REGION);
  CHECK(session == NULL && is_all(whole, CANARY, room));
  sonotrace_overlay_object_t objects[2];
  for (int at = 0; at < 2; at += 1) {
    /* Odd multiples of the alignment: no other one is needed. */
    uint8_t *region = whole + align;
    memset(whole, CANARY, room);
    memset(region, at == 0 ? 0 : 0xFF, bytes);
    objects[at] = object_in(&config, region, bytes, data, data_bytes);
    CHECK(is_all(whole, CANARY, align) && is_all(region + bytes, CANARY, MARGIN_BYTES));
  }
  CHECK(memcmp(&objects[0], &objects[1], sizeof objects[0]) == 0);
  /* More than what is needed, in a region that was used before. */
  (void)object_in(&config, whole + align, bytes + MARGIN_BYTES, data, data_bytes);

  uint8_t *copy = aligned_alloc(PAGE_BYTES, (data_bytes + 2 * PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
  CHECK(copy != NULL);
  for (size_t offset = 1; offset < PAGE_BYTES; offset *= 2) {
    memcpy(copy + offset, data, data_bytes);
    if (offset >= 64) {
      (void)object_in(&config, whole, bytes, copy + offset, data_bytes);
      continue;
    }
    CHECK(sonotrace_open(copy + offset, data_bytes, &config, whole, bytes, &session) == SONOTRACE_STATUS_MODEL);
    CHECK(session == NULL && strstr(sonotrace_last_error(), "64") != NULL);
  }
  free(copy);
  free(whole);
  sonotrace_model_unmap(model);
}

/* Threads of this program. */
static unsigned threads(void) {
  unsigned count = 0;
  DIR *folder = opendir("/proc/self/task");
  CHECK(folder != NULL);
  while (readdir(folder) != NULL) {
    count += 1;
  }
  closedir(folder);
  return count;
}

/* Sessions that share a model; a session starts no thread; the configuration and its tables are copied. */
static void lifetimes(const char *path) {
  uint8_t *tables = calloc(2, 256);
  sonotrace_config_t config = small_config();
  config.vendor_tables = tables;
  config.vendor_table_count = 2;
  unsigned before = threads();
  struct scan scan = open_scan(path, &config);
  sonotrace_session_t *other = NULL;
  void *region = aligned_alloc(4096, (scan.region_bytes + 4095) / 4096 * 4096);
  CHECK_OK(sonotrace_open(sonotrace_model_data(scan.model), sonotrace_model_bytes(scan.model), &config, region,
                          scan.region_bytes, &other));
  memset(&config, 0xFF, sizeof config);
  memset(tables, 0xFF, 512);
  free(tables);
  for (uint32_t table = 0; table <= 2; table += 1) {
    sonotrace_frame_descriptor_t frame = small_frame(table + 1);
    frame.amplitude_law = SONOTRACE_LAW_VENDOR_TABLE;
    frame.law_table = table;
    CHECK(commit(scan.session, frame) == (table < 2 ? SONOTRACE_STATUS_OK : SONOTRACE_STATUS_FRAME));
    if (table < 2) {
      CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
    }
    CHECK_OK(commit(other, small_frame(table + 1)));
    CHECK(outcome(other) == SONOTRACE_STEP_OVERLAY);
  }
  CHECK(threads() == before);
  CHECK_OK(sonotrace_close(other, NULL));
  free(region);
  /* An overlay stays as it is until the next one is fetched, also if the queue overflows meanwhile. */
  const sonotrace_overlay_t *overlay;
  CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
  CHECK(overlay->seq == 1);
  sonotrace_overlay_t copy = *overlay;
  for (uint64_t seq = 4; seq <= 20; seq += 1) {
    CHECK_OK(commit(scan.session, small_frame(seq)));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
    CHECK(memcmp(overlay, &copy, sizeof copy) == 0);
  }
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

/* Slots: alignment and capacity for any payload, the same one until it is committed, with the last frame's descriptor. */
static void slots(const char *path) {
  for (size_t payload_bytes = 1024; payload_bytes < 1024 + 64; payload_bytes += 7) {
    sonotrace_config_t config = small_config();
    config.payload_bytes = payload_bytes;
    struct scan scan = open_scan(path, &config);
    sonotrace_frame_slot_t slot, again;
    for (uint64_t seq = 1; seq <= 20; seq += 1) {
      CHECK_OK(sonotrace_frame_acquire(scan.session, &slot));
      CHECK((uintptr_t)slot.payload % 64 == 0 && slot.payload_capacity == payload_bytes);
      CHECK_OK(sonotrace_frame_acquire(scan.session, &again));
      CHECK(memcmp(&slot, &again, sizeof slot) == 0);
      memset(slot.payload, 0x11, slot.payload_capacity);
      CHECK(seq < 10 || (slot.descriptor->seq > 0 && slot.descriptor->seq < seq && slot.descriptor->lines == 16));
      CHECK_OK(sonotrace_frame_descriptor_init(slot.descriptor));
      CHECK(memcmp(&slot.descriptor->magic, "SNTF", 4) == 0);
      CHECK(slot.descriptor->abi_version == SONOTRACE_FRAME_ABI_VERSION);
      CHECK(slot.descriptor->descriptor_bytes == sizeof *slot.descriptor);
      CHECK(is_all(&slot.descriptor->payload_bytes, 0, sizeof *slot.descriptor - 8));
      *slot.descriptor = small_frame(seq);
      CHECK_OK(sonotrace_frame_commit(scan.session, NULL));
      CHECK(sonotrace_frame_commit(scan.session, NULL) == SONOTRACE_STATUS_FRAME);
      CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
    }
    sonotrace_counters_t counters;
    CHECK_OK(sonotrace_close(scan.session, &counters));
    CHECK(counters.overlays == 20);
    free_scan(scan);
  }
}

/* The capacities of the queues, and the policy for the newest frame. */
static void capacities(const char *path) {
  sonotrace_config_t config = small_config();
  config.frames_queued = 3;
  config.overlays_queued = 2;
  config.commands_queued = 5;
  config.policy = SONOTRACE_POLICY_NEWEST;
  struct scan scan = open_scan(path, &config);
  sonotrace_frame_slot_t slot;
  for (uint64_t seq = 1; seq <= 5; seq += 1) {
    uint32_t evicted = 9;
    CHECK_OK(sonotrace_frame_acquire(scan.session, &slot));
    *slot.descriptor = small_frame(seq);
    CHECK_OK(sonotrace_frame_commit(scan.session, &evicted));
    CHECK(evicted == (seq > 3));
  }
  sonotrace_prompt_t click = small_click();
  for (uint32_t ticket = 1; ticket <= 5; ticket += 1) {
    uint32_t given = 0;
    CHECK_OK(sonotrace_prompt(scan.session, &click, &given));
    CHECK(given == ticket);
  }
  CHECK(sonotrace_prompt(scan.session, &click, NULL) == SONOTRACE_STATUS_FULL);
  CHECK(sonotrace_set_frozen(scan.session, 1) == SONOTRACE_STATUS_FULL);
  CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  const sonotrace_overlay_t *overlay;
  CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
  CHECK(overlay->seq == 5 && overlay->answer_count == 5);
  CHECK(sonotrace_overlay_poll(scan.session, &overlay) == SONOTRACE_STATUS_EMPTY && overlay == NULL);
  for (uint64_t seq = 6; seq <= 9; seq += 1) {
    CHECK_OK(commit(scan.session, small_frame(seq)));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  }
  /* The oldest first, of the last two. */
  CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
  CHECK(overlay->seq == 8);
  CHECK_OK(sonotrace_overlay_poll(scan.session, &overlay));
  CHECK(overlay->seq == 9);
  /* Frames that a newer one replaces are counted without an event, evicted overlays with one. */
  uint64_t unfetched = 0;
  sonotrace_event_t event;
  while (sonotrace_event_next(scan.session, &event) == SONOTRACE_STATUS_OK) {
    CHECK(event.kind != SONOTRACE_EVENT_FRAME_DROPPED && event.kind != SONOTRACE_EVENT_FRAMES_MISSING);
    unfetched = event.kind == SONOTRACE_EVENT_OVERLAYS_UNFETCHED ? event.value : unfetched;
  }
  CHECK(unfetched == 2);
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.dropped_superseded == 4 && counters.overlays == 5 && counters.overlays_unfetched == 2);
  free_scan(scan);
}

/* Prompts that no session can serve are refused at once; a removal needs no place. */
static void prompts(const char *path) {
  sonotrace_config_t config = small_config();
  struct scan scan = open_scan(path, &config);
  const float nan = strtof("nan", NULL), infinity = strtof("inf", NULL);
  for (int kind = 0; kind < 12; kind += 1) {
    sonotrace_prompt_t prompt = small_click();
    const char *why = "";
    switch (kind) {
    case 0: prompt.kind = 0, why = "kind"; break;
    case 1: prompt.kind = 4, why = "kind"; break;
    case 2: prompt.kind = 6, why = "kind"; break;
    case 3: prompt.object = 0, why = "object"; break;
    case 4: prompt.space = 0, why = "space"; break;
    case 5: prompt.space = 4, why = "space"; break;
    case 6: prompt.is_positive = 2, why = "is_positive"; break;
    case 7: prompt.from[0] = nan; break;
    case 8: prompt.from[1] = -infinity; break;
    case 9: prompt.kind = SONOTRACE_PROMPT_BOX, prompt.to[0] = nan; break;
    case 10: prompt.kind = SONOTRACE_PROMPT_BOX, prompt.to[1] = infinity; break;
    default: prompt.kind = SONOTRACE_PROMPT_BOX, prompt.from[0] = infinity; break;
    }
    uint32_t ticket = 9;
    CHECK(sonotrace_prompt(scan.session, &prompt, &ticket) == SONOTRACE_STATUS_PROMPT && ticket == 0);
    CHECK(strstr(sonotrace_last_error(), why) != NULL);
  }
  sonotrace_prompt_t removal;
  memset(&removal, 0xFF, sizeof removal);
  removal.kind = SONOTRACE_PROMPT_REMOVE;
  CHECK_OK(sonotrace_prompt(scan.session, &removal, NULL));
  /* Neither frozen nor live. */
  CHECK(sonotrace_set_frozen(scan.session, 2) == SONOTRACE_STATUS_CONFIG);
  CHECK_OK(commit(scan.session, small_frame(1)));
  CHECK(outcome(scan.session) == SONOTRACE_STEP_OVERLAY);
  CHECK_OK(sonotrace_prompt(scan.session, &removal, NULL));
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_close(scan.session, &counters));
  CHECK(counters.bad_commands == 0 && counters.prompts_refused == 1 && counters.prompts_unanswered == 1);
  free_scan(scan);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  texts(argv[1]);
  memory(argv[1]);
  lifetimes(argv[1]);
  slots(argv[1]);
  capacities(argv[1]);
  prompts(argv[1]);
  return 0;
}
