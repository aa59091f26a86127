/* Totals: every frame that was committed is delivered, dropped for one reason, or waits; every overlay is fetched, evicted or
 * waits; every event and every prompt is accounted for. Frames, faults, prompts, steps and fetches in an arbitrary order.
 *
 *     accounting MODEL
 */
#include "common.h"

static uint32_t random_below(uint32_t limit) {
  static uint32_t state = 1;
  state = state * 1664525 + 1013904223;
  return (state >> 8) % limit;
}

#define OPERATIONS 4000
#define SEQ_MAX (2 * OPERATIONS)

/* What the caller has seen. */
struct seen {
  uint64_t committed, evicted, refused, steps, overlays, updates, fetched, answers, prompts, full;
  uint64_t malformed, out_of_order, frozen;
  /* Frames that are queued or in work. */
  uint64_t waiting;
  uint64_t seq, last;
  uint8_t is_malformed[SEQ_MAX + 1], is_late[SEQ_MAX + 1], is_frozen[SEQ_MAX + 1];
};

static struct seen seen;

static uint64_t dropped(const sonotrace_counters_t *counters) {
  return counters->dropped_superseded + counters->dropped_malformed + counters->dropped_out_of_order +
         counters->dropped_frozen + counters->dropped_shut_down;
}

static void commit_one(sonotrace_session_t *session) {
  sonotrace_frame_slot_t slot;
  CHECK_OK(sonotrace_frame_acquire(session, &slot));
  sonotrace_frame_descriptor_t frame = small_frame(++seen.seq);
  uint32_t evicted = 9;
  if (random_below(6) == 0) {
    frame.samples = 1;
    *slot.descriptor = frame;
    CHECK(sonotrace_frame_commit(session, &evicted) == SONOTRACE_STATUS_FRAME && evicted == 0);
    seen.refused += 1;
    return;
  }
  if (random_below(4) == 0) {
    frame.flags |= SONOTRACE_FRAME_CRC_PRESENT;
    frame.crc32 = 1;
    memset(slot.payload, 0, frame.payload_bytes);
    seen.is_malformed[seen.seq] = 1;
  } else if (random_below(4) == 0) {
    frame.flags |= SONOTRACE_FRAME_FROZEN;
    seen.is_frozen[seen.seq] = 1;
  } else if (random_below(4) == 0) {
    /* Older than any frame that was delivered, but for the first ones. */
    frame.t_acq_ns = 0;
    seen.is_late[seen.seq] = 1;
  }
  *slot.descriptor = frame;
  CHECK_OK(sonotrace_frame_commit(session, &evicted));
  CHECK(evicted <= 1);
  seen.committed += 1;
  seen.evicted += evicted;
  seen.waiting += 1 - evicted;
}

static sonotrace_step_e step_one(sonotrace_session_t *session, uint32_t policy) {
  sonotrace_step_e step = SONOTRACE_STEP_IDLE;
  uint64_t seq = 0;
  CHECK_OK(sonotrace_step(session, &step, &seq));
  seen.steps += 1;
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_counters(session, &counters));
  if (step == SONOTRACE_STEP_OVERLAY) {
    CHECK(seq > seen.last && !seen.is_malformed[seq] && !seen.is_frozen[seq]);
    seen.last = seq;
    seen.overlays += 1;
    seen.waiting -= 1;
  } else if (step == SONOTRACE_STEP_DROPPED) {
    CHECK(seen.is_malformed[seq] + seen.is_frozen[seq] + seen.is_late[seq] == 1);
    seen.malformed += seen.is_malformed[seq];
    seen.frozen += seen.is_frozen[seq];
    seen.out_of_order += seen.is_late[seq];
    seen.waiting -= 1;
  } else if (step == SONOTRACE_STEP_UPDATE) {
    /* Of a frozen image: the last frame that was computed, after which others may have been shown. */
    CHECK(seq <= seen.last);
    seen.updates += 1;
  } else {
    CHECK(seq == 0);
  }
  /* Frames that were evicted are counted by the step after it. Those that a newer frame replaces no longer wait. */
  CHECK(counters.dropped_superseded >= seen.evicted);
  if (policy == SONOTRACE_POLICY_NEWEST) {
    uint64_t left = counters.dropped_superseded - seen.evicted;
    CHECK(seen.waiting >= left);
    seen.waiting -= left;
    seen.evicted += left;
  }
  CHECK(counters.dropped_superseded == seen.evicted);
  CHECK(seen.committed == counters.overlays + dropped(&counters) + seen.waiting);
  CHECK(seen.waiting <= 4 + 1 && (step != SONOTRACE_STEP_IDLE || seen.waiting == 0));
  CHECK(counters.overlays == seen.overlays && counters.updates == seen.updates && counters.heartbeat == seen.steps);
  CHECK(counters.dropped_malformed == seen.malformed && counters.dropped_frozen == seen.frozen);
  CHECK(counters.dropped_out_of_order == seen.out_of_order && counters.dropped_shut_down == 0);
  CHECK(counters.malformed_by_field[SONOTRACE_FRAME_FIELD_CRC32] == seen.malformed);
  CHECK(counters.frames_refused == seen.refused && counters.bad_commands == 0 && counters.prompts_unanswered == 0);
  uint64_t queued = seen.overlays + seen.updates - seen.fetched - counters.overlays_unfetched;
  CHECK(queued <= 4);
  return step;
}

