/// A format read as Linux reads it: an entry maps a page if Linux considers the page present, with Linux's rights.
///
/// It is a format itself, so the walkers that answer what hardware would do answer what Linux means as well, and the two
/// answers are never mixed up: the view is part of the type.
public struct LinuxView<Base: LinuxPageTableFormat>: PageTableFormat {
    public let base: Base

    @inlinable
    public init(_ base: Base) { self.base = base }

    @inlinable
    public static var entryBytes: Int { Base.entryBytes }
    @inlinable
    public static var fixedTopLevel: Level? { Base.fixedTopLevel }
    @inlinable
    public static var highestLevel: Level { Base.highestLevel }
    public static func folding(of level: Level) -> Folding { Base.folding(of: level) }
    public static var notions: FormatNotions {
        FormatNotions(
            flags: Base.notions.flags.union([.accessed, .dirty]), user: Base.notions.user,
            execute: Base.notions.execute)
    }

    @inlinable
    public var byteOrder: ByteOrder { base.byteOrder }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { base.shift(level) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { base.indexBits(level) }
    public func leafSizes(_ level: Level) -> [PageSize] { base.leafSizes(level) }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        switch base.linuxEntry(entry, at: level) {
        case .none, .swap: .invalid
        case .table: base.shape(of: entry, at: level) == .malformed ? .malformed : .table
        case .page: .leaf
        case .malformed: .malformed
        }
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        return base.malformation(of: entry, at: level) ?? .reservedEncoding
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress { base.linuxTable(of: entry, at: level) }
    @inlinable
    public func limits(below entry: Entry, at level: Level) -> IndexLimits { base.limits(below: entry, at: level) }

    @inlinable
    func page(_ leaf: Entry, at level: Level) -> LinuxPage {
        if case .page(let page) = base.linuxEntry(leaf, at: level) { return page }
        return LinuxPage(frame: PhysicalAddress(0), size: PageSize(uncheckedLog2Bytes: shift(level)), flags: [])
    }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let page = page(leaf, at: level)
        let mask = page.frame.rawValue & page.size.offsetMask == 0 ? page.size.offsetMask : (1 &<< shift(level)) &- 1
        return PhysicalAddress(page.frame.rawValue | address.rawValue & mask)
    }

    @inlinable
    public func leafSize(of leaf: Entry, at level: Level) -> PageSize { page(leaf, at: level).size }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        guard case .page(let page) = base.linuxEntry(entry, at: level) else { return .all }
        var rights: Rights = []
        if page.flags.contains(.read) { rights.insert(.supervisorRead) }
        if page.flags.contains(.write) { rights.insert(.supervisorWrite) }
        if page.flags.contains(.execute) { rights.insert(.supervisorExecute) }
        if page.flags.contains(.user) { rights.formUnion(Rights(rawValue: rights.rawValue &<< 3)) }
        return rights
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        let page = page(leaf, at: level)
        var attributes = base.attributes(of: leaf, at: level)
        attributes.rights = rights(of: leaf, at: level)
        attributes.memoryTypeIndex = base.linuxMemoryTypeIndex(of: leaf, at: level)
        attributes.flags = []
        if page.flags.contains(.young) { attributes.flags.insert(.accessed) }
        if page.flags.contains(.dirty) { attributes.flags.insert(.dirty) }
        if page.flags.contains(.global) { attributes.flags.insert(.global) }
        return attributes
    }

    /// Everything: Linux's meaning is not a matter of a few bits.
    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        let page = page(leaf, at: level)
        let attributes = attributes(of: leaf, at: level)
        return UInt64(attributes.rights.rawValue) | UInt64(attributes.flags.rawValue) &<< 8
            | UInt64(attributes.memoryTypeIndex) &<< 16 | UInt64(attributes.protectionKey) &<< 24
            | UInt64(page.size.log2Bytes) &<< 32
    }

    @inlinable
    public func memoryType(_ index: UInt8) -> MemoryType { base.memoryType(index) }

    /// The hardware encoding: Linux's view is for reading.
    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        base.canonical(content, attributes, at: level)
    }
}

extension AddressSpace where Format: LinuxPageTableFormat {
    /// The same space as Linux reads it.
    public var linuxView: AddressSpace<LinuxView<Format>> {
        AddressSpace<LinuxView<Format>>(format: LinuxView(format), lower: lower, upper: upper)
    }
}
