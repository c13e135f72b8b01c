import HostMemory
import PageTableWalk
import PageTables
import SeededRandom
import TableMemory
import Testing
import VirtualMemory

/// A live x86-64 space whose root a virtual processor is given: the machine's own MMU has to find what `translate` finds.
///
/// Skipped where the system lends no virtual machine of this processor's kind (Linux on x86-64 with /dev/kvm open to this
/// user): there is no other way to ask the MMU about tables that are not the system's.
@Suite(
    "The machine's own MMU",
    .enabled(if: KVMProcessor.isAvailable, "skipped: no usable /dev/kvm for an x86-64 processor"))
struct MachineMMUTests {
    @Test(
        "finds what translate finds, while another thread changes what is beside it", arguments: 0..<3 as Range<UInt64>)
    func agreesWithTranslate(round: UInt64) throws {
        let mapped = try MappedSpace(random: SeededRandom(for: "the machine's own MMU \(round)"))
        defer { mapped.memory.detach() }
        let neighbour = mapped.startNeighbour()
        for _ in 0..<3 {
            for unprivileged in [false, true] {
                for access in KVMProcessor.Access.allCases {
                    let wrong = try mapped.disagreements(access, unprivileged: unprivileged)
                    #expect(wrong.isEmpty, "\(SeededRandom.replay("MachineMMUTests"))")
                }
            }
        }
        #expect(neighbour.stop() > 0, "nothing was changed meanwhile")
    }

    @Test("records accesses and writes where entries are decoded to say so")
    func recordsAccesses() throws {
        let mapped = try MappedSpace(random: SeededRandom(for: "what the MMU records"))
        defer { mapped.memory.detach() }
        for access in [.read, .execute] as [KVMProcessor.Access] {
            #expect(try mapped.disagreements(access, unprivileged: false) == [])
        }
        let readable = mapped.paths(allowing: .supervisorRead)
        #expect(!readable.isEmpty)
        for steps in readable {
            #expect(steps.allSatisfy { mapped.flags(of: $0).contains(.accessed) }, "a path was used: \(steps)")
            #expect(!mapped.flags(of: steps[steps.count - 1]).contains(.dirty), "nothing was written: \(steps)")
        }
        #expect(try mapped.disagreements(.write, unprivileged: false) == [])
        for steps in mapped.paths(allowing: .supervisorWrite) {
            #expect(mapped.flags(of: steps[steps.count - 1]).contains(.dirty), "a page was written: \(steps)")
        }
        for steps in mapped.paths(denying: .supervisorWrite) {
            #expect(!mapped.flags(of: steps[steps.count - 1]).contains(.dirty), "a page was not written: \(steps)")
        }
    }

    @Test(
        "is heard where a leaf is not what translate was told",
        arguments: [
            (1, KVMProcessor.Access.read), (2, .write), (1 << 12, .read), (1 << 63, .execute),
        ] as [(UInt64, KVMProcessor.Access)])
    func isHeard(bits: UInt64, access: KVMProcessor.Access) throws {
        let mapped = try MappedSpace(random: SeededRandom(for: "a leaf that is changed \(bits)"))
        defer { mapped.memory.detach() }
        let rights: Rights =
            access == .read ? .supervisorRead : access == .write ? .supervisorWrite : .supervisorExecute
        let leaf = try #require(mapped.paths(allowing: rights).first { $0.count == 4 })
        let wrong = try mapped.disagreements(access, unprivileged: false) { mapped.flip(bits, inLeafOf: leaf) }
        mapped.flip(bits, inLeafOf: leaf)
        #expect(!wrong.isEmpty)
    }
}
