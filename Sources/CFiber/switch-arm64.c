#if defined(__aarch64__)

#include "switch.h"
#include <stdint.h>

// AAPCS64: x19-x29, the link register and d8-d15 belong to the caller. A jump through x16, not a return: see the x86-64 sibling.
__asm__(
    ".text\n"
    ".globl " SYMBOL("interleaving_switch") "\n"
    ".p2align 4\n"
    SYMBOL("interleaving_switch") ":\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp, #0]\n"
    "  stp x21, x22, [sp, #16]\n"
    "  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n"
    "  stp x27, x28, [sp, #64]\n"
    "  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n"
    "  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n"
    "  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n"
    "  str x9, [x0]\n"
    "  mov sp, x1\n"
    "  ldp x19, x20, [sp, #0]\n"
    "  ldp x21, x22, [sp, #16]\n"
    "  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n"
    "  ldp x27, x28, [sp, #64]\n"
    "  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n"
    "  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n"
    "  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  mov x16, x30\n"
    "  br x16\n"
    // First entry: the argument is in x19, the function in x20.
    ".globl " SYMBOL("interleaving_trampoline") "\n"
    ".p2align 4\n"
    SYMBOL("interleaving_trampoline") ":\n"
    "  hint #36\n"  // bti j: a landing place for an indirect jump
    "  mov x0, x19\n"
    "  mov x30, #0\n"
    "  blr x20\n"
    "  brk #1\n");

extern void interleaving_trampoline(void);

void *interleaving_first_frame(void *top, void (*entry)(void *), void *argument) {
    void **sp = (void **)((uintptr_t)top & ~(uintptr_t)15) - 20;
    for (int i = 0; i < 20; i++) sp[i] = 0;
    sp[0] = argument;                          // x19
    sp[1] = (void *)entry;                     // x20
    sp[11] = (void *)interleaving_trampoline;  // x30
    return sp;
}

#else
typedef int interleaving_not_arm64;
#endif
