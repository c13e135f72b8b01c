import CKVM
import Foundation
import HostMemory
import PageTables

/// An x86-64 processor in a virtual machine, whose memory is an arena, at physical address 0, and a device's behind it.
///
/// The device's memory is outside of what a live space counts as frames. The program is at its end.
final class KVMProcessor {
    enum Access: CaseIterable {
        case read
        case execute
        // Last, because it changes what is recorded about pages.
        case write
    }

    /// What came of one access.
    struct Result: Equatable, CustomStringConvertible {
        var value: UInt64
        /// 0, or the kind of fault with its error code.
        var fault: UInt64
        /// CR2 of a page fault.
        var address: UInt64

        var description: String { "\(hexadecimal(value)), fault \(hexadecimal(fault)) at \(hexadecimal(address))" }
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let deviceStart: UInt64 = 4 << 30
    /// What mappings may go to.
    static let deviceBytes: UInt64 = 1 << 30
    private static let programBytes: UInt64 = 1 << 16
    static let mostAddresses = 512

    /// Where the program has to be mapped: each page with its rights.
    static let programStart: UInt64 = 0x7000_0000_0000
    static let programPages: [(range: VirtualRange, physical: PhysicalAddress, rights: Rights)] = [
        (.code, [.supervisorRead, .supervisorExecute, .userRead, .userExecute]),
        (.system, [.supervisorRead, .supervisorWrite]), (.systemStack, [.supervisorRead, .supervisorWrite]),
        (.stack, [.supervisorRead, .userRead, .writes]), (.addresses, [.supervisorRead, .userRead, .writes]),
        (.results, [.supervisorRead, .userRead, .writes]),
    ].map { (part: Part, rights: Rights) in
        let bytes: UInt64 = part == .results ? 3 << 12 : 1 << 12
        let first = VirtualAddress(programStart + part.rawValue << 12)
        return (
            VirtualRange(first: first, last: VirtualAddress(first.rawValue + bytes - 1)),
            PhysicalAddress(deviceStart + deviceBytes + part.rawValue << 12), rights
        )
    }

    private enum Part: UInt64 {
        case code, system, systemStack, stack, addresses, results

        var start: UInt64 { programStart + rawValue << 12 }
        var physical: PhysicalAddress { PhysicalAddress(deviceStart + deviceBytes + rawValue << 12) }
    }

    /// Whether this process may have a virtual machine of this processor's kind.
    static let isAvailable: Bool = {
        var machine = kvm_machine()
        guard kvm_open(&machine) else { return false }
        kvm_close(&machine)
        return true
    }()

    private var machine = kvm_machine()
    private let arena: UnsafeMutableRawPointer
    private let arenaBytes: Int
    private let device: UnsafeMutableRawPointer

    init(arena: HostArena) throws {
        // A second view of the arena: what KVM changes through it, the space sees through its own.
        let view = mmap(nil, arena.byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, arena.descriptor, 0)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let deviceBytes = Int(Self.deviceBytes + Self.programBytes)
        let device = mmap(nil, deviceBytes, PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let view, let device, view != MAP_FAILED, device != MAP_FAILED else { throw Self.failure("mmap") }
        self.arena = view
        arenaBytes = arena.byteCount
        self.device = device
        guard kvm_open(&machine) else { throw Self.failure("a virtual machine") }
        guard kvm_add_memory(&machine, 0, 0, view, arenaBytes),
            kvm_add_memory(&machine, 1, Self.deviceStart, device, deviceBytes)
        else { throw Self.failure("a virtual machine's memory") }
        placeProgram()
    }

    deinit {
        kvm_close(&machine)
        munmap(arena, arenaBytes)
        munmap(device, Int(Self.deviceBytes + Self.programBytes))
    }

    private static func failure(_ what: String) -> Failure {
        Failure(description: "\(what): \(String(cString: strerror(errno)))")
    }

    /// Whether a leaf can map 1 GiB.
    var hasGigabytePages: Bool { machine.hasGigabytePages }

    /// A word of the machine's memory.
    subscript(_ physical: PhysicalAddress) -> UInt64 {
        get { pointer(physical).load(as: UInt64.self) }
        set { pointer(physical).storeBytes(of: newValue, as: UInt64.self) }
    }

    private func pointer(_ physical: PhysicalAddress) -> UnsafeMutableRawPointer {
        if physical.rawValue < UInt64(arenaBytes) { return arena + Int(physical.rawValue) }
        let offset = physical.rawValue &- Self.deviceStart
        precondition(offset < Self.deviceBytes + Self.programBytes, "the machine has no memory at \(physical)")
        return device + Int(offset)
    }

    private func placeProgram() {
        pointer(Part.code.physical).copyMemory(from: GuestProgram.code, byteCount: GuestProgram.code.count)
        let words = GuestProgram.systemWords(
            code: Part.code.start, system: Part.system.start, stackEnd: Part.systemStack.start + 4096)
        pointer(Part.system.physical).copyMemory(from: words, byteCount: 8 * words.count)
    }

    /// Has the processor access addresses one after the other, through the tables of a root.
    ///
    /// - Parameter root: Its tables map the program.
    func run(
        _ access: Access, at addresses: [UInt64], unprivileged: Bool, root: PhysicalAddress
    ) throws -> [Result] {
        precondition(!addresses.isEmpty && addresses.count <= Self.mostAddresses, "the list has one page")
        pointer(Part.addresses.physical).copyMemory(from: addresses, byteCount: 8 * addresses.count)
        let results = pointer(Part.results.physical).assumingMemoryBound(to: UInt64.self)
        let resultWords = GuestProgram.resultWords
        results.update(repeating: 0, count: resultWords * addresses.count)
        let routine =
            switch access {
            case .read: GuestProgram.read
            case .execute: GuestProgram.execute
            case .write: GuestProgram.write
            }
        var start = kvm_start()
        start.rip = Part.code.start
        start.rsi = Part.addresses.start
        start.rdi = Part.results.start
        start.rcx = UInt64(addresses.count)
        start.r8 = Part.code.start + GuestProgram.next
        start.r9 = Part.stack.start + 4096
        start.r10 = Part.code.start + routine
        start.cr3 = root.rawValue
        start.gdt = Part.system.start
        start.gdtBytes = 7 * 8
        start.tss = Part.system.start + GuestProgram.taskOffset
        start.idt = Part.system.start + GuestProgram.gatesOffset
        start.idtBytes = UInt16(16 * GuestProgram.gateCount)
        start.isUser = unprivileged
        let reason = kvm_run_until_port(&machine, &start)
        guard reason == 0 else {
            throw reason < 0 ? Self.failure("KVM_RUN") : Failure(description: "the processor stopped: exit \(reason)")
        }
        return addresses.indices.map { index in
            let words = results + resultWords * index
            let isPageFault = words[1] & GuestProgram.isPageFault != 0
            return Result(value: words[0], fault: words[1], address: isPageFault ? words[2] : 0)
        }
    }
}
