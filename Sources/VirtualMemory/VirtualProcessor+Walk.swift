import PageTables
import TableMemory

extension VirtualProcessor {
    /// Step 3.
    @usableFromInline
    @inline(never)
    mutating func walk(
        _ address: VirtualAddress, _ access: ProcessorAccess
    ) throws(Memory.Failure) -> PhysicalAddress? {
        missCount &+= 1
        let format = space.format
        while true {
            guard let found = try leaf(of: address) else { return nil }
            let bits = found.pathBits & format.pathBits(of: found.entry, at: found.level)
            let rights = format.effectiveRights(format.rights(ofPath: bits))
            guard rights.contains(access.right(mode)) else { return nil }
            let used = recording(access, found.entry, at: found.level)
            if used != found.entry, try !record(used, found) { continue }
            let physical = format.physical(of: found.entry, at: found.level, for: address)
            let isWritten = recording(.write, used, at: found.level) == used
            buffer.keep(
                address, at: physical,
                for: ProcessorAccess.allCases.filter {
                    rights.contains($0.right(mode)) && ($0 != .write || isWritten)
                }, mode)
            return physical
        }
    }

    private struct FoundLeaf {
        let entry: Entry
        let place: PhysicalAddress
        let level: Level
        let pathBits: UInt64
    }

    private mutating func leaf(of address: VirtualAddress) throws(Memory.Failure) -> FoundLeaf? {
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
            case .leaf: return FoundLeaf(entry: entry, place: place, level: level, pathBits: pathBits)
            default: return nil
            }
        }
    }

    /// A leaf in which an access is recorded, as far as the format has it recorded.
    private func recording(_ access: ProcessorAccess, _ leaf: Entry, at level: Level) -> Entry {
        let wanted: EntryFlags = access == .write ? [.accessed, .dirty] : .accessed
        let recorded = wanted.intersection(Format.notions.flags)
        var decoded = space.format.decode(leaf, at: level)
        if decoded.attributes.flags.isSuperset(of: recorded) { return leaf }
        decoded.attributes.flags.formUnion(recorded)
        return space.format.encode(decoded, at: level)
    }

    /// - Returns: False if the leaf was changed meanwhile.
    private func record(_ used: Entry, _ found: FoundLeaf) throws(Memory.Failure) -> Bool {
        if memory.enforces(.recordUseAtomically) {
            return try memory.compareExchange(
                expected: found.entry, desired: used, space.format, at: found.place, .full
            ).isExchanged
        }
        try memory.store(used, space.format, at: found.place, .release)
        return true
    }
}

extension VirtualProcessor {
    /// Accesses an address, with faults as they come.
    ///
    /// - Parameter body: Gets the physical address, which is of use until it returns.
    /// - Throws: What `LiveSpace.fault` refuses, also if the space allows the access only to the other mode.
    /// - Precondition: The caller is in no section and holds no lock.
    public mutating func access<Result>(
        _ address: VirtualAddress, for access: ProcessorAccess,
        _ body: (PhysicalAddress) throws(Memory.Failure) -> Result
    ) throws(SpaceError<Memory.Failure>) -> Result {
        var hasFaulted = false
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
            var refusal: Refusal?
            do throws(Memory.Failure) {
                let space = space
                refusal = try memory.withReadLock(space.words.lock) { (lock) throws(Memory.Failure) in
                    try space.fault(
                        address, access == .write ? .write : .read, atMost: PageSize(log2Bytes: 63), lock)
                }
            } catch { throw .memory(error) }
            // A fault that finds nothing to do, twice in a row, is about a right that nobody can give.
            if refusal == nil, hasFaulted, try isForbidden(address, access) { refusal = .accessDenied(address) }
            if let refusal { throw .refused(refusal) }
            hasFaulted = true
        }
    }

    /// Whether the page is mapped and its rights do not include an access.
    private func isForbidden(
        _ address: VirtualAddress, _ access: ProcessorAccess
    ) throws(SpaceError<Memory.Failure>) -> Bool {
        do throws(Memory.Failure) {
            return try memory.withRCUReader { (section) throws(Memory.Failure) in
                guard case .mapped(let mapping) = try space.view(in: section).translate(address, in: section) else {
                    return false
                }
                return !mapping.rights.contains(access.right(mode))
            }
        } catch { throw .memory(error) }
    }
}
