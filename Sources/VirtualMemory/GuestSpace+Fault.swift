import PageTableWalk
import PageTables
import TableMemory

// Faults, accesses and changes of the parent's, in the order of steps that `GuestSpace` lists.

extension GuestSpace {
    /// Maps the page of an address of the guest, and has the parent map it first.
    ///
    /// - Throws: `.notMapped` with the guest's address where it sees nothing; `.outOfMemory`; otherwise what the parent refuses,
    ///   with the parent's address.
    /// - Complexity: A fault of the parent's, and the levels; again for each change of the parent's meanwhile.
    public func fault<Memory: SharedMemory>(
        _ address: VirtualAddress, for access: PageAccess, lock: borrowing ReadLockHeld<Memory>
    ) throws(SpaceError<Memory.Failure>) {
        try SpaceError.throwing { () throws(Memory.Failure) in try fault(address, access, lock) }
    }

    private func fault<Memory: SharedMemory>(
        _ address: VirtualAddress, _ access: PageAccess, _ lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> Refusal? {
        guard let segment = segments.first(where: { $0.range.contains(address) }) else { return .notMapped(address) }
        let place = segment.parentAddress(of: address)
        let memory = lock.memory
        while true {
            let reading = try words.mirror.beginReading(in: memory)
            if let refusal = try parent.fault(place, .access(access), lock) { return refusal }
            if access == .write, recordsWrites(memory) { try parent.recordWrite(at: place, in: memory) }
            guard let found = try mapping(of: place, in: memory), access.isAllowed(by: found.rights) else { continue }
            let leaf: Entry
            do throws(EncodingError) { leaf = try self.leaf(found, in: memory) } catch { return .notExpressible(error) }
            guard let table = try leafTable(for: address, in: memory) else { return .outOfMemory }
            let entry = parent.place(format.index(of: address, at: .leafTable), of: table)
            let isMade = try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
                if memory.enforces(.recheckSequenceUnderMirrorLock), try reading.isStale(in: memory) { return false }
                // Another fault's entry is of the same page: the parent has not changed.
                try memory.store(leaf, format, at: entry, .release)
                return true
            }
            if isMade { return nil }
        }
    }

    private func recordsWrites<Memory: SharedMemory>(_ memory: Memory) -> Bool {
        Format.leavesSayWritten && memory.enforces(.recordWriteBeforeDevice)
    }

    /// What the parent maps at an address, now.
    private func mapping<Memory: SharedMemory>(
        of address: VirtualAddress, in memory: Memory
    ) throws(Memory.Failure) -> Mapping? {
        try memory.withRCUReader { (section) throws(Memory.Failure) in
            let translation = try parent.view(in: section).translate(address, in: section)
            return if case .mapped(let found) = translation { found } else { nil }
        }
    }

    /// The leaf that maps a page of the parent's, or one of its large pages' parts.
    private func leaf<Memory: SharedMemory>(_ found: Mapping, in memory: Memory) throws(EncodingError) -> Entry {
        var attributes = format.attributes(of: found.leaf, at: found.level)
        attributes.rights = found.rights
        if recordsWrites(memory), !attributes.flags.contains(.dirty) { attributes.rights.subtract(.writes) }
        let page = PhysicalAddress(found.physical.rawValue & ~(format.pageBytes &- 1))
        return try format.leaf(page, PageSize(log2Bytes: Int(format.log2FrameBytes)), attributes, at: .leafTable)
    }

    /// The guest's leaf table for an address, made if it is missing; `nil` if there is no memory.
    private func leafTable<Memory: SharedMemory>(
        for address: VirtualAddress, in memory: Memory
    ) throws(Memory.Failure) -> PhysicalAddress? {
        let root = try loadRoot(in: memory)
        var (table, level) = (root.table, Format.fixedTopLevel ?? root.topLevel)
        while level > .leafTable {
            let place = parent.place(format.index(of: address, at: level), of: table)
            let entry = try memory.load(format, place)
            if format.shape(of: entry, at: level) == .table {
                table = format.table(of: entry, at: level)
                level = level.below
                continue
            }
            guard let below = try parent.newTable(level.below, in: memory) else { return nil }
            let isMine = try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
                if memory.enforces(.revalidateUnderLock), try memory.load(format, place) != entry { return false }
                try memory.store(parent.tableEntry(below, at: level), format, at: place, .release)
                return true
            }
            if !isMine { try parent.freeUnseen(below, level.below, in: memory) }
        }
        return table
    }

    /// Runs `body` with where an address of the guest is: the page is not given up before `body` is done.
    ///
    /// - Returns: `nil` if the guest has no entry that allows the access: it has to fault.
    /// - Precondition: `body` takes no lock, and does not wait.
    public func access<Memory: SharedMemory, Result>(
        _ address: VirtualAddress, for access: PageAccess, in memory: borrowing Memory,
        _ body: (PhysicalAddress) throws(Memory.Failure) -> Result
    ) throws(Memory.Failure) -> Result? {
        let memory = copy memory
        return try memory.withLock(words.lock, holds: memory.enforces(.holdGuestWhileUsing)) {
            () throws(Memory.Failure) -> Result? in
            let translation = try memory.withRCUReader { (section) throws(Memory.Failure) in
                try view(in: section).translate(address, in: section)
            }
            guard case .mapped(let found) = translation, access.isAllowed(by: found.rights) else { return nil }
            return try body(found.physical)
        }
    }
}

extension GuestSpace {
    public func beginInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let memory = copy memory
        try words.mirror.begin(in: memory) { () throws(Memory.Failure) in
            let root = try loadRoot(in: memory)
            for segment in segments {
                guard let part = segment.guestPart(of: range) else { continue }
                try clear(root.table, Format.fixedTopLevel ?? root.topLevel, part.first, part.last, in: memory)
            }
        }
    }

    public func endInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) { try words.mirror.end(in: memory) }

    /// Clears the leaves of a range. Tables stay.
    private func clear<Memory: SharedMemory>(
        _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress, in memory: Memory
    ) throws(Memory.Failure) {
        var entries = TouchedEntries(format, of: table, level, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            switch format.shape(of: entry, at: level) {
            case .table where level > .leafTable:
                try clear(format.table(of: entry, at: level), level.below, part.first, part.last, in: memory)
            case .leaf: try memory.store(format.emptyEntry(at: level), format, at: part.place, .release)
            default: break
            }
        }
    }
}
