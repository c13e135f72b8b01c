/// What of a space is in frames of the map, and who else has it: what Linux's /proc/PID/smaps says (v6.19,
/// fs/proc/task_mmu.c).
///
/// Memory of devices is no frame and not in it. Frames of a large block share one count of mappings: each counts as mapped as often
/// as they are on average, and at least once.
public struct FrameUse: Hashable, Sendable {
    /// Rss.
    public var residentBytes: UInt64 = 0
    /// Pss: of each page the part that falls to this mapping, times 2^`SpaceSummary.log2Share`.
    public var share: UInt64 = 0
    /// As `share`, of dirty pages.
    public var dirtyShare: UInt64 = 0
    /// Of pages that are mapped more than once.
    public var sharedCleanBytes: UInt64 = 0
    public var sharedDirtyBytes: UInt64 = 0
    /// Of pages that are mapped once.
    public var privateCleanBytes: UInt64 = 0
    public var privateDirtyBytes: UInt64 = 0
    /// Of pages whose leaf says that they were used.
    public var referencedBytes: UInt64 = 0
    /// Of pages that belong to no file and to no shared memory.
    public var anonymousBytes: UInt64 = 0
    /// Of those, what leaves larger than a page map.
    public var largeAnonymousBytes: UInt64 = 0

    /// Of pages of files and of shared memory.
    public var fileBytes: UInt64 { residentBytes &- anonymousBytes }

    public init() {}

    /// Counts what one leaf maps, or the part of it that was asked for: of a part of a page its part of the share.
    mutating func add(
        _ bytes: UInt64, pageBytes: UInt64, _ page: PageSharing, _ leaf: (isUsed: Bool, isDirty: Bool, isLarge: Bool)
    ) {
        // Rounded for each page, as Linux does.
        let part =
            page.share(ofPageBytes: pageBytes) &* (bytes / pageBytes) &+ page.share(ofPageBytes: bytes % pageBytes)
        let isDirty = leaf.isDirty || page.owner.kind != .anonymous && page.owner.isDirty
        residentBytes &+= bytes
        share &+= part
        if isDirty { dirtyShare &+= part }
        switch (page.isShared, isDirty) {
        case (true, false): sharedCleanBytes &+= bytes
        case (true, true): sharedDirtyBytes &+= bytes
        case (false, false): privateCleanBytes &+= bytes
        case (false, true): privateDirtyBytes &+= bytes
        }
        if leaf.isUsed { referencedBytes &+= bytes }
        if page.owner.kind == .anonymous {
            anonymousBytes &+= bytes
            if leaf.isLarge { largeAnonymousBytes &+= bytes }
        }
    }
}
