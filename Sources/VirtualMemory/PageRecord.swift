// The record of a page, in the bits of Linux's /proc/PID/pagemap (v6.19, fs/proc/task_mmu.c):
//
// | bits  | what                                                                                               |
// |-------|----------------------------------------------------------------------------------------------------|
// | 54..0 | the number of the page's frame: its address divided by the size of a page                          |
// | 55    | written since soft-dirty tracking began; never set here                                            |
// | 56    | no other leaf maps the page, or its block                                                          |
// | 57    | a write is to be reported to user space; never set here                                            |
// | 61    | the page is a file's, or of memory that spaces share                                               |
// | 62    | the page is in swap; never set here                                                                |
// | 63    | the page is mapped                                                                                 |

/// What is known of one page of a space, in 64 bits. Zero where nothing is mapped.
public struct PageRecord: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt64

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable
    static var present: UInt64 { 1 &<< 63 }
    @inlinable
    static var file: UInt64 { 1 &<< 61 }
    @inlinable
    static var exclusive: UInt64 { 1 &<< 56 }
    @inlinable
    static var frameMask: UInt64 { (1 &<< 55) &- 1 }

    @inlinable
    public static var hole: PageRecord { PageRecord(rawValue: 0) }

    @inlinable
    init(frameNumber: UInt64, isFile: Bool, isExclusive: Bool) {
        rawValue =
            Self.present | frameNumber & Self.frameMask | (isFile ? Self.file : 0) | (isExclusive ? Self.exclusive : 0)
    }

    @inlinable
    public var isPresent: Bool { rawValue & Self.present != 0 }
    /// The physical address of the page divided by its size, also of a device's; 0 where nothing is mapped.
    @inlinable
    public var frameNumber: UInt64 { rawValue & Self.frameMask }
    /// Whether the page is not anonymous: a file's, or of memory that spaces share.
    @inlinable
    public var isFile: Bool { rawValue & Self.file != 0 }
    /// Whether the leaf that maps the page is all that maps its block. Never wrong in saying so; pages of a large block that
    /// is mapped by several leaves are not exclusive, even if each is mapped once.
    @inlinable
    public var isExclusive: Bool { rawValue & Self.exclusive != 0 }
}
