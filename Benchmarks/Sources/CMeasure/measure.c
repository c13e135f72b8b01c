#include "measure.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

uint64_t measure_thread_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t nanosecondsOf(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

int measure_child(const char *program, char *const arguments[], const char *output, uint64_t *nanoseconds) {
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions)) return -1;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(
        &actions, 1, output ? output : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    pid_t child;
    int failure = posix_spawnp(&child, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure) return -1;
    int status;
    struct rusage usage;
    // The usage of this one child; RUSAGE_CHILDREN would be the sum of all.
    if (wait4(child, &status, 0, &usage) != child) return -1;
    if (nanoseconds) *nanoseconds = nanosecondsOf(usage.ru_utime) + nanosecondsOf(usage.ru_stime);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

uint64_t measure_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void measure_meet(uint32_t *arrived, uint32_t count) {
    __atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL);
    for (uint32_t looks = 1; __atomic_load_n(arrived, __ATOMIC_ACQUIRE) < count; looks++) {
        // Another thread may need this processor to arrive.
        if (looks % 1024 == 0) sched_yield();
    }
}

uint64_t measure_minor_faults(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (uint64_t)usage.ru_minflt;
}
