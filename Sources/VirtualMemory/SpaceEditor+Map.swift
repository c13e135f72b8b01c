import PageTables
import TableMemory

extension SpaceEditor where Memory: SharedMemory {
    /// See `LiveSpace.map`.
    ///
    /// - Returns: Why nothing was mapped; `nil` if it was.
    @inlinable
    @inline(__always)
    public mutating func map(
        _ range: VirtualRange, to physical: PhysicalAddress, _ attributes: EntryAttributes,
        largestLeaf: PageSize = PageSize(log2Bytes: 63)
    ) throws(Memory.Failure) -> Refusal? {
        if try mapBesideTheLast(range, physical, attributes) { return nil }
        return try mapFromRoot(range, physical, attributes, largestLeaf)
    }

    /// Pages of the table that was changed last, with the attributes of the last ones and not frames of the map: what whoever
    /// maps page by page does nearly always.
    ///
    /// - Returns: False if it is not that case, and nothing is mapped.
    @inlinable
    @inline(__always)
    func mapBesideTheLast(
        _ range: VirtualRange, _ physical: PhysicalAddress, _ attributes: EntryAttributes
    ) throws(Memory.Failure) -> Bool {
        let last = physical.rawValue &+ (range.last.rawValue &- range.first.rawValue)
        let pageMask = space.format.pageBytes &- 1
        // What was mapped before a refusal is mapped and unmapped again then: not of entries in halves.
        if Format.isAccessedInHalves { return false }
        guard isInRecentTable(range), encoding.attributes == attributes,
            (range.first.rawValue | ~range.last.rawValue | physical.rawValue) & pageMask == 0,
            last >= physical.rawValue, !space.map.overlaps(physical, PhysicalAddress(last)),
            misfit(physical, PhysicalAddress(last & ~pageMask)) == nil
        else { return false }
        let job = MapJob(
            delta: physical.rawValue &- range.first.rawValue, largestLeaf: PageSize(log2Bytes: 0), countsFrames: false)
        guard let stop = try mapPages(job, recentTable, range.first, range.last) else { return true }
        if stop.address > range.first {
            let end = VirtualAddress(stop.address.rawValue &- 1)
            try unmapPages(recentTable, range.first, end, mapsFrames: recentMapsFrames)
        }
        return false
    }

    @inlinable
    @inline(never)
    mutating func mapFromRoot(
        _ range: VirtualRange, _ physical: PhysicalAddress, _ attributes: EntryAttributes, _ largestLeaf: PageSize
    ) throws(Memory.Failure) -> Refusal? {
        let format = space.format
        let offsetMask = format.pageBytes &- 1
        let lastPhysical = physical.rawValue &+ (range.last.rawValue &- range.first.rawValue)
        guard (range.first.rawValue | ~range.last.rawValue | physical.rawValue) & offsetMask == 0,
            lastPhysical >= physical.rawValue
        else { return .invalidRange(range) }
        do throws(EncodingError) { try encoding.use(attributes) } catch { return .notExpressible(error) }
        let pages = (physical, PhysicalAddress(lastPhysical & ~offsetMask))
        if let page = misfit(pages.0, pages.1) { return .notExpressible(tooWide(page)) }
        let job = MapJob(
            delta: physical.rawValue &- range.first.rawValue, largestLeaf: largestLeaf,
            countsFrames: space.map.overlaps(physical, PhysicalAddress(lastPhysical)))
        var root = try Structure.loadRoot(space.words, memory)
        if !format.covers(range, topLevel: root.topLevel) {
            switch try space.grow(toCover: range, in: memory) {
            case .success(let grown): root = grown
            case .failure(let refusal): return refusal
            }
        }
        try waitBeforeReuse()
        let level = Format.fixedTopLevel ?? root.topLevel
        guard let stop = try map(job, root.table, level, range.first, range.last) else { return nil }
        // What was mapped before the refusal goes again.
        if stop.address > range.first {
            let mapped = VirtualRange(first: range.first, last: VirtualAddress(stop.address.rawValue &- 1))
            try beginChange(of: mapped)
            try unmapEntries(root.table, level, mapped.first, mapped.last)
        }
        return stop.isOutOfMemory ? .outOfMemory : .alreadyMapped(stop.address)
    }

