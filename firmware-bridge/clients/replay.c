/* A device's use of sonotrace, in C: two sessions at once, then a session with another model.
 *
 *     replay MODEL OTHER_MODEL FRAMES PROMPTS OVERLAYS OTHER_OVERLAYS
 *
 * FRAMES contains frames one after another, each a descriptor and its samples. PROMPTS is text with one prompt per
 * line: the frame (counted from 1) before which it is sent, then kind, object, space, is_positive, x0, y0, x1, y1.
 * OVERLAYS receives MODEL's overlays of all frames, as they are in memory, OTHER_OVERLAYS those of OTHER_MODEL for the
 * first three frames.
 *
 * The clock shows the acquisition time of the current frame, so the same files give the same bytes.
 */

#include "sonotrace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMPTS_MAX 64

struct timed_prompt {
  unsigned before_frame;
  sonotrace_prompt_t prompt;
};

static uint64_t now_ns;

static uint64_t read_clock(void *user) {
  return *(const uint64_t *)user;
}

/* Exits if a call failed. */
static void must(sonotrace_status_e status, const char *what) {
  if (status != SONOTRACE_STATUS_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, sonotrace_status_name(status), sonotrace_last_error());
    exit(1);
  }
}

static FILE *opened(const char *path, const char *mode) {
  FILE *file = fopen(path, mode);
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  return file;
}

struct scan {
  sonotrace_session_t *session;
  void *region;
};

static struct scan open_scan(const sonotrace_model_t *model) {
  struct scan scan = {NULL, NULL};
  sonotrace_config_t config;
  size_t bytes = 0, align = 0;
  must(sonotrace_config_default(&config), "config");
  config.policy = SONOTRACE_POLICY_ALL;
  config.payload_bytes = 1 << 16;
  config.table_rows_per_frame = UINT32_MAX;
  config.now_ns = read_clock;
  config.clock_user = &now_ns;
  const uint8_t *data = sonotrace_model_data(model);
  size_t data_bytes = sonotrace_model_bytes(model);
  must(sonotrace_memory_required(data, data_bytes, &config, &bytes, &align), "memory");
  /* aligned_alloc requires a multiple of the alignment. */
  scan.region = aligned_alloc(align, (bytes + align - 1) / align * align);
  if (scan.region == NULL) {
    fprintf(stderr, "no memory for %zu bytes\n", bytes);
    exit(1);
  }
  /* One byte less is refused, and the error gives the size needed. */
  if (sonotrace_open(data, data_bytes, &config, scan.region, bytes - 1, &scan.session) !=
          SONOTRACE_STATUS_REGION ||
      strstr(sonotrace_last_error(), "needs") == NULL) {
    fprintf(stderr, "a region that is too small was not refused: %s\n", sonotrace_last_error());
    exit(1);
  }
  must(sonotrace_open(data, data_bytes, &config, scan.region, bytes, &scan.session), "open");
  return scan;
}

static void close_scan(struct scan scan, uint64_t frames) {
  sonotrace_counters_t counters;
  must(sonotrace_close(scan.session, &counters), "close");
  uint64_t outcomes = counters.overlays + counters.dropped_superseded + counters.dropped_malformed +
                      counters.dropped_out_of_order + counters.dropped_frozen + counters.dropped_shut_down;
  if (outcomes != frames) {
    fprintf(stderr, "%llu frames, %llu outcomes\n", (unsigned long long)frames, (unsigned long long)outcomes);
    exit(1);
  }
  if (sonotrace_step(scan.session, NULL, NULL) != SONOTRACE_STATUS_NOT_A_SESSION) {
    fprintf(stderr, "a closed session was stepped\n");
    exit(1);
  }
  free(scan.region);
}

/* Sends a frame to a session and steps until it has an outcome. Writes its overlays to the file. Without a file, the
 * session got no prompts and its overlays must be empty. */
static void frame_through(struct scan scan, const sonotrace_frame_descriptor_t *descriptor,
                          const uint8_t *payload, FILE *overlays) {
  sonotrace_frame_slot_t slot;
  sonotrace_step_e step = SONOTRACE_STEP_WORKING;
  const sonotrace_overlay_t *overlay = NULL;
  must(sonotrace_frame_acquire(scan.session, &slot), "acquire");
  if (descriptor->payload_bytes > slot.payload_capacity) {
    fprintf(stderr, "a frame of %u bytes does not fit into a slot of %zu\n", descriptor->payload_bytes,
            slot.payload_capacity);
    exit(1);
  }
  *slot.descriptor = *descriptor;
  memcpy(slot.payload, payload, descriptor->payload_bytes);
  must(sonotrace_frame_commit(scan.session, NULL), "commit");
  while (step == SONOTRACE_STEP_WORKING) {
    must(sonotrace_step(scan.session, &step, NULL), "step");
  }
  while (sonotrace_overlay_poll(scan.session, &overlay) == SONOTRACE_STATUS_OK) {
    if (overlays != NULL && fwrite(overlay, sizeof *overlay, 1, overlays) != 1) {
      perror("overlays");
      exit(1);
    }
    if (overlays == NULL && overlay->object_count != 0) {
      fprintf(stderr, "a session without prompts shows %u objects\n", overlay->object_count);
      exit(1);
    }
  }
}

