import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

// The reckoning of guests and devices when no thread runs: what they have is what their space maps now.

struct KeeperAccounts<Format: StressFormat> {
    let shared: StressSpace<Format>
    let memory: HostMemory

    private func violation(_ message: @autoclosure () -> String) {
        shared.log.add("guests and devices at the end of a round: \(message())")
    }

    func compareWithSpace() {
        if let guest = shared.guest { compare(guest) }
        if let mirror = shared.mirror { compare(mirror.device) }
    }

    /// Gives up what is made of the space's translations.
    func close() {
        shared.guest?.space.tearDown(in: memory)
        if let mirror = shared.mirror { shared.space.remove(mirror, in: memory) }
    }

    private func compare(_ guest: StressGuest<Format>) {
        var found = FoundVisitor<Format>()
        memory.withInterruptsBlocked { section in
            _ = guest.space.view(in: section).walk(in: section, visitor: &found)
        }
        for problem in found.malformed { violation("\(problem) of a guest is malformed") }
        for leaf in found.leaves {
            guard let address = guest.parent(of: leaf.first) else {
                violation("\(hexadecimal(leaf.first)) of a guest is mapped, and it sees nothing there")
                continue
            }
            compare(address, PhysicalAddress(leaf.physical), isWritable: leaf.isWritable, "a guest")
        }
    }

    private func compare(_ device: StressDevice) {
        for (page, found) in device.table {
            compare(page.rawValue, found.physical, isWritable: found.isWritable, "a device")
        }
    }

    private func compare(_ address: UInt64, _ physical: PhysicalAddress, isWritable: Bool, _ keeper: StaticString) {
        let found = memory.withInterruptsBlocked { section in
            shared.space.view(in: section).translate(VirtualAddress(address), in: section)
        }
        if case .mapped(let mapping) = found, mapping.physical == physical, mapping.rights.canWrite || !isWritable {
            return
        }
        violation("\(hexadecimal(address)) is \(found) in the space, and at \(physical) for \(keeper)")
    }
}
