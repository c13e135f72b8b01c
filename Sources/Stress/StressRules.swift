import TableMemory
import VirtualMemory

extension StressPlan {
    /// The rules that can be lifted: those that a run on real memory can come past.
    static var liftable: [SafetyRule] {
        [
            .blockTableFreeing, .deferTableFree, .syncWhenBatchFails, .pinOnlyLiveFrame, .recheckHeadAfterPin,
            .forgetBlockBeforeReuse, .releaseFragmentUnderLock, .initialiseTableBeforePublishing,
            .revalidateUnderLock, .revalidateTableUnderLock, .recheckEntryAfterPin, .recheckUpperEntryAfterPin,
            .growUnderLock, .waitBeforeRelinking, .clearBeforeCollapse, .collapseOnlyUnreferenced,
            .setHighHalfFirst, .clearLowHalfFirst, .recheckLowHalf, .waitBeforeEntryReuse,
            .markDirtyBeforeWritable, .markDirtyBeforeUnpin, .cleanBeforeProtecting, .protectBeforeCopying,
            .unmapBeforeTruncating, .oneChangeAtATime, .keepPageDuringWriteback, .orderUnlinkBeforeUsers,
            .revalidateAfterSplit, .freezeBeforeDirtyTest, .retreatWhenMappingGone,
            .checkFileMappingBeforeLongTermPin, .unshareBeforeLongTermPin,
        ]
    }
}
