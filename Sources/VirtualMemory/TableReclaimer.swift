import PageTables
import TableMemory

// How the memory of a table comes back while others may walk it.
//
//   1. Whoever frees a table has unlinked it first: no entry that a walk starts from leads to it any more.
//   2. It waits for those who may have read the entry before:                                        [deferTableFree]
//      - direct: interrupts the processors that have used the space, and waits until each has taken the interrupt. It looks
//        who they are only when everybody sees that the table is unlinked; and a processor says that it uses the space
//        before it looks at the space. Each of the two is a store before a load;                    [orderUnlinkBeforeUsers]
//      - interrupt all: the same with every processor;
//      - RCU: waits for a grace period.
//   3. Only then the memory is given to somebody else.
//
// What a walker must hold depends on the policy:
//
// | policy        | own reader, interrupts blocked | foreign reader, interrupts blocked | RCU reader |
// |---------------|--------------------------------|------------------------------------|------------|
// | direct        | safe                           | unsafe: its processor is not asked | unsafe     |
// | interrupt all | safe                           | safe                               | unsafe     |
// | RCU           | safe                           | safe                               | safe       |
//
// A foreign reader looks at a space that its processor has never used. The unsafe cells are scenarios with their
// counterexamples: see `RaceScenarios`.

/// Whom the freeing of a table waits for.
public enum ReclaimPolicy: String, CaseIterable, Sendable {
    /// The processors that have used the space: what architectures do that free tables without batching them.
    case direct
    /// Every processor that blocks interrupts.
    case interrupt
    /// Every reader, whatever it holds.
    case rcu
}

extension SafetyRule {
    @inlinable
    public static var deferTableFree: SafetyRule {
        SafetyRule(
            name: "deferTableFree",
            demand: "A table that was unlinked is freed only when nobody can still be walking it.",
            history: "Tables that were freed at once were read by lock-free walkers after somebody else had them.")
    }
}

extension SafetyRule {
    @inlinable
    public static var orderUnlinkBeforeUsers: SafetyRule {
        SafetyRule(
            name: "orderUnlinkBeforeUsers",
            demand: "That a table is unlinked is visible to all before it is looked who uses the space.",
            history: """
                A flush looked at the users while its store to the entry was in the store buffer, and missed a processor \
                that had just begun to use the space and read the old entry (Linux on x86, until 4.5).
                """)
    }
}

/// Waits for whoever may still walk tables of a space that were unlinked.
public struct TableReclaimer: Sendable {
    public let policy: ReclaimPolicy
    @usableFromInline
    let users: Word<UInt64>

    /// - Parameter users: The processors that have used the space.
    @inlinable
    public init(_ policy: ReclaimPolicy, users: Word<UInt64>) {
        self.policy = policy
        self.users = users
    }

    /// Waits until nobody walks a table any more that was unlinked before the call.
    ///
    /// - Precondition: The caller is in no section. No processor waits inside a section for a lock that the caller holds.
    @inlinable
    public func wait<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        switch policy {
        case .direct:
            // Whoever is not among the users yet reads the root later than we unlinked, or is seen here.
            if memory.enforces(.orderUnlinkBeforeUsers) { try memory.fence(.full) }
            try memory.interrupt(ProcessorSet(rawValue: try memory.load(users, .acquire)))
        case .interrupt: try memory.interrupt(.all)
        case .rcu: try memory.synchronize()
        }
    }
}
