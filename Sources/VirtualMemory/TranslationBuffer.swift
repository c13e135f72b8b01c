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
    @usableFromInline
    let log2PageBytes: UInt64
    @usableFromInline
    let indexMask: UInt64

    /// Words of a place: a page address for reading, writing and executing, and the distance.
    @inlinable
    static var placeWords: UInt64 { 4 }
    /// No address of a page.
    @inlinable
    static var nothing: UInt64 { .max }

    @usableFromInline
    init(log2PageBytes: UInt64, log2Places: Int) {
        precondition((0...16).contains(log2Places), "a translation buffer has 1 to 65536 places")
        self.log2PageBytes = log2PageBytes
        indexMask = 1 << UInt64(log2Places) - 1
        let words = Int(2 * (indexMask + 1) * Self.placeWords)
        places = .allocate(capacity: words)
        places.initialize(repeating: Self.nothing, count: words)
    }

    @usableFromInline
    deinit { places.deallocate() }

    @inlinable
    @inline(__always)
    func place(of address: UInt64, _ mode: ProcessorMode) -> UnsafeMutablePointer<UInt64> {
        let half = mode == .user ? 0 : indexMask &+ 1
        let number = address &>> log2PageBytes & indexMask &+ half
        return places + Int(truncatingIfNeeded: number &* Self.placeWords)
    }

    @inlinable
    @inline(__always)
    func page(of address: UInt64) -> UInt64 { address & ~((1 &<< log2PageBytes) &- 1) }

    /// Where an address is, if the page is kept for such an access.
    @inlinable
    @inline(__always)
    func physical(
        of address: VirtualAddress, for access: ProcessorAccess, _ mode: ProcessorMode
    ) -> PhysicalAddress? {
        let place = place(of: address.rawValue, mode)
        let page = page(of: address.rawValue)
        guard place[access.rawValue] == page else { return nil }
        return PhysicalAddress(address.rawValue &+ place[3])
    }

    /// Keeps a page for some accesses.
    @usableFromInline
    func keep(
        _ address: VirtualAddress, at physical: PhysicalAddress, for accesses: [ProcessorAccess], _ mode: ProcessorMode
    ) {
        let place = place(of: address.rawValue, mode)
        for word in 0..<3 { place[word] = Self.nothing }
        for access in accesses { place[access.rawValue] = page(of: address.rawValue) }
        place[3] = physical.rawValue &- address.rawValue
    }

    /// Forgets the pages of a range; everything if it is `nil`.
    ///
    /// - Complexity: The pages of the range, at most the places.
    @usableFromInline
    func forget(_ range: VirtualRange?) {
        guard let range, (range.last.rawValue &- range.first.rawValue) &>> log2PageBytes < indexMask else {
            for word in 0..<Int(2 * (indexMask + 1) * Self.placeWords) { places[word] = Self.nothing }
            return
        }
        for page in range.first.rawValue &>> log2PageBytes...range.last.rawValue &>> log2PageBytes {
            for mode in [ProcessorMode.user, .supervisor] {
                let place = place(of: page &<< log2PageBytes, mode)
                for word in 0..<3 where place[word] == page &<< log2PageBytes { place[word] = Self.nothing }
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
