#ifndef INTERLEAVING_FIBER_H
#define INTERLEAVING_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A stack of its own that its owner resumes and that yields back to it. Everything about a fiber lives in memory that C owns:
/// Swift code that switches while an access to one of its own variables is open would break exclusivity.
/// A fiber is resumed and yields on one thread of the operating system only.
typedef struct interleaving_fiber interleaving_fiber;

typedef void (*interleaving_fiber_body)(void *context, intptr_t index);

/// A fiber with a fresh stack of `stack_bytes` above a guard page, or null if there is no memory.
interleaving_fiber *interleaving_fiber_create(size_t stack_bytes);

/// Frees the stack. The fiber must have nothing left to run.
void interleaving_fiber_destroy(interleaving_fiber *fiber);

/// Gives an idle fiber something to run at its next resume. Costs nothing but four stores: the stack is used again.
void interleaving_fiber_prepare(interleaving_fiber *fiber, interleaving_fiber_body body, void *context, intptr_t index);

/// Runs the fiber until it yields or its body returns.
void interleaving_fiber_resume(interleaving_fiber *fiber);

/// Called on the fiber: back to whoever resumed it.
void interleaving_fiber_yield(interleaving_fiber *fiber);

#endif
