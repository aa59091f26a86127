/* After the calls that lock and prefault, a scan causes no page fault. Its thread has the smallest stack that fits. Each of the
 * calls is also tried alone, on memory and on a stack that nobody has touched, and where the system refuses to lock.
 *
 *     faults MODEL
 */
#define _GNU_SOURCE
#include "common.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static long faults(void) {
  struct rusage usage;
  CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
  return usage.ru_minflt + usage.ru_majflt;
}

/* Pages of some memory that are missing. */
static size_t missing_pages(const void *start, size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), absent = 0;
  uintptr_t first = (uintptr_t)start / page * page;
  for (uintptr_t at = first; at < (uintptr_t)start + bytes; at += page) {
    unsigned char is_present = 0;
    CHECK(mincore((void *)at, page, &is_present) == 0);
    absent += (is_present & 1) == 0;
  }
  return absent;
}

/* Bytes of this process that the system keeps in memory. */
static size_t locked_bytes(void) {
  size_t kilobytes = 0;
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  CHECK(status != NULL);
  while (fgets(line, sizeof line, status) != NULL) {
    (void)sscanf(line, "VmLck: %zu kB", &kilobytes);
  }
  CHECK(fclose(status) == 0);
  return kilobytes * 1024;
}

/* Bytes of code, of the program and its libraries, that are not mapped into this process yet. */
static size_t missing_code(void) {
  size_t missing = 0, size = 0, present = 0;
  int is_code = 0;
  char line[512], permissions[5];
  FILE *maps = fopen("/proc/self/smaps", "r");
  CHECK(maps != NULL);
  while (fgets(line, sizeof line, maps) != NULL) {
    if (sscanf(line, "%*x-%*x %4s", permissions) == 1) {
      is_code = strcmp(permissions, "r-xp") == 0 && strchr(line, '/') != NULL;
    } else if (is_code && sscanf(line, "Size: %zu kB", &size) != 1 && sscanf(line, "Rss: %zu kB", &present) == 1) {
      missing += size - present;
    }
  }
  CHECK(fclose(maps) == 0);
  return missing * 1024;
}

#define FRESH_BYTES ((size_t)48 * 1024)

/* From now on this thread may lock nothing. */
static void forbid_locks(void) {
  const struct rlimit none = {0, 0};
  CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
  CHECK(syscall(SYS_capget, &header, capabilities) == 0);
  capabilities[0].effective &= ~(1u << CAP_IPC_LOCK);
  CHECK(syscall(SYS_capset, &header, capabilities) == 0);
}

