// mmap flags beyond POSIX
#define _GNU_SOURCE
#include "fiber.h"
#include "switch.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "no fiber switch for this processor: add a sibling of switch-x86_64.c"
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old, size_t *size_old);
#endif
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif
// Between telling a sanitizer of the switch and switching there must be no instrumented function entry or exit: it would be
// counted on the other stack.
#define UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNINSTRUMENTED
#endif

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

struct interleaving_fiber {
    void *sp, *resumer_sp;
    interleaving_fiber_body body;
    void *context;
    intptr_t index;
    char *stack;
    size_t stack_bytes, mapped_bytes;
    // Sanitizers: the fake stacks of both sides, the resumer's stack, and both of ThreadSanitizer's fibers.
    void *fake, *resumer_fake;
    const void *resumer_stack;
    size_t resumer_stack_bytes;
    void *tsan, *resumer_tsan;
};

UNINSTRUMENTED static void leave(interleaving_fiber *fiber) {
#ifdef THREAD_SANITIZER
    __tsan_switch_to_fiber(fiber->resumer_tsan, 0);
#endif
#ifdef ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&fiber->fake, fiber->resumer_stack, fiber->resumer_stack_bytes);
#endif
    interleaving_switch(&fiber->sp, fiber->resumer_sp);
#ifdef ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(fiber->fake, &fiber->resumer_stack, &fiber->resumer_stack_bytes);
#endif
}

// The bottom frame never returns and owns nothing: one body after another runs above it.
UNINSTRUMENTED static void run_bodies(void *argument) {
    interleaving_fiber *fiber = argument;
#ifdef ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(0, &fiber->resumer_stack, &fiber->resumer_stack_bytes);
#endif
    for (;;) {
        fiber->body(fiber->context, fiber->index);
        leave(fiber);
    }
}

interleaving_fiber *interleaving_fiber_create(size_t stack_bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    interleaving_fiber *fiber = calloc(1, sizeof *fiber);
    if (!fiber) return 0;
    fiber->stack_bytes = (stack_bytes + page - 1) & ~(page - 1);
    fiber->mapped_bytes = fiber->stack_bytes + page;
    char *base = mmap(0, fiber->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        free(fiber);
        return 0;
    }
    mprotect(base, page, PROT_NONE);
    fiber->stack = base + page;
    fiber->sp = interleaving_first_frame(fiber->stack + fiber->stack_bytes, run_bodies, fiber);
#ifdef THREAD_SANITIZER
    fiber->tsan = __tsan_create_fiber(0);
#endif
    return fiber;
}

void interleaving_fiber_destroy(interleaving_fiber *fiber) {
#ifdef THREAD_SANITIZER
    __tsan_destroy_fiber(fiber->tsan);
#endif
    munmap(fiber->stack - (fiber->mapped_bytes - fiber->stack_bytes), fiber->mapped_bytes);
    free(fiber);
}

void interleaving_fiber_prepare(interleaving_fiber *fiber, interleaving_fiber_body body, void *context, intptr_t index) {
    fiber->body = body;
    fiber->context = context;
    fiber->index = index;
}

UNINSTRUMENTED void interleaving_fiber_resume(interleaving_fiber *fiber) {
#ifdef THREAD_SANITIZER
    fiber->resumer_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->tsan, 0);
#endif
#ifdef ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&fiber->resumer_fake, fiber->stack, fiber->stack_bytes);
#endif
    interleaving_switch(&fiber->resumer_sp, fiber->sp);
#ifdef ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(fiber->resumer_fake, 0, 0);
#endif
}

UNINSTRUMENTED void interleaving_fiber_yield(interleaving_fiber *fiber) { leave(fiber); }
