import PageTables
import TableMemory

extension VirtualProcessor {
    /// Step 3.
    @inlinable
    @inline(never)
    mutating func walk(
        _ address: VirtualAddress, _ access: ProcessorAccess
    ) throws(Memory.Failure) -> PhysicalAddress? {
        misses &+= 1
        let format = space.format
        while true {
            guard let found = try leaf(of: address) else { return nil }
            let bits = found.pathBits & format.pathBits(of: found.entry, at: found.level)
            let rights = format.effectiveRights(format.rights(ofPath: bits))
            guard rights.contains(access.right(judgedMode)) else { return nil }
            uses.prepare(for: found.entry, at: found.level, format)
            let difference = access == .write ? uses.ofWriting : uses.ofReading
            if difference != 0, try !record(difference, found) { continue }
            let physical = format.physical(of: found.entry, at: found.level, for: address)
            let isWritten = access == .write || uses.ofWriting == 0
            buffer.keep(address, at: physical, rights, judgedMode, isWritten: isWritten)
            return physical
        }
    }

    /// Whose rights decide: where entries know no user, those of the supervisor do for everybody.
    @inlinable
    var judgedMode: ProcessorMode { Format.notions.user ? mode : .supervisor }

    /// Goes down to the leaf of an address.
    @inlinable
    @inline(__always)
    mutating func leaf(of address: VirtualAddress) throws(Memory.Failure) -> WalkedLeaf? {
        let format = space.format
        var (table, level, pathBits): (PhysicalAddress, Level, UInt64)
        if let line = tables.line(of: address) {
            (table, level, pathBits) = (line.table, .leafTable, line.pathBits)
        } else {
            let root = try Structure.loadRoot(space.words, memory)
            guard format.covers(address, topLevel: Format.fixedTopLevel ?? root.topLevel) else { return nil }
            (table, level, pathBits) = (root.table, Format.fixedTopLevel ?? root.topLevel, .max)
        }
        while true {
            let place = space.place(format.index(of: address, at: level), of: table)
            let entry = try memory.load(format, place)
            switch format.shape(of: entry, at: level) {
            case .table where level > .leafTable:
                pathBits &= format.pathBits(of: entry, at: level)
                table = format.table(of: entry, at: level)
                level = level.below
                if level == .leafTable { tables.keep(table, of: address, pathBits: pathBits) }
            case .leaf: return WalkedLeaf(entry: entry, place: place, level: level, pathBits: pathBits)
            default: return nil
            }
        }
    }

    /// - Parameter difference: Between the leaf and the same with the use recorded.
    /// - Returns: False if the leaf was changed meanwhile.
    @inlinable
    func record(_ difference: UInt64, _ found: WalkedLeaf) throws(Memory.Failure) -> Bool {
        let used = Entry(found.entry.rawValue ^ difference)
        if memory.enforces(.recordUseAtomically) {
            return try memory.compareExchange(
                expected: found.entry, desired: used, space.format, at: found.place, .full
            ).isExchanged
        }
        try memory.store(used, space.format, at: found.place, .release)
        return true
    }
}

/// A leaf that a processor has walked to.
@usableFromInline
struct WalkedLeaf {
    @usableFromInline
    let entry: Entry
    @usableFromInline
    let place: PhysicalAddress
    @usableFromInline
    let level: Level
    /// What decides the rights of the entries above.
    @usableFromInline
    let pathBits: UInt64

    @inlinable
    init(entry: Entry, place: PhysicalAddress, level: Level, pathBits: UInt64) {
        self.entry = entry
        self.place = place
        self.level = level
        self.pathBits = pathBits
    }
}

/// What recording a use changes in a leaf: the same for all leaves with the same attributes, as neighbours mostly have.
@usableFromInline
struct UseRecords {
    /// Of the leaf that was asked about last; `nil` before the first.
    @usableFromInline
    var level: Level?
    @usableFromInline
    var attributeBits: UInt64 = 0
    /// Zero if the leaf says already that it was used.
    @usableFromInline
    var ofReading: UInt64 = 0
    /// Zero if the leaf says already that it was written.
    @usableFromInline
    var ofWriting: UInt64 = 0

    @inlinable
    init() {}

    @inlinable
    mutating func prepare<Format: WritableFormat>(for leaf: Entry, at level: Level, _ format: Format) {
        let bits = format.attributeBits(of: leaf, at: level)
        if self.level != level || bits != attributeBits { compute(leaf, bits, level, format) }
    }

    @usableFromInline
    @inline(never)
    mutating func compute<Format: WritableFormat>(_ leaf: Entry, _ bits: UInt64, _ level: Level, _ format: Format) {
        (self.level, attributeBits) = (level, bits)
        let decoded = format.decode(leaf, at: level)
        func difference(_ flags: EntryFlags) -> UInt64 {
            // What the format does not record is not recorded.
            let recorded = flags.intersection(Format.notions.flags)
            if decoded.attributes.flags.isSuperset(of: recorded) { return 0 }
            var used = decoded
            used.attributes.flags.formUnion(recorded)
            return format.encode(used, at: level).rawValue ^ leaf.rawValue
        }
        ofReading = difference(.accessed)
        ofWriting = difference([.accessed, .dirty])
    }
}

extension VirtualProcessor {
    /// Accesses an address, with faults as they come.
    ///
    /// - Parameter body: Gets the physical address, which is of use until it returns.
    /// - Throws: What `LiveSpace.fault` refuses, also if the space allows the access only to the other mode.
    /// - Precondition: The caller is in no section and holds no lock.
    /// - Complexity: As `execute` and `physical`, and a fault where that is `nil`. A hit calls nothing; but where the processor is
    ///   a property of an object, or global, the runtime checks each call for exclusive access, which takes longer than the hit:
    ///   a loop is better given the processor as `inout`.
    @inlinable
    @inline(__always)
    public mutating func access<Result>(
        _ address: VirtualAddress, for access: ProcessorAccess,
        _ body: (PhysicalAddress) throws(Memory.Failure) -> Result
    ) throws(SpaceError<Memory.Failure>) -> Result {
        while true {
            let result: Result?
            do throws(Memory.Failure) {
                result = try execute { (processor, section) throws(Memory.Failure) in
                    guard let physical = try processor.physical(of: address, for: access, in: section) else {
                        return nil
                    }
                    return try body(physical)
                }
            } catch { throw .memory(error) }
            if let result { return result }
            try fault(address, access)
        }
    }

    /// Step 4: if it returns, the page was mapped and the right was there, at some moment with the space's lock held. The next
    /// access may find that it was taken away again, which is another fault.
    @inlinable
    @inline(never)
    func fault(_ address: VirtualAddress, _ access: ProcessorAccess) throws(SpaceError<Memory.Failure>) {
        let (space, right) = (space, access.right(judgedMode))
        let memory = memory
        try SpaceError.throwing { () throws(Memory.Failure) in
            try memory.withReadLock(space.words.lock) { (lock) throws(Memory.Failure) in
                try space.fault(address, .right(right), lock)
            }
        }
    }
}
