import TableMemory
import VirtualMemory

extension StressPlan {
    /// Whether a rule can be lifted in a format.
    public static func canLift(_ name: String, in paging: StressedFormat) -> Bool {
        rule(name) != nil && StressedFormat.liftable.contains(paging)
    }

    static func rule(_ name: String?) -> SafetyRule? { liftable.first { "\($0.name)" == name } }

    /// The rules that can be lifted: those that a run on real memory can come past.
    private static var liftable: [SafetyRule] {
        [
            .blockTableFreeing, .deferTableFree, .syncWhenBatchFails, .pinOnlyLiveFrame, .recheckHeadAfterPin,
            .forgetBlockBeforeReuse, .releaseFragmentUnderLock, .initialiseTableBeforePublishing,
            .revalidateUnderLock, .revalidateTableUnderLock, .recheckEntryAfterPin, .recheckUpperEntryAfterPin,
            .growUnderLock, .waitBeforeRelinking, .clearBeforeCollapse, .collapseOnlyUnreferenced,
            .setHighHalfFirst, .clearLowHalfFirst, .recheckLowHalf, .waitBeforeEntryReuse, .replaceLowHalfAlone,
            .confirmHoleUnderLock,
            .markDirtyBeforeWritable, .markDirtyBeforeUnpin, .cleanBeforeProtecting, .protectBeforeCopying,
            .unmapBeforeTruncating, .oneChangeAtATime, .keepPageDuringWriteback, .orderUnlinkBeforeUsers,
            .revalidateAfterSplit, .freezeBeforeDirtyTest, .retreatWhenMappingGone,
            .checkFileMappingBeforeLongTermPin, .unshareBeforeLongTermPin,
            .flushBeforeFree, .flushWhenBatchFails, .flushUnderLock, .interruptKeepers, .lookAtFlushLog,
            .changeEntryAtomically, .recordUseAtomically,
            .tellObserversFirst, .forgetUnderMirrorLock, .recheckSequenceUnderMirrorLock, .holdGuestWhileUsing,
            .revalidateGroupUnderLock, .flushWholeRangeWhenNested, .flushTakenRecords, .recordWriteBeforeDevice,
        ]
    }
}
