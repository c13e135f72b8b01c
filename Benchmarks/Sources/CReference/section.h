// The beginning and the end of a reader's section of epochs, for all that have sections.

#pragma once

#include "shared.h"

#include <stdbool.h>

#define LIKELY(condition) __builtin_expect(condition, 1)
#define BARRIER() __asm__ volatile("" ::: "memory")

static inline void section_enter(shared_reader *reader) {
    if (LIKELY(__atomic_load_n(&reader->section, __ATOMIC_RELAXED) == 0)) {
        __atomic_store_n(&reader->section, __atomic_load_n(&reader->epoch, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
        if (LIKELY(!reader->usesFences)) BARRIER();
        else __atomic_thread_fence(__ATOMIC_SEQ_CST);
    } else {
        reader->nested++;
    }
}

static inline void section_leave(shared_reader *reader) {
    if (LIKELY(reader->nested == 0)) __atomic_store_n(&reader->section, 0, __ATOMIC_RELEASE);
    else reader->nested--;
}
