import PageTables
import TableMemory

// A guest's tables, through the second stage.
//
// Whatever loads entries of a guest names guest-physical addresses, and the machine translates each of them before it loads. So
// does this memory: walkers of one stage walk a guest's tables over it, and know nothing of a second stage.
//
// No translation is kept. One answer is then of one moment of the tables, as a walker's loads are; and a walk over whole tables
// translates once a table anyway.

/// Memory as a guest addresses it: each load is translated by a second stage, whose own tables are in `base`.
///
/// It lives no longer than what protects the tables of both stages: where they change, a section or a lock.
public struct SecondStageMemory<Base: TableMemory, Format: PageTableFormat>: TableMemory {
    public typealias Failure = SecondStageFailure<Base.Failure>

    /// A table that lies in one page of the second stage, or one that has to be found entry by entry.
    public enum Table {
        case whole(Base.Table)
        case scattered(PhysicalAddress)
    }

    public let base: Base
    /// The second stage: its format, and the tree that translates guest-physical addresses.
    public let format: Format
    public let tree: TableTree?
    /// What the second stage has to allow for a table to be used.
    public let needed: Rights

    /// - Parameters:
    ///   - stage: Translates guest-physical addresses, by the tree that starts at 0.
    ///   - needed: Reading, as a rule. A machine that records accesses in the guest's entries needs writing as well
    ///     (Intel SDM volume 3C, section 29.3.5).
    @inlinable
    public init(_ base: Base, through stage: AddressSpace<Format>, needing needed: Rights = .supervisorRead) {
        self.base = base
        format = stage.format
        tree = stage.lower
        self.needed = needed
    }

    /// Translates a guest-physical address.
    ///
    /// - Complexity: One load a level of the second stage.
    @inlinable
    @inline(__always)
    func translate(_ address: PhysicalAddress) throws(Base.Failure) -> Translation {
        let place = VirtualAddress(address.rawValue)
        guard let tree, tree.range.contains(place) else {
            return .unmapped(Fault(reason: .outOfRange, level: Format.highestLevel, entry: Entry(0)))
        }
        var observer = NoObserver()
        return try format.follow(place, from: tree, in: base, observer: &observer)
    }

    /// Where a guest-physical address is.
    ///
    /// - Throws: `.unmapped` where the second stage stops it.
    @inlinable
    @inline(__always)
    func place(_ address: PhysicalAddress) throws(Failure) -> Mapping {
        let answer: Translation
        do throws(Base.Failure) { answer = try translate(address) } catch { try Self.fail(.memory(error)) }
        guard case .mapped(let mapping) = answer, mapping.rights.contains(needed) else {
            try Self.fail(.unmapped(SecondStageFault(address, answer)))
        }
        return mapping
    }

    // Out of line: see `TableMemory`.
    @inlinable
    @inline(never)
    static func fail(_ failure: Failure) throws(Failure) -> Never { throw failure }

    @inlinable
    @inline(never)
    func crossingWord(_ address: PhysicalAddress, bytes: UInt64, _ order: ByteOrder) throws(Failure) -> UInt64 {
        // Byte by byte of the aligned words on both sides of the page's end.
        var value: UInt64 = 0
        for index in 0..<bytes {
            let byte = address.rawValue &+ (order == .big ? index : bytes &- 1 &- index)
            let word = try load64(PhysicalAddress(byte & ~7), .little)
            value = value &<< 8 | word &>> (8 &* (byte & 7)) & 0xff
        }
        return value
    }

    /// Whether bytes lie in two of the smallest pages of the second stage.
    @inlinable
    @inline(__always)
    func crosses(_ address: PhysicalAddress, _ bytes: UInt64) -> Bool {
        let pageBytes: UInt64 = 1 &<< format.shift(.leafTable)
        return address.rawValue & (pageBytes &- 1) > pageBytes &- bytes
    }

