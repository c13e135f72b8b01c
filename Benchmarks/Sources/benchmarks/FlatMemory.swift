import PageTables
import TableMemory

/// One buffer that holds all tables: physical address 0 is its first byte. Every load is checked against its size.
///
/// The pointer is the caller's to keep alive; nothing here outlives the `TableImage` it comes from.
struct FlatMemory: TableMemory {
    struct Absent: Error {
        let address: PhysicalAddress
    }

    let base: UnsafeRawPointer
    let size: UInt64

    init(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, bytes.count >= 8 else { preconditionFailure("tables take memory") }
        self.base = base
        size = UInt64(bytes.count)
    }

    func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(Absent) -> UInt64 {
        guard address.rawValue <= size &- 8 else { try raise(address) }
        let value = base.loadUnaligned(fromByteOffset: Int(truncatingIfNeeded: address.rawValue), as: UInt64.self)
        return order == .host ? value : value.byteSwapped
    }

    func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(Absent) -> UInt32 {
        guard address.rawValue <= size &- 4 else { try raise(address) }
        let value = base.loadUnaligned(fromByteOffset: Int(truncatingIfNeeded: address.rawValue), as: UInt32.self)
        return order == .host ? value : value.byteSwapped
    }

    func table(at address: PhysicalAddress, bytes: Int) throws(Absent) -> UnsafeRawPointer {
        let bytes = UInt64(truncatingIfNeeded: bytes)
        guard bytes <= size, address.rawValue <= size &- bytes else { try raise(address) }
        return base + Int(truncatingIfNeeded: address.rawValue)
    }

    func load64(_ table: UnsafeRawPointer, index: Int, _ order: ByteOrder) throws(Absent) -> UInt64 {
        let value = table.loadUnaligned(fromByteOffset: index &* 8, as: UInt64.self)
        return order == .host ? value : value.byteSwapped
    }

    func load32(_ table: UnsafeRawPointer, index: Int, _ order: ByteOrder) throws(Absent) -> UInt32 {
        let value = table.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self)
        return order == .host ? value : value.byteSwapped
    }
}

/// Out of line, because a typed throw in place keeps the optimiser from seeing through a witness.
@inline(never)
private func raise(_ address: PhysicalAddress) throws(FlatMemory.Absent) -> Never {
    throw FlatMemory.Absent(address: address)
}
