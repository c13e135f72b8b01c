import PageTableWalk
import PageTables
import SeededRandom
import TableMemory

@testable import VirtualMemory

/// A live space beside its model, and random numbers that decide what is done with both.
final class SpaceRun<F: WritableFormat> {
    let name: String
    let format: F
    let memory: SingleProcessorMemory
    let layout: PhysicalLayout
    let references: FrameReferences
    let space: Space<F>
    let places: Places<F>
    var model: SpaceModel<F>
    var random: SeededRandom
    /// Keeps translations while everything changes.
    var processor: RunningProcessor<F>?
    /// Addresses that it has accessed.
    var recent: [UInt64] = []
    /// Pins that were taken and not given up.
    var pins: [Pin] = []
    /// What is done at the moment, for a failure's message.
    var step = ""
    /// Whether every operation that allocates is tried with each of its allocations refused.
    var refusesEachAllocation = false
    /// What is never allocated.
    var alwaysRefused: Set<AllocationKind> = []

    init(
        _ format: F, _ name: String, _ purpose: String, topLevel: Level? = nil, policy: ReclaimPolicy = .rcu,
        filling: TableFilling = .single
    ) throws {
        self.name = "\(name), \(purpose)"
        let format = format.ofLiveSpaces
        self.format = format
        random = SeededRandom(for: self.name)
        places = Places(format)
        let frames: UInt32 = format.log2FrameBytes > 12 ? 512 : 4096
        layout = PhysicalLayout(log2FrameBytes: format.log2FrameBytes, frameCount: frames)
        memory = SingleProcessorMemory(byteCount: layout.byteCount)
        try memory.beginLife(of: layout.bookkeeping, as: .bookkeeping)
        references = layout.makeReferences()
        space = try Space.make(
            format, topLevel: topLevel, references, words: layout.spaceWords(), reclaiming: policy, filling: filling,
            in: memory)
        model = SpaceModel(format, topLevel: topLevel ?? format.topLevels.lowerBound)
    }

    func verify(_ holds: Bool, _ place: @autoclosure () -> String, line: Int = #line, file: String = #fileID) throws {
        if !holds { throw failure(place(), line: line, file: file) }
    }

    func failure(_ place: String, line: Int = #line, file: String = #fileID) -> SpaceFailure {
        SpaceFailure(description: "\(file):\(line): \(name): \(step): \(place)")
    }

    /// Tears everything down, and looks whether all of it came back.
    func finish() throws {
        step = "at the end"
        try compare()
        for pin in pins { try unpin(pin) }
        pins = []
        try space.tearDown(in: memory)
        for (head, block) in model.blocks where block.isHeld { try references.drop(on: head, in: memory) }
        let free = try references.allocator.freeFrameCount(in: memory)
        try verify(free == UInt64(layout.map.frameCount), "\(free) of \(layout.map.frameCount) frames are free")
        try verify(memory.objects.count == 1, "something outlives the space")
        for number in 0..<layout.map.frameCount {
            let descriptor = layout.map.descriptor(of: Frame(layout.map.first.number + number))
            let counts = [descriptor.references, descriptor.mapCount, descriptor.pins]
            for count in counts where try memory.load(count, .relaxed) != 0 {
                throw failure("frame \(number) is free and has counts")
            }
        }
    }

    func unpin(_ pin: Pin) throws {
        try space.unpin(pin, in: memory)
        model.blocks[pin.head]?.pinnedPages -= UInt64(pin.pages)
        model.dropUnused()
    }

    /// What the space refused, if it did.
    func refusal(_ body: () throws(SpaceError<MemoryMisuse>) -> Void) throws -> Refusal? {
        do throws(SpaceError<MemoryMisuse>) { try body() } catch {
            switch error {
            case .memory(let misuse): throw failure(misuse.description)
            case .refused(let refusal): return refusal
            }
        }
        return nil
    }

    /// Runs an operation and looks whether it does what the model says.
    ///
    /// - Parameters:
    ///   - expected: Why it is refused, if it is.
    ///   - topLevel: How deep the space is afterwards, unless an allocation fails.
    ///   - apply: Changes the model.
    ///   - learn: Runs after each attempt: looks what has changed although the operation was refused, as it may.
    func perform(
        _ label: String, expecting expected: Refusal?, topLevel: Level? = nil, learn: () throws -> Void = {},
        _ body: () throws(SpaceError<MemoryMisuse>) -> Void, apply: () throws -> Void = {}
    ) throws {
        step = label
        let before = model.topLevel
        var number = 0
        while refusesEachAllocation {
            memory.refuse([.frame, .table], number..<number + 1)
            let refusal = try refusal(body)
            let wasRefused = memory.hasRefused
            memory.refuse(alwaysRefused)
            if !wasRefused { return try conclude(refusal, expected, topLevel, learn, apply) }
            step = "\(label), without allocation \(number)"
            try verify(refusal == .outOfMemory, "\(String(describing: refusal)) and not out of memory")
            model.topLevel = try self.topLevel()
            try verify(before <= model.topLevel && model.topLevel <= topLevel ?? before, "grown too far")
            try learn()
            try compare()
            number += 1
            step = label
        }
        memory.refuse(alwaysRefused)
        try conclude(try refusal(body), expected, topLevel, learn, apply)
    }

    private func conclude(
        _ refusal: Refusal?, _ expected: Refusal?, _ topLevel: Level?, _ learn: () throws -> Void,
        _ apply: () throws -> Void
    ) throws {
        try verify(refusal == expected, "\(String(describing: refusal)), not \(String(describing: expected))")
        if let topLevel { model.topLevel = topLevel }
        try learn()
        if expected == nil { try apply() }
        model.dropUnused()
    }

    func topLevel() throws -> Level {
        try memory.withRCUReader { (section) throws(MemoryMisuse) in try space.view(in: section) }.trees[0].topLevel
    }

    func translate(_ address: UInt64) throws -> Translation {
        try memory.withInterruptsBlocked { (section) throws(MemoryMisuse) in
            try space.view(in: section).translate(VirtualAddress(address), in: section)
        }
    }
}

/// Something that does not hold, with the line that replays the random choices.
struct SpaceFailure: Error, CustomStringConvertible {
    let description: String

    init(description: String) { self.description = "\(description); \(SeededRandom.replay("VirtualMemoryTests"))" }
}
