import PageTables

extension SharedMemory {
    /// A load for each word.
    @inlinable
    public func read(_ range: PhysicalRange, into bytes: inout [UInt8]) throws(Failure) {
        requireWords(range, bytes.count)
        for offset in stride(from: 0, to: bytes.count, by: 8) {
            let place = PhysicalAddress(range.first.rawValue &+ UInt64(offset))
            var value = UInt64(littleEndian: try load(Word<UInt64>(place), .relaxed))
            for index in offset..<offset + 8 {
                bytes[index] = UInt8(truncatingIfNeeded: value)
                value >>= 8
            }
        }
    }

    /// A store for each word.
    @inlinable
    public func write(_ bytes: [UInt8], to range: PhysicalRange) throws(Failure) {
        requireWords(range, bytes.count)
        for offset in stride(from: 0, to: bytes.count, by: 8) {
            let place = PhysicalAddress(range.first.rawValue &+ UInt64(offset))
            let value = (offset..<offset + 8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64(bytes[$1]) }
            try store(value.littleEndian, to: Word<UInt64>(place), .relaxed)
        }
    }

    /// Makes the bytes from an address to the end of its word zero, and leaves those before it, with one update.
    @inlinable
    public func clearWord(from address: PhysicalAddress) throws(Failure) {
        let kept = address.rawValue & 7
        let mask = (UInt64.max << (8 * kept)).littleEndian
        _ = try update(Word<UInt64>(PhysicalAddress(address.rawValue &- kept)), clearing: mask, setting: 0, .relaxed)
    }

    @inlinable
    func requireWords(_ range: PhysicalRange, _ count: Int) {
        precondition(
            range.byteCount == UInt64(count) && count % 8 == 0 && range.first.rawValue % 8 == 0,
            "bytes are copied from and to as many whole words")
    }
}
