#ifndef INTERLEAVING_SWITCH_H
#define INTERLEAVING_SWITCH_H

#if defined(__APPLE__)
#define SYMBOL(name) "_" name
#else
#define SYMBOL(name) name
#endif

/// Saves the callee-saved registers on the current stack and its pointer to `*from`, then continues on `to`.
extern void interleaving_switch(void **from, void *to);

/// Writes to a new stack what `interleaving_switch` expects there, so that the first switch calls `entry(argument)`.
void *interleaving_first_frame(void *top, void (*entry)(void *), void *argument);

#endif