    @inlinable
    @inline(__always)
    public func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(Failure) -> UInt64 {
        if _slowPath(crosses(address, 8)) { return try crossingWord(address, bytes: 8, order) }
        let place = try place(address).physical
        do throws(Base.Failure) { return try base.load64(place, order) } catch { try Self.fail(.memory(error)) }
    }

    @inlinable
    @inline(__always)
    public func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(Failure) -> UInt32 {
        if _slowPath(crosses(address, 4)) {
            return UInt32(truncatingIfNeeded: try crossingWord(address, bytes: 4, order))
        }
        let place = try place(address).physical
        do throws(Base.Failure) { return try base.load32(place, order) } catch { try Self.fail(.memory(error)) }
    }

    /// - Complexity: A translation, for a table in one page of the second stage; otherwise one for each later load.
    @inlinable
    public func table(at address: PhysicalAddress, bytes: Int) throws(Failure) -> Table {
        let mapping = try place(address)
        let mask = format.leafSize(of: mapping.leaf, at: mapping.level).offsetMask
        let last = address.rawValue &+ UInt64(truncatingIfNeeded: max(bytes, 1)) &- 1
        guard address.rawValue | mask == last | mask, last >= address.rawValue else { return .scattered(address) }
        do throws(Base.Failure) { return .whole(try base.table(at: mapping.physical, bytes: bytes)) } catch {
            try Self.fail(.memory(error))
        }
    }

    @inlinable
    public func load64(_ table: Table, index: Int, _ order: ByteOrder) throws(Failure) -> UInt64 {
        switch table {
        case .whole(let table):
            do throws(Base.Failure) { return try base.load64(table, index: index, order) } catch {
                try Self.fail(.memory(error))
            }
        case .scattered(let address):
            let offset = UInt64(truncatingIfNeeded: index &* 8)
            return try load64(PhysicalAddress(address.rawValue &+ offset), order)
        }
    }

    @inlinable
    public func load32(_ table: Table, index: Int, _ order: ByteOrder) throws(Failure) -> UInt32 {
        switch table {
        case .whole(let table):
            do throws(Base.Failure) { return try base.load32(table, index: index, order) } catch {
                try Self.fail(.memory(error))
            }
        case .scattered(let address):
            let offset = UInt64(truncatingIfNeeded: index &* 4)
            return try load32(PhysicalAddress(address.rawValue &+ offset), order)
        }
    }

    /// What the second stage does not map is absent, as is what the base does not have.
    @inlinable
    public func isAbsence(_ failure: Failure) -> Bool {
        switch failure {
        case .memory(let failure): base.isAbsence(failure)
        case .unmapped: true
        }
    }

    @inlinable
    @inline(__always)
    public func enforces(_ rule: SafetyRule) -> Bool { base.enforces(rule) }
}

/// Why something of a guest cannot be loaded.
public enum SecondStageFailure<Failure: Error>: Error {
    /// The second stage stops it.
    case unmapped(SecondStageFault)
    /// A word of the second stage's own tables, or the word that was wanted, cannot be loaded.
    case memory(Failure)
}

/// A guest-physical address that the second stage does not let through.
public struct SecondStageFault: Error, Hashable, Sendable {
    public enum Reason: Hashable, Sendable {
        case unmapped(Fault)
        /// It is mapped, at a level, and may not be used for this.
        case denied(Rights, Level)
    }

    public let guestPhysical: PhysicalAddress
    public let reason: Reason

    public init(guestPhysical: PhysicalAddress, reason: Reason) {
        self.guestPhysical = guestPhysical
        self.reason = reason
    }

    @usableFromInline
    init(_ address: PhysicalAddress, _ answer: Translation) {
        guestPhysical = address
        switch answer {
        case .mapped(let mapping): reason = .denied(mapping.rights, mapping.level)
        case .unmapped(let fault): reason = .unmapped(fault)
        }
    }

    /// The level of the second stage's table that stopped it.
    public var level: Level {
        switch reason {
        case .unmapped(let fault): fault.level
        case .denied(_, let level): level
        }
    }
}
