import PageTables

/// Whose the writes to a region of a file are.
public enum FileSharing: Hashable, Sendable {
    /// The file's, and all others' who share it.
    case shared
    /// The region's alone: the first write to a page copies it.
    case `private`
}

/// The part of a file that a region shows.
public struct FileView: Hashable, Sendable {
    public let file: PageCache
    /// Where in the file the region's first address is: a multiple of the page size.
    public let offset: UInt64
    public let sharing: FileSharing

    public init(_ file: PageCache, offset: UInt64 = 0, _ sharing: FileSharing) {
        self.file = file
        self.offset = offset
        self.sharing = sharing
    }

    /// Whether a region may not have these rights: what would be written has nowhere to go (as mmap, mprotect: EACCES).
    @usableFromInline
    func refuses(_ rights: Rights) -> Bool {
        sharing == .shared && !file.acceptsWrites && !rights.isDisjoint(with: .writes)
    }

    /// As the region would begin later.
    func advanced(by bytes: UInt64) -> FileView { FileView(file, offset: offset &+ bytes, sharing) }

    /// Which page of the file an address shows.
    func pageIndex(of address: VirtualAddress, in region: Region) -> UInt64 {
        (offset &+ (address.rawValue &- region.range.first.rawValue)) >> file.log2PageBytes
    }

    /// Where a page of the file is, if the region shows it.
    func addresses(ofPage index: UInt64, in region: Region) -> VirtualRange? {
        let first = offset >> file.log2PageBytes
        guard index >= first else { return nil }
        let distance = (index - first) << file.log2PageBytes
        guard distance <= region.range.last.rawValue - region.range.first.rawValue else { return nil }
        let start = region.range.first.rawValue + distance
        return VirtualRange(first: VirtualAddress(start), last: VirtualAddress(start + (file.pageBytes - 1)))
    }

    /// The part of the region that shows pages of the file from one on.
    func addresses(fromPage index: UInt64, in region: Region) -> VirtualRange? {
        let first = max(index, offset >> file.log2PageBytes)
        guard let page = addresses(ofPage: first, in: region) else { return nil }
        return VirtualRange(first: page.first, last: region.range.last)
    }
}
