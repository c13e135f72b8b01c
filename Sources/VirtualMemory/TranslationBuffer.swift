import PageTables

/// What a processor keeps of translations: a table with one place for each page number's low bits, as software that emulates
/// processors has it, so that a hit is a load, a comparison and an addition.
///
/// A place holds, for each kind of access, the address of the page that may be accessed so, and what leads from a virtual
/// address of the page to the physical one. Each mode of the processor has a half of its own. Large leaves are kept page by page.
@usableFromInline
struct TranslationBuffer: ~Copyable {
    // Places are found by masked numbers, so no access is out of bounds; an array's own check, and that it is not shared,
    // would be most of a hit's instructions.
    @usableFromInline
    let places: UnsafeMutablePointer<UInt64>
    /// The half of the mode that the processor is in.
    @usableFromInline
    var half: UnsafeMutablePointer<UInt64>
    @usableFromInline
    let log2PageBytes: UInt64
    /// Ones where an address is that of its page.
    @usableFromInline
    let pageMask: UInt64
    /// From an address to the word of its place, as far as `wordMask` has ones.
    @usableFromInline
    let wordShift: UInt64
    @usableFromInline
    let wordMask: UInt64

    /// log2 of the words of a place: a page address for reading, writing and executing, and the distance.
    @inlinable
    static var log2PlaceWords: UInt64 { 2 }
    /// No address of a page.
    @inlinable
    static var nothing: UInt64 { .max }

    @usableFromInline
    init(log2PageBytes: UInt64, log2Places: Int) {
        precondition((0...16).contains(log2Places), "a translation buffer has 1 to 65536 places")
        self.log2PageBytes = log2PageBytes
        pageMask = ~((1 << log2PageBytes) - 1)
        wordShift = log2PageBytes - Self.log2PlaceWords
        let words: UInt64 = 1 << (UInt64(log2Places) + Self.log2PlaceWords)
        wordMask = (words - 1) & ~((1 << Self.log2PlaceWords) - 1)
        places = .allocate(capacity: Int(2 * words))
        places.initialize(repeating: Self.nothing, count: Int(2 * words))
        half = places
    }

    @usableFromInline
    deinit { places.deallocate() }

    /// Words of a half.
    @usableFromInline
    var halfWords: Int { Int(wordMask) + 1 << Self.log2PlaceWords }

    mutating func enter(_ mode: ProcessorMode) { half = mode == .user ? places : places + halfWords }

    @inlinable
    @inline(__always)
    func word(of address: UInt64) -> Int { Int(truncatingIfNeeded: address &>> wordShift & wordMask) }

    /// Where an address is, if the page is kept for such an access.
    @inlinable
    @inline(__always)
    func physical(of address: VirtualAddress, for access: ProcessorAccess) -> PhysicalAddress? {
        let place = half + word(of: address.rawValue)
        guard place[access.rawValue] == address.rawValue & pageMask else { return nil }
        return PhysicalAddress(address.rawValue &+ place[3])
    }

    /// Keeps a page for the accesses that rights allow.
    ///
    /// - Parameter isWritten: Whether its leaf says that it was written; else the next write has to walk, to record it.
    @inlinable
    func keep(
        _ address: VirtualAddress, at physical: PhysicalAddress, _ rights: Rights, _ mode: ProcessorMode,
        isWritten: Bool
    ) {
        let place = half + word(of: address.rawValue)
        let page = address.rawValue & pageMask
        place[0] = rights.contains(ProcessorAccess.read.right(mode)) ? page : Self.nothing
        place[1] = isWritten && rights.contains(ProcessorAccess.write.right(mode)) ? page : Self.nothing
        place[2] = rights.contains(ProcessorAccess.execute.right(mode)) ? page : Self.nothing
        place[3] = physical.rawValue &- address.rawValue
    }

    /// Forgets the pages of a range; everything if it is `nil`.
    ///
    /// - Complexity: The pages of the range, at most the places.
    @usableFromInline
    func forget(_ range: VirtualRange?) {
        let placeCount = UInt64(halfWords) >> Self.log2PlaceWords
        guard let range, (range.last.rawValue &- range.first.rawValue) &>> log2PageBytes < placeCount else {
            return places.update(repeating: Self.nothing, count: 2 * halfWords)
        }
        for number in range.first.rawValue &>> log2PageBytes...range.last.rawValue &>> log2PageBytes {
            let page = number &<< log2PageBytes
            for half in [places, places + halfWords] {
                let place = half + word(of: page)
                for word in 0..<3 where place[word] == page { place[word] = Self.nothing }
            }
        }
    }
}

/// What a processor does at an address.
public enum ProcessorAccess: Int, CaseIterable, Sendable {
    case read
    case write
    case execute

    /// The right that it needs.
    @inlinable
    public func right(_ mode: ProcessorMode) -> Rights {
        switch (mode, self) {
        case (.user, .read): .userRead
        case (.user, .write): .userWrite
        case (.user, .execute): .userExecute
        case (.supervisor, .read): .supervisorRead
        case (.supervisor, .write): .supervisorWrite
        case (.supervisor, .execute): .supervisorExecute
        }
    }
}

/// Whether a processor is privileged.
public enum ProcessorMode: Sendable {
    case user
    case supervisor
}
