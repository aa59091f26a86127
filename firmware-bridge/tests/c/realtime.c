/* Real-time priority and core of a thread, with the rights that the test has and without any. A scan works either way.
 *
 *     realtime MODEL
 */
#define _GNU_SOURCE
#include "common.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PRIORITY 7

/* From now on this thread may raise no priority. */
static void forbid_priorities(void) {
  const struct rlimit none = {0, 0};
  CHECK(setrlimit(RLIMIT_RTPRIO, &none) == 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
  CHECK(syscall(SYS_capget, &header, capabilities) == 0);
  capabilities[0].effective &= ~(1u << CAP_SYS_NICE);
  CHECK(syscall(SYS_capset, &header, capabilities) == 0);
}

static int policy(void) {
  struct sched_param parameters;
  int policy = -1;
  CHECK(pthread_getschedparam(pthread_self(), &policy, &parameters) == 0);
  CHECK(policy != SCHED_FIFO || parameters.sched_priority == PRIORITY);
  return policy;
}

static int first_core(void) {
  cpu_set_t cores;
  CHECK(sched_getaffinity(0, sizeof cores, &cores) == 0);
  int core = 0;
  while (!CPU_ISSET(core, &cores)) {
    core += 1;
  }
  return core;
}

static int core_count(void) {
  cpu_set_t cores;
  CHECK(sched_getaffinity(0, sizeof cores, &cores) == 0);
  return CPU_COUNT(&cores);
}

static void a_frame(sonotrace_session_t *session, uint64_t seq) {
  const sonotrace_overlay_t *overlay;
  CHECK_OK(commit(session, small_frame(seq)));
  CHECK(outcome(session) == SONOTRACE_STEP_OVERLAY);
  CHECK_OK(sonotrace_overlay_poll(session, &overlay));
}

static void *with_rights(void *session) {
  uint32_t refused = 99;
  sonotrace_status_e status = sonotrace_thread_realtime(PRIORITY, first_core(), &refused);
  CHECK(status == SONOTRACE_STATUS_OK || status == SONOTRACE_STATUS_REALTIME);
  CHECK((refused & ~SONOTRACE_REFUSED_PRIORITY) == 0 && (refused != 0) == (status != SONOTRACE_STATUS_OK));
  CHECK((policy() == SCHED_FIFO) == (refused == 0) && core_count() == 1);
  a_frame(session, 1);
  printf("priority %s\n", refused == 0 ? "granted" : sonotrace_last_error());
  return NULL;
}

static void *without_rights(void *session) {
  uint32_t refused = 99;
  int cores = core_count(), before = policy();
  /* Nothing is asked for. */
  CHECK_OK(sonotrace_thread_realtime(0, -1, &refused));
  CHECK(refused == 0);
  CHECK(sonotrace_thread_realtime(100, 0, &refused) == SONOTRACE_STATUS_CONFIG);
  CHECK(refused == 0 && core_count() == cores && strstr(sonotrace_last_error(), "100") != NULL);
  forbid_priorities();
  CHECK(sonotrace_thread_realtime(PRIORITY, 1023, &refused) == SONOTRACE_STATUS_REALTIME);
  CHECK(refused == (SONOTRACE_REFUSED_PRIORITY | SONOTRACE_REFUSED_CORE));
  CHECK(strstr(sonotrace_last_error(), "RLIMIT_RTPRIO") != NULL);
  CHECK(policy() == before && core_count() == cores);
  CHECK(sonotrace_thread_realtime(0, 1023, NULL) == SONOTRACE_STATUS_REALTIME);
  CHECK(strstr(sonotrace_last_error(), "core") != NULL);
  /* The core is granted, the priority is not. */
  CHECK(sonotrace_thread_realtime(PRIORITY, first_core(), &refused) == SONOTRACE_STATUS_REALTIME);
  CHECK(refused == SONOTRACE_REFUSED_PRIORITY && core_count() == 1);
  a_frame(session, 2);
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  sonotrace_config_t config = small_config();
  struct scan scan = open_scan(argv[1], &config);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, with_rights, scan.session) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(pthread_create(&thread, NULL, without_rights, scan.session) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK_OK(sonotrace_close(scan.session, NULL));
  free_scan(scan);
  return 0;
}
