#include "CKVM.h"

#include <errno.h>

#if defined(__linux__) && defined(__x86_64__)

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { most_cpuid_entries = 256 };

/// All features that KVM has for guests.
static bool set_features(kvm_machine *machine) {
    struct kvm_cpuid2 *features = calloc(1, sizeof *features + most_cpuid_entries * sizeof features->entries[0]);
    if (features == NULL) return false;
    features->nent = most_cpuid_entries;
    bool is_done = ioctl(machine->device, KVM_GET_SUPPORTED_CPUID, features) == 0 &&
                   ioctl(machine->processor, KVM_SET_CPUID2, features) == 0;
    for (uint32_t index = 0; is_done && index < features->nent; index++) {
        if (features->entries[index].function == 0x80000001)
            machine->hasGigabytePages = features->entries[index].edx >> 26 & 1;
    }
    free(features);
    return is_done;
}

bool kvm_open(kvm_machine *machine) {
    *machine = (kvm_machine){.device = -1, .machine = -1, .processor = -1, .run = MAP_FAILED};
    machine->device = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (machine->device < 0) return false;
    if (ioctl(machine->device, KVM_GET_API_VERSION, 0) == KVM_API_VERSION) {
        machine->machine = ioctl(machine->device, KVM_CREATE_VM, 0);
        if (machine->machine >= 0) machine->processor = ioctl(machine->machine, KVM_CREATE_VCPU, 0);
        int bytes = ioctl(machine->device, KVM_GET_VCPU_MMAP_SIZE, 0);
        if (machine->processor >= 0 && bytes >= (int)sizeof(struct kvm_run)) {
            machine->runBytes = (size_t)bytes;
            machine->run = mmap(NULL, machine->runBytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine->processor, 0);
            if (machine->run != MAP_FAILED && set_features(machine)) return true;
        }
    }
    int code = errno;
    kvm_close(machine);
    errno = code;
    return false;
}

void kvm_close(kvm_machine *machine) {
    if (machine->run != MAP_FAILED) munmap(machine->run, machine->runBytes);
    if (machine->processor >= 0) close(machine->processor);
    if (machine->machine >= 0) close(machine->machine);
    if (machine->device >= 0) close(machine->device);
}

bool kvm_add_memory(kvm_machine *machine, uint32_t slot, uint64_t physical, void *memory, size_t bytes) {
    struct kvm_userspace_memory_region region = {
        .slot = slot, .guest_phys_addr = physical, .memory_size = bytes, .userspace_addr = (uintptr_t)memory};
    return ioctl(machine->machine, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool is_user, bool is_code) {
    return (struct kvm_segment){.limit = UINT32_MAX, .selector = selector, .type = type, .present = 1, .s = 1,
                                .dpl = is_user ? 3 : 0, .l = is_code, .db = !is_code, .g = 1};
}

int kvm_run_until_port(kvm_machine *machine, const kvm_start *start) {
    struct kvm_sregs system;
    if (ioctl(machine->processor, KVM_GET_SREGS, &system) != 0) return -1;
    bool user = start->isUser;
    system.cs = segment(user ? kvm_user_code_selector : kvm_code_selector, 11, user, true);
    system.ss = segment(user ? kvm_user_data_selector : kvm_data_selector, 3, user, false);
    system.ds = system.es = system.fs = system.gs = system.ss;
    system.tr = (struct kvm_segment){
        .base = start->tss, .limit = 0x67, .selector = kvm_task_selector, .type = 11, .present = 1};
    system.gdt = (struct kvm_dtable){.base = start->gdt, .limit = (uint16_t)(start->gdtBytes - 1)};
    system.idt = (struct kvm_dtable){.base = start->idt, .limit = (uint16_t)(start->idtBytes - 1)};
    system.cr0 = 0x80010033;  // PG, WP, NE, ET, MP, PE
    system.cr2 = 0;
    system.cr3 = start->cr3;
    system.cr4 = 0x20;   // PAE
    system.efer = 0xd00;  // NXE, LMA, LME
    struct kvm_regs registers = {
        .rip = start->rip, .rsi = start->rsi, .rdi = start->rdi, .rcx = start->rcx, .r8 = start->r8,
        .r9 = start->r9, .r10 = start->r10, .rsp = start->r9, .rflags = user ? 0x3002 : 2};
    if (ioctl(machine->processor, KVM_SET_SREGS, &system) != 0 ||
        ioctl(machine->processor, KVM_SET_REGS, &registers) != 0)
        return -1;
    const struct kvm_run *run = machine->run;
    for (;;) {
        if (ioctl(machine->processor, KVM_RUN, 0) == 0) return run->exit_reason == KVM_EXIT_IO ? 0 : (int)run->exit_reason;
        if (errno != EINTR && errno != EAGAIN) return -1;
    }
}

#else

bool kvm_open(kvm_machine *machine) {
    (void)machine;
    errno = ENOTSUP;
    return false;
}

void kvm_close(kvm_machine *machine) { (void)machine; }

bool kvm_add_memory(kvm_machine *machine, uint32_t slot, uint64_t physical, void *memory, size_t bytes) {
    (void)machine, (void)slot, (void)physical, (void)memory, (void)bytes;
    return false;
}

int kvm_run_until_port(kvm_machine *machine, const kvm_start *start) {
    (void)machine, (void)start;
    return -1;
}

#endif
