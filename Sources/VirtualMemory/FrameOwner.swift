// What the mapping word of a page's frame says (after the low bits of Linux's `folio->mapping`, v6.19):
//
// | bits    | what                                                                                              |
// |---------|---------------------------------------------------------------------------------------------------|
// | 0-1     | kind: 0 nobody's (a page of a file that was truncated), 1 anonymous, 2 file, 3 shared memory      |
// | 2       | dirty: the page of a file may hold what its store does not                                        |
// | 3-63    | the number of the file, which is never used again; 0 if it is none                                |
//
// Whoever has a reference to the frame may look at the word without a lock, and nobody needs the file itself for it: kind and
// number are in the one word. The word is set before the page is seen, cleared with the file's lock held when the file lets
// the page go, and in between only the dirty bit changes.

/// Whose a page is.
public struct FrameOwner: Hashable, Sendable {
    public enum Kind: UInt64, Sendable {
        /// The page of a file that was truncated.
        case none
        /// A page of a space's own; also a frame that nobody has given to a file.
        case anonymous
        /// A page of a file that has to know when it is written.
        case file
        /// A page of memory that spaces share, with nothing behind it.
        case sharedMemory
    }

    public let rawValue: UInt64

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    init(_ kind: Kind, number: UInt64) { rawValue = number << 3 | kind.rawValue }

    @inlinable
    public static var anonymous: FrameOwner { FrameOwner(rawValue: 1) }
    @inlinable
    public static var dirty: UInt64 { 4 }

    @inlinable
    public var kind: Kind {
        switch rawValue & 3 {
        case 0: .none
        case 1: .anonymous
        case 2: .file
        default: .sharedMemory
        }
    }
    @inlinable
    public var isDirty: Bool { rawValue & Self.dirty != 0 }
    /// The number of the file; 0 if there is none.
    @inlinable
    public var number: UInt64 { rawValue &>> 3 }
}
