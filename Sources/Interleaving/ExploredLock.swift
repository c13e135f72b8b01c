/// A mutual exclusion lock whose acquisition is a scheduling point. Not recursive: locking twice deadlocks.
public struct ExploredLock {
    private let execution: Execution
    private let word: Int
    public let object: ObjectID

    public init(in execution: Execution, _ name: StaticString = "lock", index: Int = -1) {
        self.execution = execution
        object = execution.newObject()
        word = execution.words.add(0, object, name, index)
    }

    private var thread: Int { execution.core.pointee.current }
    private var name: String { execution.words.name(of: word) }
    private var owner: UInt64 { execution.words.load(word, by: thread) }

    public func lock(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) {
        try execution.wait(
            Access(.acquire, object, rule: rule, fileID: fileID, line: line), value: { owner }, until: { $0 == 0 },
            "lock \(name)")
        execution.words.store(word, UInt64(thread) + 1, by: thread)
        execution.replaced(0)
    }

    /// Takes the lock if it is free.
    public func tryLock(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) -> Bool {
        try execution.step(
            Access(.readModifyWrite, object, rule: rule, fileID: fileID, line: line), "try to lock \(name)")
        let isFree = owner == 0
        execution.observe(isFree ? 1 : 0)
        if isFree {
            execution.words.store(word, UInt64(thread) + 1, by: thread)
            execution.replaced(0)
        } else {
            execution.changedNothing()
            execution.note(", held")
        }
        return isFree
    }

    /// It is a violation to unlock what this thread has not locked.
    public func unlock(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) {
        try execution.step(Access(.release, object, rule: rule, fileID: fileID, line: line), "unlock \(name)")
        if owner != UInt64(thread) + 1 {
            try execution.violate("\(name) is unlocked by a thread that does not hold it", fileID: fileID, line: line)
        }
        execution.words.store(word, 0, by: thread)
    }

    /// Runs `body` with the lock held; unlocks also when `body` throws, unless the execution is over.
    public func withLock<Result>(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line, _ body: () throws -> Result
    ) throws -> Result {
        try lock(rule: rule, fileID: fileID, line: line)
        let result: Result
        do {
            result = try body()
        } catch {
            if !execution.isUnwinding { try unlock(rule: rule, fileID: fileID, line: line) }
            throw error
        }
        try unlock(rule: rule, fileID: fileID, line: line)
        return result
    }

    /// Whether the running thread holds the lock; no scheduling point.
    public var isHeld: Bool { owner == UInt64(thread) + 1 }
}
