import PageTables

/// Control registers of one CPU as a dump has them, in the manual's names.
public struct CPURegisters: Hashable, Sendable {
    /// The place of the CPU in the dump, from 0.
    public let cpu: Int
    public internal(set) var values: [Register]

    public struct Register: Hashable, Sendable {
        public let name: String
        public let value: UInt64
    }

    /// The value of a register; `nil` where the dump does not have it.
    public subscript(name: String) -> UInt64? { values.first { $0.name == name }?.value }
}

extension CPURegisters {
    /// The registers that decide about address translation, from notes. x86 (QEMU's note): `CR0 CR3 CR4`; s390x: `CR0
    /// CR1 CR7 CR13 PSW.MASK PSW.ADDRESS PREFIX`. Empty for the others: their dumps have none.
    static func parse(_ notes: [Note], machine: UInt16?, _ order: ByteOrder) -> [CPURegisters] {
        switch machine {
        case ELFMachine.amd64, ELFMachine.i386: x86(notes, order)
        case ELFMachine.s390: s390x(notes, order)
        case nil where notes.contains { $0.name == "QEMU" }: x86(notes, order)
        case nil where notes.contains { $0.name == "LINUX" && $0.type == S390Note.controlRegisters }:
            s390x(notes, order)
        default: []
        }
    }

    /// Source: `QEMUCPUState` in QEMU's target/i386/arch_dump.c, version 1: two 32-bit words, 18 registers, 10 segment
    /// registers of 24 bytes, then CR0 to CR4.
    private static func x86(_ notes: [Note], _ order: ByteOrder) -> [CPURegisters] {
        let controls = 8 + 18 * 8 + 10 * 24
        var result: [CPURegisters] = []
        for note in notes where note.name == "QEMU" && note.type == 0 {
            let version: UInt32? = note.integer(at: 0, order)
            guard version == 1, let cr0: UInt64 = note.integer(at: controls, order),
                let cr3: UInt64 = note.integer(at: controls + 24, order),
                let cr4: UInt64 = note.integer(at: controls + 32, order)
            else { continue }
            result.append(
                CPURegisters(
                    cpu: result.count,
                    values: [
                        Register(name: "CR0", value: cr0), Register(name: "CR3", value: cr3),
                        Register(name: "CR4", value: cr4),
                    ]))
        }
        return result
    }

    /// Note types of include/uapi/linux/elf.h.
    private enum S390Note {
        static let status: UInt32 = 1
        static let controlRegisters: UInt32 = 0x304
        static let prefix: UInt32 = 0x305
    }

    /// Every CPU begins with its `NT_PRSTATUS`, which has the PSW at byte 112.
    private static func s390x(_ notes: [Note], _ order: ByteOrder) -> [CPURegisters] {
        var result: [CPURegisters] = []
        for note in notes {
            switch (note.name, note.type) {
            case ("CORE", S390Note.status):
                var registers = CPURegisters(cpu: result.count, values: [])
                if let mask: UInt64 = note.integer(at: 112, order), let address: UInt64 = note.integer(at: 120, order) {
                    registers.values = [
                        Register(name: "PSW.MASK", value: mask), Register(name: "PSW.ADDRESS", value: address),
                    ]
                }
                result.append(registers)
            case ("LINUX", S390Note.controlRegisters) where !result.isEmpty:
                for (place, number) in [0, 1, 7, 13].enumerated() {
                    guard let value: UInt64 = note.integer(at: 8 * number, order) else { continue }
                    let values = result[result.count - 1].values
                    result[result.count - 1].values.insert(
                        Register(name: "CR\(number)", value: value), at: min(place, values.count))
                }
            case ("LINUX", S390Note.prefix) where !result.isEmpty:
                if let prefix: UInt32 = note.integer(at: 0, order) {
                    result[result.count - 1].values.append(Register(name: "PREFIX", value: UInt64(prefix)))
                }
            default:
                break
            }
        }
        return result
    }
}