    /// A page from `first` to `last` that a leaf cannot hold, if there is one.
    @inlinable
    @inline(__always)
    func misfit(_ first: PhysicalAddress, _ last: PhysicalAddress) -> PhysicalAddress? {
        if first == last { return fits(last) ? nil : last }
        // What leaves cannot hold need not be the highest bits. The pages on both sides of where the highest bit changes have
        // all the bits that any page between has.
        let highest: UInt64 = 1 &<< UInt64(63 &- (first.rawValue ^ last.rawValue).leadingZeroBitCount)
        let middle = PhysicalAddress(last.rawValue & ~(highest &- 1))
        if !fits(middle) { return middle }
        let below = PhysicalAddress(middle.rawValue &- space.format.pageBytes)
        return fits(below) ? nil : below
    }

    @usableFromInline
    func tooWide(_ page: PhysicalAddress) -> EncodingError {
        EncodingError(content: .leaf(page, PageSize(log2Bytes: Int(space.format.log2FrameBytes))), level: .leafTable)
    }

    /// Whether a leaf can hold the address of a page.
    @inlinable
    @inline(__always)
    func fits(_ page: PhysicalAddress) -> Bool {
        let leaf = Entry(encoding.page | space.format.addressBits(page, at: .leafTable))
        return space.format.physical(of: leaf, at: .leafTable, for: VirtualAddress(0)) == page
    }

    /// - Returns: Where and why it stopped; `nil` if all of it is mapped.
    @inlinable
    mutating func map(
        _ job: MapJob, _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress
    ) throws(Memory.Failure) -> MapJob.Stop? {
        if level == .leafTable {
            if job.countsFrames { try space.setMapsFrames(table, in: memory) }
            remember(table, for: first, mapsFrames: try space.mapsFrames(table, in: memory))
            return try mapPages(job, table, first, last)
        }
        let format = space.format
        var entries = TouchedEntries(format, of: table, level, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            var below: PhysicalAddress?
            switch format.shape(of: entry, at: level) {
            case .invalid:
                if part.isWhole, let leaf = try leaf(job, part.first, level) {
                    try memory.store(leaf, format, at: part.place, .release)
                } else {
                    let isAlone = mayUseLeaf(job, level, first, last)
                    below = try addTable(at: part.place, of: table, level, part.first, isAlone: isAlone)
                    guard below != nil else { return MapJob.Stop(address: part.first, isOutOfMemory: true) }
                }
            case .table:
                let existing = format.table(of: entry, at: level)
                if part.isWhole, space.filling == .wholeFrame, try mapLeaf(job, over: existing, level, part) { break }
                below = existing
            case .leaf, .malformed: return MapJob.Stop(address: part.first, isOutOfMemory: false)
            }
            if let below, let stop = try map(job, below, level.below, part.first, part.last) { return stop }
        }
        return nil
    }

    /// The leaf that maps all that an entry at `level` covers; `nil` if it has to be smaller leaves.
    @inlinable
    func leaf(_ job: MapJob, _ address: VirtualAddress, _ level: Level) throws(Memory.Failure) -> Entry? {
        let format = space.format
        let physical = PhysicalAddress(address.rawValue &+ job.delta)
        guard format.shift(level) <= UInt64(job.largestLeaf.log2Bytes), let bits = encoding.leaf(at: level),
            physical.rawValue & format.offsetMask(level) == 0
        else { return nil }
        if job.countsFrames {
            let last = PhysicalAddress(physical.rawValue | format.offsetMask(level))
            if space.map.overlaps(physical, last) {
                // All of a leaf's frames share the counts of one block.
                guard let frame = space.map.frame(of: physical) else { return nil }
                let block = try memory.load(space.map.descriptor(of: frame).block, .relaxed)
                let order = format.shift(level) &- UInt64(format.log2FrameBytes)
                guard UInt64(FrameBlock(rawValue: block).order.rawValue) >= order else { return nil }
                try space.references.addMappings(1 &<< UInt32(order), of: frame, in: memory)
            }
        }
        return Entry(bits | format.addressBits(physical, at: level))
    }

