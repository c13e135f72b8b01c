/// Every execution without any reduction, optionally only those with few preemptions: switches away from a thread that could
/// have gone on.
public struct ExhaustiveSearch: Scheduler {
    private struct Node {
        var open: UInt64
        var enabled: UInt64
        var current: Int
        var alternatives: Int
        var fingerprint: UInt64
    }

    private let preemptions: Int?
    private var nodes: [Node] = []
    private var depth = 0
    private var spent = 0
    private var hasBegun = false

    public init(preemptions: Int? = nil) { self.preemptions = preemptions }

    public var name: String {
        preemptions.map { "all executions with at most \($0) preemptions" } ?? "all executions"
    }

    public var bound: Bound? { preemptions.map { .preemptions($0) } }

    public mutating func begin() -> Bool {
        depth = 0
        spent = 0
        guard hasBegun else {
            hasBegun = true
            return true
        }
        while var top = nodes.popLast() {
            if top.alternatives > 0 {
                top.current += 1
                if top.current < top.alternatives {
                    nodes.append(top)
                    return true
                }
            } else if top.open != 0 {
                top.current = first(top.open)
                top.open &= top.open &- 1
                nodes.append(top)
                return true
            }
        }
        return false
    }

    public mutating func next(_ point: SchedulingPoint) -> SchedulingDecision {
        let previous = point.previous
        let mayGoOn = previous.map { point.enabled & bit($0) != 0 } ?? false
        if depth == nodes.count {
            let current = mayGoOn ? previous! : first(point.enabled)
            let mayPreempt = !mayGoOn || preemptions.map { spent < $0 } ?? true
            nodes.append(
                Node(
                    open: mayPreempt ? point.enabled & ~bit(current) : 0, enabled: point.enabled, current: current,
                    alternatives: 0,
                    fingerprint: point.fingerprint))
        }
        let node = nodes[depth]
        guard node.alternatives == 0, node.enabled == point.enabled, node.fingerprint == point.fingerprint else {
            return .diverged
        }
        if mayGoOn, node.current != previous { spent += 1 }
        depth += 1
        return .run(node.current)
    }

    public mutating func choose(_ alternatives: Int, _ point: SchedulingPoint) -> Int? {
        if depth == nodes.count {
            nodes.append(Node(open: 0, enabled: 0, current: 0, alternatives: alternatives, fingerprint: 0))
        }
        defer { depth += 1 }
        return nodes[depth].alternatives == alternatives ? nodes[depth].current : nil
    }

    public mutating func ended(_ point: SchedulingPoint) -> Bool { depth >= nodes.count }
}
