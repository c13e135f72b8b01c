// Processor time, of this thread and of a child.

#pragma once
#include <stdint.h>

/// Processor time of the calling thread, in nanoseconds.
uint64_t measure_thread_nanoseconds(void);

/// Runs a program (looked up in PATH if it has no slash) to its end, its standard output into a file, or thrown away if
/// `output` is NULL. Returns its exit status, or -1 if it could not be started or was ended by a signal;
/// `nanoseconds`, if not NULL, is the user and system time it took.
int measure_child(const char *program, char *const arguments[], const char *output, uint64_t *nanoseconds);