/* Memory that nobody has touched is there after the call that locks it, whether or not the system allows the lock. */
static void fresh_memory(void) {
  void *fresh = mmap(NULL, FRESH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(fresh != MAP_FAILED && missing_pages(fresh, FRESH_BYTES) > 0);
  size_t before = locked_bytes();
  sonotrace_status_e status = sonotrace_memory_lock(fresh, FRESH_BYTES);
  CHECK(status == SONOTRACE_STATUS_OK || status == SONOTRACE_STATUS_MEMORY);
#ifndef SANITIZED
  /* AddressSanitizer replaces the system's call by one that locks nothing. */
  CHECK(missing_pages(fresh, FRESH_BYTES) == 0);
  CHECK(status != SONOTRACE_STATUS_OK || locked_bytes() >= before + FRESH_BYTES);
#endif
  (void)before;
  munmap(fresh, FRESH_BYTES);
}

#define DEEP_BYTES ((size_t)128 * 1024)

/* Writes to each page of a large frame. Not inlined, so that the frame is only there during the call. */
__attribute__((noinline)) static void use_stack(void) {
  volatile uint8_t frame[DEEP_BYTES - 8192];
  for (size_t at = 0; at < sizeof frame; at += 1024) {
    frame[at] = (uint8_t)at;
  }
}

/* A new thread's stack is there after the call that prepares the thread, as deep as it was asked for. */
static void *fresh_stack(void *user) {
  sonotrace_status_e status = sonotrace_thread_prepare(DEEP_BYTES);
  CHECK(status == SONOTRACE_STATUS_OK || status == SONOTRACE_STATUS_MEMORY);
  long before = faults();
  use_stack();
  long caused = faults() - before;
#ifndef SANITIZED
  CHECK(caused == 0);
#endif
  (void)caused;
  return user;
}

static const char *model_path;

static void *scan_thread(void *user) {
  (void)user;
  sonotrace_config_t config = small_config();
  sonotrace_model_t *model = NULL;
  size_t bytes = 0, align = 0;
  CHECK_OK(sonotrace_model_map(model_path, &model));
  const uint8_t *data = sonotrace_model_data(model);
  size_t data_bytes = sonotrace_model_bytes(model);
  CHECK_OK(sonotrace_memory_required(data, data_bytes, &config, &bytes, &align));
  /* Fresh memory of the system: no page is there. */
  void *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(region != MAP_FAILED);
  sonotrace_session_t *session = NULL;
  CHECK_OK(sonotrace_open(data, data_bytes, &config, region, bytes, &session));
  CHECK(missing_pages(region, bytes) == 0);

  sonotrace_status_e locked = sonotrace_memory_lock(region, bytes);
  CHECK(locked == SONOTRACE_STATUS_OK || locked == SONOTRACE_STATUS_MEMORY);
  sonotrace_status_e prepared = sonotrace_thread_prepare(SONOTRACE_STACK_BYTES);
  CHECK(prepared == SONOTRACE_STATUS_OK || prepared == SONOTRACE_STATUS_MEMORY);
  CHECK(sonotrace_thread_prepare((size_t)1 << 40) == SONOTRACE_STATUS_CONFIG);
  sonotrace_status_e program = sonotrace_program_prefault();
  CHECK(program == SONOTRACE_STATUS_OK || program == SONOTRACE_STATUS_MEMORY);
  /* The system maps the pages around one that is used, too: a short scan may need no others, and show no fault. */
  CHECK(program != SONOTRACE_STATUS_OK || missing_code() == 0);
  printf("region %s, thread %s, program %s\n", sonotrace_status_name(locked), sonotrace_status_name(prepared),
         sonotrace_status_name(program));

  sonotrace_prompt_t click = small_click();
  long before = faults();
  for (uint64_t seq = 1; seq <= 60; seq += 1) {
    const sonotrace_overlay_t *overlay;
    sonotrace_event_t event;
    sonotrace_counters_t counters;
    if (seq % 10 == 1) {
      CHECK_OK(sonotrace_prompt(session, &click, NULL));
    }
    CHECK_OK(commit(session, small_frame(seq)));
    CHECK(outcome(session) == SONOTRACE_STEP_OVERLAY);
    CHECK_OK(sonotrace_overlay_poll(session, &overlay));
    CHECK(overlay->object_count == 1);
    while (sonotrace_event_next(session, &event) == SONOTRACE_STATUS_OK) {
    }
    /* A failure, with its text. */
    CHECK(sonotrace_prompt(session, NULL, NULL) == SONOTRACE_STATUS_NULL_POINTER);
    CHECK_OK(sonotrace_counters(session, &counters));
    CHECK(counters.overlays == seq);
  }
  long caused = faults() - before;
#ifdef SANITIZED
  /* Shadow memory has pages of its own. */
  caused = 0;
#endif
  if (program == SONOTRACE_STATUS_OK && caused != 0) {
    fprintf(stderr, "%ld page faults in 60 frames\n", caused);
    exit(1);
  }
  CHECK_OK(sonotrace_close(session, NULL));
  sonotrace_model_unmap(model);
  munmap(region, bytes);
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  model_path = argv[1];
  fresh_memory();
  pthread_attr_t attributes;
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
  CHECK(pthread_create(&thread, &attributes, fresh_stack, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(pthread_create(&thread, &attributes, scan_thread, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  forbid_locks();
  fresh_memory();
  return 0;
}
