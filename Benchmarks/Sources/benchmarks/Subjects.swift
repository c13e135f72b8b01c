import CReference
import Foundation
import PageTableWalk
import PageTables

// What is measured, in Swift and in C. Each returns a digest of all that it computed, so that nothing of it can be
// optimised away and the two can be compared.

typealias Space = AddressSpace<X86_64>

@inline(__always)
private func digest(_ answer: Translation) -> UInt64 {
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
