import CHostAtomics
import PageTables
import TableMemory

// Unsafe, because bytes and words are copied through pointers: once for each word, where arrays would be indexed for each byte.

extension HostMemory {
    /// - Precondition: Whole words of the arena, as many as there are bytes.
    public func read(_ range: PhysicalRange, into bytes: inout [UInt8]) {
        requireWords(range, bytes.count)
        let words = pointer64(in: range, bytes.count)
        bytes.withUnsafeMutableBytes { bytes in
            for index in 0..<bytes.count / 8 {
                bytes.storeBytes(of: host_load_relaxed64(words + index), toByteOffset: index &* 8, as: UInt64.self)
            }
        }
    }

    /// - Precondition: As for `read`.
    public func write(_ bytes: [UInt8], to range: PhysicalRange) {
        requireWords(range, bytes.count)
        let words = pointer64(in: range, bytes.count)
        bytes.withUnsafeBytes { bytes in
            for index in 0..<bytes.count / 8 {
                host_store_relaxed64(words + index, bytes.loadUnaligned(fromByteOffset: index &* 8, as: UInt64.self))
            }
        }
    }

    private func pointer64(in range: PhysicalRange, _ count: Int) -> UnsafeMutablePointer<UInt64> {
        pointer(range.first, bytes: UInt64(truncatingIfNeeded: count)).assumingMemoryBound(to: UInt64.self)
    }

    private func requireWords(_ range: PhysicalRange, _ count: Int) {
        precondition(
            range.byteCount == UInt64(count) && count % 8 == 0 && range.first.rawValue % 8 == 0
                && range.last.rawValue < byteCount,
            "bytes are copied from and to as many whole words of the arena")
    }
}
