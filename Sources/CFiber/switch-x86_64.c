#if defined(__x86_64__)

#include "switch.h"
#include <stdint.h>

// System V: rbx, rbp and r12-r15 belong to the caller. The last instruction is an indirect jump and not a return: the return
// predictor would expect the address of another stack, which costs more than the whole switch.
__asm__(
    ".text\n"
    ".globl " SYMBOL("interleaving_switch") "\n"
    ".p2align 4\n"
    SYMBOL("interleaving_switch") ":\n"
    "  pushq %rbp\n"
    "  pushq %rbx\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  pushq %r14\n"
    "  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n"
    "  popq %r14\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  popq %rbx\n"
    "  popq %rbp\n"
    "  popq %rcx\n"
    "  jmpq *%rcx\n"
    // First entry: the argument is in r12, the function in rbx.
    ".globl " SYMBOL("interleaving_trampoline") "\n"
    ".p2align 4\n"
    SYMBOL("interleaving_trampoline") ":\n"
    "  .cfi_startproc\n"
    "  .cfi_undefined %rip\n"
    "  movq %r12, %rdi\n"
    "  callq *%rbx\n"
    "  ud2\n"
    "  .cfi_endproc\n");

extern void interleaving_trampoline(void);

void *interleaving_first_frame(void *top, void (*entry)(void *), void *argument) {
    void **sp = (void **)((uintptr_t)top & ~(uintptr_t)15);
    *--sp = 0;  // The stack is 16-byte aligned where the trampoline calls.
    *--sp = 0;
    *--sp = (void *)interleaving_trampoline;
    *--sp = 0;                // rbp
    *--sp = (void *)entry;    // rbx
    *--sp = argument;         // r12
    *--sp = 0;                // r13
    *--sp = 0;                // r14
    *--sp = 0;                // r15
    return sp;
}

#else
typedef int interleaving_not_x86_64;
#endif
