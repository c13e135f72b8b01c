// Atomic words, barriers, and the two system calls that Swift's modules of C libraries do not have.
//
// Everything is always inlined into Swift: no call is left, an ordering that is a constant leaves one instruction, and
// ThreadSanitizer, which instruments the function that is inlined into, sees every access.

#pragma once
#include <stdbool.h>
#include <stdint.h>

#if defined(__linux__)
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define HOST_INLINE static inline __attribute__((always_inline))

typedef enum {
    host_relaxed = __ATOMIC_RELAXED,
    host_acquire = __ATOMIC_ACQUIRE,
    host_release = __ATOMIC_RELEASE,
    host_acquire_release = __ATOMIC_ACQ_REL,
    /// For a read-modify-write more than sequential consistency: a barrier on both sides.
    host_full = __ATOMIC_SEQ_CST,
} host_ordering;

/// Keeps the compiler, and nobody else, from moving accesses across.
HOST_INLINE void host_compiler_barrier(void) { __asm__ volatile("" ::: "memory"); }

HOST_INLINE void host_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
HOST_INLINE void host_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
HOST_INLINE void host_fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/// One side of a fully ordered read-modify-write.
HOST_INLINE void host_fence_around(host_ordering ordering) {
    if (ordering != host_full) return;
#if defined(__x86_64__) || defined(__i386__)
    // A locked instruction is a full barrier by itself (Intel SDM volume 3, "Loads and Stores Are Not Reordered with Locked
    // Instructions"); only the compiler has to be held.
    host_compiler_barrier();
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/// Tells the processor that this thread only waits.
HOST_INLINE void host_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#else
    host_compiler_barrier();
#endif
}

/// Plain stores of one pattern, which the compiler may widen.
HOST_INLINE void host_fill(uint64_t *words, uint64_t pattern, uint64_t count) {
    for (uint64_t index = 0; index < count; index++) words[index] = pattern;
}

// A failed compare-exchange is ordered as a load would be.
HOST_INLINE int host_failure_ordering(host_ordering ordering) {
    switch (ordering) {
    case host_relaxed:
    case host_release: return __ATOMIC_RELAXED;
    case host_acquire:
    case host_acquire_release: return __ATOMIC_ACQUIRE;
    case host_full: return __ATOMIC_SEQ_CST;
    }
    return __ATOMIC_SEQ_CST;
}

