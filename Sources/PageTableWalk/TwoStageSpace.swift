import PageTables
import TableMemory

/// What decides a guest's translations: its own tables, whose addresses are guest-physical, and a second stage that says where
/// guest-physical addresses are.
public struct TwoStageSpace<Guest: PageTableFormat, Stage: PageTableFormat>: Sendable {
    /// From virtual to guest-physical addresses.
    public let guest: AddressSpace<Guest>
    /// From guest-physical to physical addresses.
    public let stage: AddressSpace<Stage>

    @inlinable
    public init(guest: AddressSpace<Guest>, stage: AddressSpace<Stage>) {
        self.guest = guest
        self.stage = stage
    }
}

/// The answer for one address of a guest.
public enum TwoStageTranslation: Sendable {
    case mapped(TwoStageMapping)
    case unmapped(TwoStageFault)
}

/// An address of a guest that both stages map.
public struct TwoStageMapping: Sendable {
    /// What the guest's tables say; its physical address is guest-physical.
    public let guest: Mapping
    /// What the second stage says of that address.
    public let stage: Mapping
    /// The smaller page of the two: what a translation cache can hold.
    public let pageSize: PageSize

    @inlinable
    init(guest: Mapping, stage: Mapping, pageSize: PageSize) {
        self.guest = guest
        self.stage = stage
        self.pageSize = pageSize
    }

    /// Where the address is, the offset in the page included.
    @inlinable
    public var physical: PhysicalAddress { stage.physical }

    /// What both stages allow.
    @inlinable
    public var rights: Rights { guest.rights.intersection(stage.rights) }
}

/// Which stage stopped an address of a guest, and where: whose fault it is to handle.
public enum TwoStageFault: Hashable, Sendable {
    /// The guest's own tables do: the guest's operating system hears of it.
    case guest(Fault)
    /// The second stage does not let the guest's table of a level be used: the hypervisor hears of it.
    case table(Level, SecondStageFault)
    /// The second stage does not map the page that the guest's tables name.
    case page(SecondStageFault)
}

extension TwoStageSpace {
    /// Translates one address of the guest through both stages.
    ///
    /// - Parameter needed: What the second stage has to allow for the guest's tables to be used.
    /// - Throws: The memory's failure, where an entry's word cannot be loaded.
    /// - Complexity: With `g` levels of the guest and `s` of the second stage, `(g + 1) * (s + 1) - 1` loads: 24 for four each.
    @inlinable
    public func translate<Memory: TableMemory>(
        _ address: VirtualAddress, in memory: Memory, needing needed: Rights = .supervisorRead
    ) throws(Memory.Failure) -> TwoStageTranslation {
        var last = LastLevel()
        let answer: Translation
        guard let tree = guest.tree(for: address) else {
            return .unmapped(.guest(Fault(reason: .outOfRange, level: Guest.highestLevel, entry: Entry(0))))
        }
        let tables = SecondStageMemory(memory, through: stage, needing: needed)
        do throws(SecondStageFailure<Memory.Failure>) {
            answer = try guest.format.follow(address, from: tree, in: tables, observer: &last)
        } catch {
            switch error {
            case .memory(let failure): throw failure
            case .unmapped(let fault):
                return .unmapped(.table(last.level?.below ?? tree.topLevel, fault))
            }
        }
        switch answer {
        case .unmapped(let fault): return .unmapped(.guest(fault))
        case .mapped(let inner):
            let outer = try tables.translate(inner.physical)
            guard case .mapped(let outer) = outer else {
                return .unmapped(.page(SecondStageFault(inner.physical, outer)))
            }
            return .mapped(
                TwoStageMapping(
                    guest: inner, stage: outer,
                    pageSize: min(
                        guest.format.leafSize(of: inner.leaf, at: inner.level),
                        stage.format.leafSize(of: outer.leaf, at: outer.level))))
        }
    }

    /// As for any memory, inside a section: the tables of both stages are then not freed meanwhile.
    @inlinable
    public func translate<Section: ReadWitness & ~Copyable>(
        _ address: VirtualAddress, in section: borrowing Section, needing needed: Rights = .supervisorRead
    ) throws(Section.Failure) -> TwoStageTranslation {
        try translate(address, in: section.memory, needing: needed)
    }
}

/// The level of the guest's table that was last used.
@usableFromInline
struct LastLevel: TranslationObserver {
    @usableFromInline
    var level: Level?

    @inlinable
    init() {}

    @inlinable
    @inline(__always)
    mutating func loaded(_ entry: Entry, at position: EntryPosition) { level = position.level }
}
