import CKVM

/// The machine code that a guest runs: it reads, writes or executes at each address of a list, and notes what came of it.
///
/// | register | what                                                    |
/// |----------|---------------------------------------------------------|
/// | RSI      | the list: 8 bytes an address                            |
/// | RDI      | the results: 24 bytes an address                        |
/// | RCX      | how many addresses                                      |
/// | R8       | `next`, where the handlers of faults return to          |
/// | R9       | the end of the stack                                    |
/// | R10      | `read`, `write` or `execute`                            |
///
/// A result is what was read, or what the code that was called returned in RAX; then 0, or what the fault was with its error
/// code; then CR2.
enum GuestProgram {
    static let code: [UInt8] = [
        // next address:
        0x48, 0x8b, 0x1e,  // mov (%rsi),%rbx
        0x31, 0xc0,  // xor %eax,%eax
        0x4c, 0x89, 0xcc,  // mov %r9,%rsp
        0x41, 0xff, 0xe2,  // jmp *%r10
        // read:
        0x48, 0x8b, 0x03,  // mov (%rbx),%rax
        0xeb, 0x07,  // jmp next
        // write:
        0x48, 0x89, 0x1b,  // mov %rbx,(%rbx)
        0xeb, 0x02,  // jmp next
        // execute:
        0xff, 0xd3,  // call *%rbx
        // next:
        0x48, 0x89, 0x07,  // mov %rax,(%rdi)
        0x48, 0x83, 0xc6, 0x08,  // add $8,%rsi
        0x48, 0x83, 0xc7, 0x18,  // add $24,%rdi
        0x48, 0xff, 0xc9,  // dec %rcx
        0x75, 0xd9,  // jnz next address
        0xe6, 0xf4,  // out %al,$0xf4
        // page fault:
        0x58,  // pop %rax
        0x0d, 0x00, 0x01, 0x00, 0x00,  // or $0x100,%eax
        0xeb, 0x06,  // jmp report
        // general protection:
        0x58,  // pop %rax
        0x0d, 0x00, 0x02, 0x00, 0x00,  // or $0x200,%eax
        // report:
        0x48, 0x89, 0x47, 0x08,  // mov %rax,8(%rdi)
        0x0f, 0x20, 0xd0,  // mov %cr2,%rax
        0x48, 0x89, 0x47, 0x10,  // mov %rax,16(%rdi)
        0x4c, 0x89, 0x04, 0x24,  // mov %r8,(%rsp)
        0x31, 0xc0,  // xor %eax,%eax
        0x48, 0xcf,  // iretq
    ]
    static let read: UInt64 = 0x0b
    static let write: UInt64 = 0x10
    static let execute: UInt64 = 0x15
    static let next: UInt64 = 0x17
    static let pageFault: UInt64 = 0x29
    static let generalProtection: UInt64 = 0x31

    static let isPageFault: UInt64 = 0x100
    static let isGeneralProtection: UInt64 = 0x200
    static let resultWords = 3

    /// Code that returns a number in RAX, as the eight bytes of a word: `mov $number,%eax; ret; nop; nop`.
    static func word(returning number: UInt32) -> UInt64 { 0x9090_c300_0000_00b8 | UInt64(number) << 8 }

    // Segments: flat ones of 64 bits, for both privileges, and the task state, whose only use is the supervisor's stack.
    static let taskOffset: UInt64 = 0x100
    static let gatesOffset: UInt64 = 0x400
    static let gateCount = 15

    static func segments(task: UInt64) -> [UInt64] {
        let (code, data): (UInt64, UInt64) = (0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff)
        let unprivileged: UInt64 = 3 << 45
        let taskBase = (task & 0xff_ffff) << 16 | (task >> 24 & 0xff) << 56
        return [0, code, data, data | unprivileged, code | unprivileged, taskBase | 0x0000_8900_0000_0067, task >> 32]
    }

    /// The page of segments, task state and interrupt gates, which the program sees at `system`.
    static func systemWords(code: UInt64, system: UInt64, stackEnd: UInt64) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: 512)
        let segments = segments(task: system + taskOffset)
        words.replaceSubrange(0..<segments.count, with: segments)
        // The stack pointer is at byte 4 of the task state.
        words[Int(taskOffset) / 8] = stackEnd << 32
        words[Int(taskOffset) / 8 + 1] = stackEnd >> 32
        for (vector, handler) in [(13, code + generalProtection), (14, code + pageFault)] {
            let gate = Int(gatesOffset) / 8 + 2 * vector
            words[gate] =
                handler & 0xffff | UInt64(kvm_code_selector) << 16 | 0x8e00 << 32 | (handler >> 16 & 0xffff)
                << 48
            words[gate + 1] = handler >> 32
        }
        return words
    }
}
