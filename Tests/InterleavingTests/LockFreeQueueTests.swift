// The example of Documentation/Interleaving.md: nothing but `import Interleaving` and Swift Testing.

import Interleaving
import Testing

/// Michael and Scott's queue (PODC 1996) over nodes that are given. A node is a number, 0 is none; the first node is a dummy.
private struct LockFreeQueue {
    /// How a node is linked behind the last.
    enum Linking {
        /// By compare-exchange, as published.
        case compareExchange
        /// By looking and then storing: two threads may both have looked.
        case checkThenStore
    }

    let linking: Linking
    let head: ExploredAtomic<Int>
    let tail: ExploredAtomic<Int>
    let next: [ExploredAtomic<Int>]

    /// A queue for nodes 1 ... nodes; 0 stands for none, and one more node is the dummy.
    init(nodes: Int, linking: Linking, in execution: Execution) {
        self.linking = linking
        let dummy = nodes + 1
        head = ExploredAtomic(dummy, in: execution, "head")
        tail = ExploredAtomic(dummy, in: execution, "tail")
        next = (0...dummy).map { ExploredAtomic(0, in: execution, "next", index: $0) }
    }

    func enqueue(_ node: Int) throws {
        while true {
            let last = try tail.load()
            let behind = try next[last].load()
            if behind != 0 {
                // Somebody has linked a node and not moved the tail yet: help.
                _ = try tail.compareExchange(expected: last, desired: behind)
            } else if try link(node, behind: last) {
                _ = try tail.compareExchange(expected: last, desired: node)
                return
            }
        }
    }

    private func link(_ node: Int, behind last: Int) throws -> Bool {
        switch linking {
        case .compareExchange:
            return try next[last].compareExchange(expected: 0, desired: node).exchanged
        case .checkThenStore:
            try next[last].store(node)
            return true
        }
    }

    /// The first node, or nil if the queue is empty.
    func dequeue() throws -> Int? {
        while true {
            let first = try head.load()
            let last = try tail.load()
            let behind = try next[first].load()
            if behind == 0 { return nil }
            if first == last {
                _ = try tail.compareExchange(expected: last, desired: behind)
            } else if try head.compareExchange(expected: first, desired: behind).exchanged {
                return behind
            }
        }
    }
}

/// Two threads enqueue, one dequeues; then whatever is left is taken out.
private func twoProducersOneConsumer(_ linking: LockFreeQueue.Linking) -> (Execution) throws -> Void {
    { execution in
        let queue = LockFreeQueue(nodes: 3, linking: linking, in: execution)
        var taken: [Int] = []
        execution.spawn(named: "producer A") {
            try queue.enqueue(1)
            try queue.enqueue(2)
        }
        execution.spawn(named: "producer B") { try queue.enqueue(3) }
        execution.spawn(named: "consumer") { if let node = try queue.dequeue() { taken.append(node) } }
        execution.atEnd {
            while let node = try queue.dequeue() { taken.append(node) }
            try execution.require(taken.sorted() == [1, 2, 3], "every node comes out once: \(taken)")
            let ofA = taken.filter { $0 < 3 }
            try execution.require(ofA == [1, 2], "a producer's nodes come out in its order: \(taken)")
        }
    }
}

@Suite struct `A lock-free queue of three threads` {
    @Test func `linking with compare-exchange is right in every interleaving`() {
        let result = Explorer().explore(twoProducersOneConsumer(.compareExchange))
        #expect(result.isExhausted, "\(result)")
    }

    @Test func `linking with a store loses a node`() throws {
        let result = Explorer().explore(twoProducersOneConsumer(.checkThenStore))
        let found = try #require(result.counterexample)
        #expect(found.property.hasPrefix("every node comes out once"))
        // Two switches between the producers; the consumer need not take part.
        #expect(found.schedule.contextSwitches <= 3, "\(found)")
        #expect(Explorer().replay(found.schedule, twoProducersOneConsumer(.checkThenStore)).counterexample == found)
    }
}
