// Processor time, of this thread and of a child; time of several threads at once.

#pragma once
#include <stdint.h>

/// Processor time of the calling thread, in nanoseconds.
uint64_t measure_thread_nanoseconds(void);

/// Runs a program (looked up in PATH if it has no slash) to its end, its standard output into a file, or thrown away if
/// `output` is NULL. Returns its exit status, or -1 if it could not be started or was ended by a signal;
/// `nanoseconds`, if not NULL, is the user and system time it took.
int measure_child(const char *program, char *const arguments[], const char *output, uint64_t *nanoseconds);

/// Time that passes, in nanoseconds.
uint64_t measure_nanoseconds(void);

/// Waits, without sleeping, until `count` threads have arrived.
void measure_meet(uint32_t *arrived, uint32_t count);

/// Page faults of this process so far for which nothing was read.
uint64_t measure_minor_faults(void);
