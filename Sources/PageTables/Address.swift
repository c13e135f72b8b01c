/// A number that names one byte of an address space. Virtual and physical addresses are different types, so that
/// neither can be used where the other is meant.
public protocol Address: Hashable, Comparable, Sendable, CustomStringConvertible {
    var rawValue: UInt64 { get set }
    init(_ rawValue: UInt64)
}

extension Address {
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// `0x` and the digits, without leading zeros.
    public var description: String { hexadecimal(rawValue) }
}

/// An address that a program uses and that page tables translate.
public struct VirtualAddress: Address {
    public var rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// An address of memory (on s390x: an absolute address).
public struct PhysicalAddress: Address {
    public var rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Addresses `first ... last`. The last one is stored, because a range may end at the very top of the address space.
public struct AddressRange<Bound: Address>: Hashable, Sendable, CustomStringConvertible {
    public let first: Bound
    public let last: Bound

    /// - Precondition: `first <= last`.
    @inlinable
    public init(first: Bound, last: Bound) {
        precondition(first <= last, "an address range ends before it starts")
        self.first = first
        self.last = last
    }

    /// Everything that 64 bits can name.
    @inlinable
    public static var all: Self { Self(first: Bound(0), last: Bound(.max)) }

    @inlinable
    public func contains(_ address: Bound) -> Bool { first <= address && address <= last }

    @inlinable
    public func intersection(_ other: Self) -> Self? {
        let lower = max(first, other.first)
        let upper = min(last, other.last)
        return lower <= upper ? Self(first: lower, last: upper) : nil
    }

    /// Bytes in the range; `nil` for all 2^64 of them, which 64 bits cannot count.
    @inlinable
    public var byteCount: UInt64? {
        let (count, overflow) = (last.rawValue - first.rawValue).addingReportingOverflow(1)
        return overflow ? nil : count
    }

    /// `start ..< end`; the end of a range that reaches the top is written `0x10000000000000000`.
    public var description: String { "\(first) ..< \(endDescription)" }

    /// The first address behind the range, also where 64 bits cannot hold it.
    public var endDescription: String {
        last.rawValue == .max ? "0x10000000000000000" : hexadecimal(last.rawValue + 1)
    }
}

public typealias VirtualRange = AddressRange<VirtualAddress>
public typealias PhysicalRange = AddressRange<PhysicalAddress>

/// `0x` and the digits of a number, without leading zeros.
public func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
