/// Something that is used and freed once: a node of a list, a buffer, a handle. Use after free, double free, and not being freed at
/// the end are violations.
public struct ExploredResource {
    private let execution: Execution
    private let index: Int
    public let object: ObjectID

    public init(
        in execution: Execution, _ name: StaticString = "resource", index: Int = -1, fileID: StaticString = #fileID,
        line: UInt = #line
    ) {
        self.execution = execution
        object = execution.newObject()
        self.index = execution.resources.add(.init(name: name, index: index, fileID: fileID, line: line))
    }

    private var name: String { execution.resources.name(of: index) }

    /// Says that the resource is used; a violation if it has been freed.
    public func use(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) {
        try execution.step(Access(.read, object, rule: rule, fileID: fileID, line: line), "use \(name)")
        execution.observe(0)
        if execution.resources.isFree(index) {
            try execution.violate("\(name) is used after it was freed", fileID: fileID, line: line)
        }
    }

    /// Frees the resource; a violation if it has been freed before.
    public func free(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) {
        try execution.step(Access(.write, object, rule: rule, fileID: fileID, line: line), "free \(name)")
        if execution.resources.isFree(index) {
            try execution.violate("\(name) is freed twice", fileID: fileID, line: line)
        }
        execution.resources.free(index)
    }
}

/// Resources of one execution.
struct ResourceTable {
    struct Resource {
        var name: StaticString
        var index: Int
        var fileID: StaticString
        var line: UInt
        var isFree = false
    }

    private var resources: [Resource] = []

    mutating func add(_ resource: Resource) -> Int {
        resources.append(resource)
        return resources.count - 1
    }

    mutating func removeAll() { resources.removeAll(keepingCapacity: true) }

    mutating func free(_ index: Int) { resources[index].isFree = true }

    func isFree(_ index: Int) -> Bool { resources[index].isFree }

    func name(of index: Int) -> String {
        resources[index].index < 0 ? "\(resources[index].name)" : "\(resources[index].name)[\(resources[index].index)]"
    }

    /// Says which resource was not freed, or nil.
    var leak: String? {
        guard let index = resources.firstIndex(where: { !$0.isFree }) else { return nil }
        return "\(name(of: index)) is never freed (\(resources[index].fileID):\(resources[index].line))"
    }
}