#define HOST_WORD(bits)                                                                                                \
    HOST_INLINE uint##bits##_t host_load_relaxed##bits(const uint##bits##_t *word) {                                   \
        return __atomic_load_n(word, __ATOMIC_RELAXED);                                                                \
    }                                                                                                                  \
    HOST_INLINE uint##bits##_t host_load_acquire##bits(const uint##bits##_t *word) {                                   \
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);                                                                \
    }                                                                                                                  \
    HOST_INLINE void host_store_relaxed##bits(uint##bits##_t *word, uint##bits##_t value) {                            \
        __atomic_store_n(word, value, __ATOMIC_RELAXED);                                                               \
    }                                                                                                                  \
    HOST_INLINE void host_store_release##bits(uint##bits##_t *word, uint##bits##_t value) {                            \
        __atomic_store_n(word, value, __ATOMIC_RELEASE);                                                               \
    }                                                                                                                  \
    HOST_INLINE bool host_compare_exchange##bits(                                                                      \
        uint##bits##_t *word, uint##bits##_t *seen, uint##bits##_t desired, host_ordering ordering) {                  \
        host_fence_around(ordering);                                                                                   \
        bool done = __atomic_compare_exchange_n(                                                                       \
            word, seen, desired, false, (int)ordering, host_failure_ordering(ordering));                               \
        host_fence_around(ordering);                                                                                   \
        return done;                                                                                                   \
    }                                                                                                                  \
    HOST_INLINE uint##bits##_t host_exchange##bits(                                                                    \
        uint##bits##_t *word, uint##bits##_t value, host_ordering ordering) {                                          \
        host_fence_around(ordering);                                                                                   \
        uint##bits##_t seen = __atomic_exchange_n(word, value, (int)ordering);                                         \
        host_fence_around(ordering);                                                                                   \
        return seen;                                                                                                   \
    }                                                                                                                  \
    HOST_INLINE uint##bits##_t host_add##bits(uint##bits##_t *word, uint##bits##_t delta, host_ordering ordering) {    \
        host_fence_around(ordering);                                                                                   \
        uint##bits##_t seen = __atomic_fetch_add(word, delta, (int)ordering);                                          \
        host_fence_around(ordering);                                                                                   \
        return seen;                                                                                                   \
    }                                                                                                                  \
    /* Returns what was there; zero if it was not positive, and then nothing is changed. One value says both: */       \
    /* with a place to write it to, Swift would guard the stack of whatever this is inlined into. */                   \
    HOST_INLINE uint##bits##_t host_add_if_positive##bits(                                                             \
        uint##bits##_t *word, uint##bits##_t delta, host_ordering ordering) {                                          \
        uint##bits##_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);                                                 \
        if ((int##bits##_t)seen <= 0) return 0;                                                                        \
        host_fence_around(ordering);                                                                                   \
        while (!__atomic_compare_exchange_n(                                                                           \
            word, &seen, seen + delta, true, (int)ordering, __ATOMIC_RELAXED))                                         \
            if ((int##bits##_t)seen <= 0) return 0;                                                                    \
        host_fence_around(ordering);                                                                                   \
        return seen;                                                                                                   \
    }                                                                                                                  \
    /* Clears the bits of `mask`, then sets those of `value`. */                                                       \
    HOST_INLINE uint##bits##_t host_update##bits(                                                                      \
        uint##bits##_t *word, uint##bits##_t mask, uint##bits##_t value, host_ordering ordering) {                     \
        host_fence_around(ordering);                                                                                   \
        uint##bits##_t seen;                                                                                           \
        if (value == 0) {                                                                                              \
            seen = __atomic_fetch_and(word, (uint##bits##_t)~mask, (int)ordering);                                     \
        } else if (mask == 0) {                                                                                        \
            seen = __atomic_fetch_or(word, value, (int)ordering);                                                      \
        } else {                                                                                                       \
            seen = __atomic_load_n(word, __ATOMIC_RELAXED);                                                            \
            while (!__atomic_compare_exchange_n(                                                                       \
                word, &seen, (seen & ~mask) | value, true, (int)ordering, __ATOMIC_RELAXED)) {                         \
            }                                                                                                          \
        }                                                                                                              \
        host_fence_around(ordering);                                                                                   \
        return seen;                                                                                                   \
    }

HOST_WORD(32)
HOST_WORD(64)

#undef HOST_WORD

#if defined(__linux__)

// Values of <linux/membarrier.h>, which not every C library's headers come with.
enum {
    host_membarrier_private_expedited = 1 << 3,
    host_membarrier_register_private_expedited = 1 << 4,
};

/// Whether `host_membarrier` may be used from now on. Linux 4.14 or later, and no sandbox that forbids it.
HOST_INLINE bool host_membarrier_register(void) {
#if defined(SYS_membarrier)
    return syscall(SYS_membarrier, host_membarrier_register_private_expedited, 0, 0) == 0;
#else
    return false;
#endif
}

/// A full barrier in every running thread of this process. False if the kernel has no memory for it just now.
HOST_INLINE bool host_membarrier(void) {
#if defined(SYS_membarrier)
    return syscall(SYS_membarrier, host_membarrier_private_expedited, 0, 0) == 0;
#else
    return false;
#endif
}

/// A file without a name, in memory only; negative with `errno` set if there is none.
HOST_INLINE int host_memory_file(const char *label) {
#if defined(SYS_memfd_create)
    return (int)syscall(SYS_memfd_create, label, 1u /* MFD_CLOEXEC */);
#else
    errno = ENOSYS;
    return -1;
#endif
}

#else

HOST_INLINE bool host_membarrier_register(void) { return false; }
HOST_INLINE bool host_membarrier(void) { return false; }

#endif
