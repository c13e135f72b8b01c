import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// What is written into frames: whose they are.
//
// A tag looks like a leaf of the format whose page is where no memory is. So it is an oracle twice: whoever reads a page finds
// out whether it is the right one, and whoever reads a table that was freed and is a page now finds a leaf that nobody made.
// Memory that is nobody's is filled with a tag of its own, the poison.
//
//     page of the leaf: its highest bit | generation (up to 20 bits) | page number (18 bits) | 0 … (log2 of the frame's bytes)

struct PageTags<Format: StressFormat>: Sendable {
    let format: Format
    private let leaf: UInt64
    /// The highest bit of an address that a leaf can hold, of the lower 52. No memory and no device is there.
    private let marker: UInt64
    let generationLimit: UInt64

    static var pageBits: UInt64 { 18 }
    static var pageLimit: UInt64 { 1 << pageBits }
    /// Pages that faults have mapped hold zeros, or tags of this generation.
    static var faulted: UInt64 { 0 }

    init(_ format: Format) {
        self.format = format
        let size = PageSize(log2Bytes: Int(format.log2FrameBytes))
        let leaf = format.canonical(.leaf(PhysicalAddress(0), size), format.attributes([.read]), at: .leafTable)
        let log2Marker = (UInt64(format.log2FrameBytes)...51).last { bit in
            let page = PhysicalAddress(1 << bit)
            let entry = Entry(leaf | format.addressBits(page, at: .leafTable))
            return format.shape(of: entry, at: .leafTable) == .leaf
                && format.physical(of: entry, at: .leafTable, for: VirtualAddress(0)) == page
        }
        guard let log2Marker, log2Marker > UInt64(format.log2FrameBytes) + Self.pageBits + 8 else {
            preconditionFailure("a leaf has no room for a tag")
        }
        self.leaf = leaf
        marker = 1 << log2Marker
        generationLimit = 1 << min(log2Marker - UInt64(format.log2FrameBytes) - Self.pageBits, 20)
    }

    /// The tag as it is in memory.
    func tag(_ page: UInt64, _ generation: UInt64) -> UInt64 {
        let physical = marker | (generation << Self.pageBits | page) << UInt64(format.log2FrameBytes)
        let value = leaf | format.addressBits(PhysicalAddress(physical), at: .leafTable)
        return format.byteOrder == .host ? value : value.byteSwapped
    }

    var poison: UInt64 { tag(Self.pageLimit - 1, generationLimit - 1) }

    /// What a tag says; `nil` if a word is none.
    func content(of word: UInt64) -> (page: UInt64, generation: UInt64)? {
        let value = format.byteOrder == .host ? word : word.byteSwapped
        let physical = format.physical(of: Entry(value), at: .leafTable, for: VirtualAddress(0)).rawValue
        let payload = (physical & ~marker) >> UInt64(format.log2FrameBytes)
        let (page, generation) = (payload & (Self.pageLimit - 1), payload >> Self.pageBits)
        guard generation < generationLimit, tag(page, generation) == word else { return nil }
        return (page, generation)
    }

    /// The page whose tag a word is; `nil` if it is none.
    func page(of word: UInt64) -> UInt64? { content(of: word)?.page }

    /// For messages.
    func description(_ word: UInt64) -> String {
        if word == 0 { return "zero" }
        if word == poison { return "poison: the frame is free" }
        guard let (page, generation) = content(of: word) else { return "no tag: \(hexadecimal(word))" }
        return "the tag of page \(page), generation \(generation)"
    }
}

extension PageTags {
    /// Writes the tag of a page to all words of a frame that nobody else sees.
    func fill<Memory: SharedMemory>(
        _ frame: PhysicalAddress, _ page: UInt64, _ generation: UInt64, in memory: Memory
    ) where Memory.Failure == Never {
        let last = PhysicalAddress(frame.rawValue + (1 << UInt64(format.log2FrameBytes)) - 1)
        memory.fill(PhysicalRange(first: frame, last: last), with: tag(page, generation))
    }
}
