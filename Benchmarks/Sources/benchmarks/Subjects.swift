import CReference
import Foundation
import PageTableWalk
import PageTables

// What is measured, in Swift and in C. Each returns a digest of all that it computed, so that nothing of it can be
// optimised away and the two can be compared.

typealias Space = AddressSpace<X86_64>

@inline(__always)
func digest(_ answer: Translation) -> UInt64 {
    guard case .mapped(let mapping) = answer else { return 0 }
    return mapping.physical.rawValue &+ mapping.leaf.rawValue &+ UInt64(truncatingIfNeeded: mapping.level.rawValue)
        &+ UInt64(mapping.rights.rawValue)
}

@inline(never)
private func translateCall(
    _ address: VirtualAddress, _ space: Space, _ memory: FlatMemory
) throws(FlatMemory.Absent) -> Translation {
    try space.translate(address, in: memory)
}

/// One call for each address.
@inline(never)
func translateCalls(
    _ addresses: [UInt64], _ space: Space, _ memory: FlatMemory
) throws(FlatMemory.Absent) -> UInt64 {
    var sum: UInt64 = 0
    for address in addresses { sum &+= digest(try translateCall(VirtualAddress(address), space, memory)) }
    return sum
}

/// The translation is the compiler's to inline into the loop.
@inline(never)
func translateInlined(
    _ addresses: [UInt64], _ space: Space, _ memory: FlatMemory
) throws(FlatMemory.Absent) -> UInt64 {
    var sum: UInt64 = 0
    for address in addresses { sum &+= digest(try space.translate(VirtualAddress(address), in: memory)) }
    return sum
}

/// Forms runs, as a survey does, and sums them up instead of keeping them.
private struct RunSum: PageWalkVisitor {
    typealias Format = X86_64

    var first: UInt64 = 0
    var physical: UInt64 = 0
    var bytes: UInt64 = 0
    var bits: UInt64 = 0
    var rights: Rights = []
    var flags: EntryFlags = []
    var sum: UInt64 = 0

    static var joinsLeaves: Bool { true }

    mutating func leaves(
        _ entry: Entry, _ format: X86_64, at indexes: IndexLimits, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction {
        let place = format.physical(of: entry, at: visit.level, for: first).rawValue
        let bits = format.attributeBits(of: entry, at: visit.level)
        let size = last.rawValue &- first.rawValue &+ 1
        if bytes != 0 && bits == self.bits && first.rawValue == self.first &+ bytes && place == physical &+ bytes {
            bytes &+= size
            return .proceed
        }
        close()
        self.first = first.rawValue
        physical = place
        bytes = size
        self.bits = bits
        let attributes = format.attributes(of: entry, at: visit.level)
        rights = format.effectiveRights(attributes.rights.intersection(visit.rights))
        flags = attributes.flags
        return .proceed
    }

    mutating func close() {
        if bytes == 0 { return }
        sum &+= (first ^ physical ^ bytes) &+ UInt64(rights.rawValue) &+ UInt64(flags.rawValue) &+ 1
        bytes = 0
    }
}

/// All runs of the space, which are not kept.
@inline(never)
func walkAll(_ space: Space, _ memory: FlatMemory) throws(FlatMemory.Absent) -> UInt64 {
    var visitor = RunSum()
    try space.walk(in: memory, visitor: &visitor)
    visitor.close()
    return visitor.sum
}

func walkAllInC(_ space: reference_space) -> UInt64 { withUnsafePointer(to: space) { reference_walk($0) } }

/// All ranges of the space.
@inline(never)
func surveyAll(_ space: Space, _ memory: FlatMemory) throws(FlatMemory.Absent) -> UInt64 {
    let survey = try space.survey(in: memory)
    var sum = UInt64(survey.ranges.count)
    for range in survey.ranges {
        sum &+= range.first.rawValue ^ range.physical.rawValue ^ range.byteCount
        sum &+= UInt64(range.attributes.rights.rawValue) &+ UInt64(range.attributes.flags.rawValue)
    }
    return sum
}

func translateCallsInC(_ addresses: [UInt64], _ space: reference_space) -> UInt64 {
    withUnsafePointer(to: space) { reference_translate_calls($0, addresses, addresses.count) }
}

func translateInlinedInC(_ addresses: [UInt64], _ space: reference_space) -> UInt64 {
    withUnsafePointer(to: space) { reference_translate_inlined($0, addresses, addresses.count) }
}

@inline(never)
func surveyAllInC(_ space: reference_space) -> UInt64 {
    var count = 0
    guard let runs = withUnsafePointer(to: space, { reference_survey($0, &count) }) else { return 0 }
    defer { free(runs) }
    var sum = UInt64(count)
    for run in UnsafeBufferPointer(start: runs, count: count) {
        sum &+= run.first ^ run.physical ^ run.bytes
        sum &+= UInt64(run.rights) &+ UInt64(run.flags)
    }
    return sum
}
