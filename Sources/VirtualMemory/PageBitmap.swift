/// A bit for each page of a range of page numbers.
public struct PageBitmap: Hashable, Sendable {
    public let pages: ClosedRange<UInt64>
    private var words: [UInt64]
    /// From the lowest page in the set to the highest; `nil` if it is empty.
    public private(set) var bounds: ClosedRange<UInt64>?

    /// The empty set. Complexity: a bit for each page.
    public init(_ pages: ClosedRange<UInt64>) {
        self.pages = pages
        words = [UInt64](repeating: 0, count: Int((pages.upperBound - pages.lowerBound) / 64) + 1)
    }

    /// - Precondition: The page is one of `pages`.
    public mutating func insert(_ page: UInt64) {
        precondition(pages.contains(page), "a bitmap has no bit for the page")
        let index = page - pages.lowerBound
        words[Int(index / 64)] |= 1 << (index % 64)
        bounds = min(bounds?.lowerBound ?? page, page)...max(bounds?.upperBound ?? page, page)
    }

    public func contains(_ page: UInt64) -> Bool {
        guard pages.contains(page) else { return false }
        let index = page - pages.lowerBound
        return words[Int(index / 64)] >> (index % 64) & 1 != 0
    }

    public var isEmpty: Bool { bounds == nil }
    public var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
}