    @inlinable
    func mapPages(
        _ job: MapJob, _ table: PhysicalAddress, _ first: VirtualAddress, _ last: VirtualAddress
    ) throws(Memory.Failure) -> MapJob.Stop? {
        let format = space.format
        let pageBytes = format.pageBytes
        let bits = encoding.page
        var place = space.place(format.index(of: first, at: .leafTable), of: table).rawValue
        var address = first.rawValue
        while true {
            let old = try memory.load(format, PhysicalAddress(place))
            guard format.shape(of: old, at: .leafTable) == .invalid else {
                return MapJob.Stop(address: VirtualAddress(address), isOutOfMemory: false)
            }
            let page = PhysicalAddress(address &+ job.delta)
            if job.countsFrames, let frame = space.map.frame(of: page) {
                try space.references.addMappings(1, of: frame, in: memory)
            }
            let leaf = Entry(bits | format.addressBits(page, at: .leafTable))
            try memory.store(leaf, format, at: PhysicalAddress(place), .release)
            if last.rawValue &- address < pageBytes { return nil }
            address &+= pageBytes
            place &+= UInt64(truncatingIfNeeded: Format.entryBytes)
        }
    }
}

/// One range that is being mapped.
@usableFromInline
struct MapJob {
    /// From a virtual address to where it is.
    @usableFromInline
    let delta: UInt64
    @usableFromInline
    let largestLeaf: PageSize
    /// Whether some of the memory is frames of the map.
    @usableFromInline
    let countsFrames: Bool

    @inlinable
    init(delta: UInt64, largestLeaf: PageSize, countsFrames: Bool) {
        self.delta = delta
        self.largestLeaf = largestLeaf
        self.countsFrames = countsFrames
    }

    /// The first address that is not mapped, and why: there is no memory, or something is mapped there already.
    @usableFromInline
    struct Stop {
        @usableFromInline
        let address: VirtualAddress
        @usableFromInline
        let isOutOfMemory: Bool

        @inlinable
        init(address: VirtualAddress, isOutOfMemory: Bool) {
            self.address = address
            self.isOutOfMemory = isOutOfMemory
        }
    }
}

extension LiveSpace {
    /// Notes at the frame of a leaf table that some of its entries map frames of the map. Of tables above it entries are looked
    /// at anyway, for the tables below.
    @inlinable
    func setMapsFrames<Memory: SharedMemory>(
        _ table: PhysicalAddress, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        guard let frame = map.frame(of: table) else { return }
        let state = map.descriptor(of: frame).mapping
        if try memory.load(state, .relaxed) & TableState.mapsFrames == 0 {
            try memory.store(TableState.mapsFrames, to: state, .relaxed)
        }
    }
}

extension SpaceEditor {
    /// See `LiveSpace.add(_:in:)`.
    @inlinable
    public mutating func add(_ region: Region) throws(Memory.Failure) -> Refusal? {
        let range = region.range
        let offsetMask = space.format.pageBytes &- 1
        guard (range.first.rawValue | ~range.last.rawValue) & offsetMask == 0 else { return .invalidRange(range) }
        do throws(EncodingError) { try encoding.use(region.attributes) } catch { return .notExpressible(error) }
        if case .device(let start) = region.content {
            let last = start.rawValue &+ (range.last.rawValue &- range.first.rawValue)
            // Faults count no mappings of a device, so that what they map must not be frames.
            guard start.rawValue & offsetMask == 0, last >= start.rawValue,
                !space.map.overlaps(start, PhysicalAddress(last))
            else { return .invalidRange(range) }
            if let page = misfit(start, PhysicalAddress(last & ~offsetMask)) { return .notExpressible(tooWide(page)) }
        }
        if case .file(let view) = region.content {
            let last = view.offset &+ (range.last.rawValue &- range.first.rawValue)
            guard view.offset & offsetMask == 0, last >= view.offset else { return .invalidRange(range) }
            if view.refuses(region.attributes.rights) { return .notWritable(range.first) }
        }
        if space.hasRegions, let overlap = firstRegion(in: range) { return .alreadyMapped(overlap) }
        if case .failure(let refusal) = try space.grow(toCover: range, in: memory) { return refusal }
        insert(region)
        if case .file = region.content { try attachFile(of: region) }
        return nil
    }

    @usableFromInline
    func insert(_ region: Region) {
        space.regions.insert(region)
        space.hasRegions = true
    }

    @usableFromInline
    func attachFile(of region: Region) throws(Memory.Failure) {
        if let file = region.file { try file.attach(space, in: memory) }
    }
}
