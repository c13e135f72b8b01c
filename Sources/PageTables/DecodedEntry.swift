/// What an entry says, apart from attributes.
public enum EntryContent: Hashable, Sendable {
    /// Maps nothing in hardware.
    case invalid
    case table(PhysicalAddress)
    case leaf(PhysicalAddress, PageSize)
    case malformed(Malformation)
}

/// An entry taken apart so that it can be changed and put together again.
///
/// Decoding is total and loses nothing: what the fields do not express is kept in `residue`.
public struct DecodedEntry: Hashable, Sendable {
    public var content: EntryContent
    /// Of this entry alone. Of a table only `rights` has a meaning; of an invalid or malformed entry nothing has.
    public var attributes: EntryAttributes
    /// The bits in which the entry differs from the canonical encoding of the fields above: those that hardware ignores
    /// or keeps for software, and other spellings of the same meaning. Zero for a canonical entry.
    public var residue: UInt64

    public init(content: EntryContent, attributes: EntryAttributes, residue: UInt64 = 0) {
        self.content = content
        self.attributes = attributes
        self.residue = residue
    }
}

/// The fields of an entry that was to be built cannot be expressed by the format at that level.
public struct EncodingError: Error, Hashable, Sendable, CustomStringConvertible {
    public let content: EntryContent
    public let level: Level

    public init(content: EntryContent, level: Level) {
        self.content = content
        self.level = level
    }

    public var description: String { "the format cannot express \(content) at level \(level) with these attributes" }
}

extension PageTableFormat {
    /// Takes an entry apart. Complexity: constant.
    public func decode(_ entry: Entry, at level: Level) -> DecodedEntry {
        let content: EntryContent
        var attributes = EntryAttributes(rights: [])
        switch shape(of: entry, at: level) {
        case .invalid: content = .invalid
        case .malformed: content = .malformed(malformation(of: entry, at: level) ?? .reservedEncoding)
        case .table:
            content = .table(table(of: entry, at: level))
            attributes.rights = rights(of: entry, at: level)
        case .leaf:
            let size = leafSize(of: entry, at: level)
            content = .leaf(physical(of: entry, at: level, for: VirtualAddress(0)), size)
            attributes = self.attributes(of: entry, at: level)
        }
        let plain = canonical(content, attributes, at: level)
        return DecodedEntry(content: content, attributes: attributes, residue: entry.rawValue ^ plain)
    }

    /// Puts an entry together. `encode(decode(x)) == x` for every bit pattern. Complexity: constant.
    public func encode(_ decoded: DecodedEntry, at level: Level) -> Entry {
        Entry(canonical(decoded.content, decoded.attributes, at: level) ^ decoded.residue)
    }

    /// Builds a leaf that maps `frame`.
    ///
    /// - Throws: `EncodingError` where reading the entry back would not give just these fields: an address that is
    ///   misaligned or too wide, a size that the level does not have, attributes that the format cannot express.
    public func leaf(
        _ frame: PhysicalAddress, _ size: PageSize, _ attributes: EntryAttributes, at level: Level
    ) throws(EncodingError) -> Entry {
        try checked(.leaf(frame, size), attributes, at: level)
    }

    /// Builds an entry that points to `table` one level down.
    ///
    /// - Throws: `EncodingError`, as for a leaf.
    public func tableEntry(
        _ table: PhysicalAddress, rights: Rights = .all, at level: Level
    ) throws(EncodingError) -> Entry {
        try checked(.table(table), EntryAttributes(rights: rights), at: level)
    }

    private func checked(
        _ content: EntryContent, _ attributes: EntryAttributes, at level: Level
    ) throws(EncodingError) -> Entry {
        let entry = Entry(canonical(content, attributes, at: level))
        let back = decode(entry, at: level)
        guard back.content == content, back.attributes == attributes else {
            throw EncodingError(content: content, level: level)
        }
        return entry
    }
}
