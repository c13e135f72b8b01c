// A virtual machine with one x86-64 processor, as Linux's KVM lends it: what the tests need of it, and no more.
//
// Elsewhere, or where /dev/kvm is absent or forbidden, a machine cannot be opened; everything else is then not to be called.

#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int device;
    int machine;
    int processor;
    /// What the processor and its user share.
    void *run;
    size_t runBytes;
    /// Leaves of 1 GiB exist.
    bool hasGigabytePages;
} kvm_machine;

/// What the processor starts with; registers that are not here are zero.
typedef struct {
    uint64_t rip, rsi, rdi, rcx, r8, r9, r10;
    /// Physical address of the top table.
    uint64_t cr3;
    /// Linear addresses.
    uint64_t gdt, idt, tss;
    uint16_t gdtBytes, idtBytes;
    /// Runs unprivileged; with the right to use I/O ports, which is how it stops.
    bool isUser;
} kvm_start;

/// Linear addresses of a 64-bit task state segment's first page.
enum { kvm_code_selector = 0x08, kvm_data_selector = 0x10, kvm_user_data_selector = 0x18 | 3,
       kvm_user_code_selector = 0x20 | 3, kvm_task_selector = 0x28 };

/// Opens a machine without memory. False, with `errno`, where there is none to be had; nothing is then open.
bool kvm_open(kvm_machine *machine);
void kvm_close(kvm_machine *machine);
/// Gives the machine memory from a physical address on; it has to stay mapped. `slot` counts from 0.
bool kvm_add_memory(kvm_machine *machine, uint32_t slot, uint64_t physical, void *memory, size_t bytes);
/// Runs in long mode with four levels, no-execute and write protection, until the processor writes to a port.
///
/// Returns 0 then; otherwise KVM's number for why it stopped, or -1 with `errno`.
int kvm_run_until_port(kvm_machine *machine, const kvm_start *start);