/* Runs up to frames_max frames of a file through a session, and through a second one, if any, that gets no prompts.
 * Returns the number of frames. */
static uint64_t run(struct scan scan, const struct scan *second, const char *frames_path,
                    const struct timed_prompt *prompts, unsigned prompt_count, unsigned frames_max,
                    const char *overlays_path) {
  FILE *frames = opened(frames_path, "rb");
  FILE *overlays = opened(overlays_path, "wb");
  sonotrace_frame_descriptor_t descriptor;
  static uint8_t payload[1 << 16];
  unsigned frame = 0;
  while (frame < frames_max && fread(&descriptor, sizeof descriptor, 1, frames) == 1) {
    frame += 1;
    if (descriptor.payload_bytes > sizeof payload ||
        fread(payload, 1, descriptor.payload_bytes, frames) != descriptor.payload_bytes) {
      fprintf(stderr, "%s: frame %u is cut short or too large\n", frames_path, frame);
      exit(1);
    }
    now_ns = descriptor.t_acq_ns;
    for (unsigned at = 0; at < prompt_count; at += 1) {
      if (prompts[at].before_frame == frame) {
        must(sonotrace_prompt(scan.session, &prompts[at].prompt, NULL), "prompt");
      }
    }
    frame_through(scan, &descriptor, payload, overlays);
    if (second != NULL) {
      frame_through(*second, &descriptor, payload, NULL);
    }
  }
  fclose(frames);
  if (fclose(overlays) != 0) {
    perror(overlays_path);
    exit(1);
  }
  return frame;
}

static unsigned read_prompts(const char *path, struct timed_prompt *prompts) {
  FILE *file = opened(path, "r");
  unsigned count = 0;
  while (count < PROMPTS_MAX) {
    struct timed_prompt *next = &prompts[count];
    memset(next, 0, sizeof *next);
    sonotrace_prompt_t *prompt = &next->prompt;
    if (fscanf(file, "%u %u %u %u %u %f %f %f %f", &next->before_frame, &prompt->kind, &prompt->object,
               &prompt->space, &prompt->is_positive, &prompt->from[0], &prompt->from[1], &prompt->to[0],
               &prompt->to[1]) != 9) {
      break;
    }
    count += 1;
  }
  fclose(file);
  return count;
}

static sonotrace_model_t *mapped(const char *path) {
  sonotrace_model_t *model = NULL;
  must(sonotrace_model_map(path, &model), path);
  return model;
}

int main(int argc, char **argv) {
  static struct timed_prompt prompts[PROMPTS_MAX];
  if (argc != 7) {
    fprintf(stderr, "usage: %s MODEL OTHER_MODEL FRAMES PROMPTS OVERLAYS OTHER_OVERLAYS\n", argv[0]);
    return 2;
  }
  unsigned prompt_count = read_prompts(argv[4], prompts);

  sonotrace_model_t *model = mapped(argv[1]);
  struct scan scan = open_scan(model), second = open_scan(model);
  uint64_t frames = run(scan, &second, argv[3], prompts, prompt_count, UINT32_MAX, argv[5]);
  sonotrace_event_t event;
  char text[160];
  unsigned events = 0;
  while (sonotrace_event_next(scan.session, &event) == SONOTRACE_STATUS_OK) {
    must(sonotrace_event_text(&event, text, sizeof text), "event");
    events += 1;
  }
  close_scan(scan, frames);
  close_scan(second, frames);
  sonotrace_model_unmap(model);

  /* Another model, after the first scan. */
  model = mapped(argv[2]);
  scan = open_scan(model);
  uint64_t other_frames = run(scan, NULL, argv[3], prompts, prompt_count, 3, argv[6]);
  close_scan(scan, other_frames);
  sonotrace_model_unmap(model);
  printf("sonotrace %s: %llu frames, %u events, then %llu with the other model; the last event: %s\n",
         sonotrace_version(), (unsigned long long)frames, events, (unsigned long long)other_frames, text);
  return 0;
}