/* Any order of calls, then a close with frames, overlays and prompts that wait, and a frame in work if a frame takes more than one
 * step. */
static void any_order(const char *model, uint32_t policy, uint32_t steps_max) {
  memset(&seen, 0, sizeof seen);
  sonotrace_config_t config = small_config();
  config.policy = policy;
  /* One piece of work in each step, or whole frames. */
  config.slice_ns = steps_max > 1 ? 1 : 1000000000;
  struct scan scan = open_scan(model, &config);
  sonotrace_session_t *session = scan.session;
  sonotrace_prompt_t click = small_click();
  const sonotrace_overlay_t *overlay;
  for (int at = 0; at < OPERATIONS; at += 1) {
    switch (random_below(8)) {
    case 0:
    case 1:
    case 2: commit_one(session); break;
    case 3:
    case 4:
    case 5:
      for (uint32_t left = 1 + random_below(steps_max); left > 0; left -= 1) {
        (void)step_one(session, policy);
      }
      break;
    case 6:
      while (sonotrace_overlay_poll(session, &overlay) == SONOTRACE_STATUS_OK) {
        seen.fetched += 1;
        seen.answers += overlay->answer_count;
      }
      break;
    default: {
      sonotrace_status_e status = sonotrace_prompt(session, &click, NULL);
      CHECK(status == SONOTRACE_STATUS_OK || status == SONOTRACE_STATUS_FULL);
      seen.prompts += status == SONOTRACE_STATUS_OK;
      seen.full += status == SONOTRACE_STATUS_FULL;
    }
    }
  }
  /* One frame waits at least. */
  do {
    commit_one(session);
  } while (seen.waiting == 0);
  while (steps_max > 1 && step_one(session, policy) != SONOTRACE_STEP_WORKING) {
    commit_one(session);
  }
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_counters(session, &counters));
  CHECK(counters.answers_undelivered == 0 && counters.frames_refused == seen.refused);
  CHECK_OK(sonotrace_close(session, &counters));
  CHECK(counters.dropped_shut_down == seen.waiting && counters.dropped_superseded == seen.evicted);
  CHECK(seen.committed == counters.overlays + dropped(&counters));
  CHECK(counters.frames_refused == seen.refused && seen.refused > 50);
  uint64_t replied = counters.prompts_served + counters.prompts_too_old + counters.prompts_refused;
  CHECK(seen.prompts == replied + counters.prompts_unanswered);
  CHECK(replied == seen.answers + counters.answers_undelivered);
  printf("%llu committed: %llu overlays, %llu evicted or superseded, %llu malformed, %llu frozen, %llu late; %llu updates, "
         "%llu unfetched, %llu prompts\n",
         (unsigned long long)seen.committed, (unsigned long long)counters.overlays, (unsigned long long)seen.evicted,
         (unsigned long long)seen.malformed, (unsigned long long)seen.frozen, (unsigned long long)seen.out_of_order,
         (unsigned long long)seen.updates, (unsigned long long)counters.overlays_unfetched,
         (unsigned long long)seen.prompts);
  CHECK(seen.overlays > 50 && seen.evicted > 10 && seen.malformed > 10 && seen.frozen > 10 && seen.out_of_order > 10);
  CHECK(seen.updates > 0 && counters.overlays_unfetched > 0 && seen.prompts > 50);
  free_scan(scan);
}

/* Each frame with a wrong checksum gives one event: those fetched and those lost are all of them, and the oldest are lost. */
static void events(const char *model) {
  sonotrace_config_t config = small_config();
  config.events_queued = 4;
  struct scan scan = open_scan(model, &config);
  sonotrace_event_t event;
  CHECK_OK(sonotrace_event_next(scan.session, &event));
  CHECK(event.kind == SONOTRACE_EVENT_OPENED && event.value > 0 && event.value <= scan.region_bytes);
  for (uint64_t seq = 1; seq <= 10; seq += 1) {
    sonotrace_frame_descriptor_t frame = small_frame(seq);
    frame.flags = SONOTRACE_FRAME_CRC_PRESENT;
    CHECK_OK(commit(scan.session, frame));
    CHECK(outcome(scan.session) == SONOTRACE_STEP_DROPPED);
  }
  sonotrace_counters_t counters;
  CHECK_OK(sonotrace_counters(scan.session, &counters));
  CHECK(counters.events_lost == 6);
  for (uint64_t seq = 7; seq <= 10; seq += 1) {
    CHECK_OK(sonotrace_event_next(scan.session, &event));
    CHECK(event.kind == SONOTRACE_EVENT_FRAME_DROPPED && event.seq == seq);
  }
  CHECK(sonotrace_event_next(scan.session, &event) == SONOTRACE_STATUS_EMPTY);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  any_order(argv[1], SONOTRACE_POLICY_ALL, 1);
  any_order(argv[1], SONOTRACE_POLICY_NEWEST, 1);
  any_order(argv[1], SONOTRACE_POLICY_ALL, 150);
  any_order(argv[1], SONOTRACE_POLICY_NEWEST, 150);
  events(argv[1]);
  return 0;
}
