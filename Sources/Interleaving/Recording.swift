/// What is kept of an execution that is going to be printed. Nothing of it is touched in any other.
struct Recording {
    /// Where something was announced.
    enum Place {
        case known(SourcePlace)
        /// Announced by a module that only passes on what others ask for: to be looked up.
        case stack(CallStack)
    }

    private(set) var steps: [Step] = []
    /// Places of steps, by number.
    private var places: [Place] = []
    /// Names of the threads, by number.
    private(set) var threads: [String] = []
    /// Stores of each thread that went into a buffer, with their places in `steps`.
    private var stores: [Int: [Int]] = [:]
    /// Where threads wait.
    var waiting: [Int: Place] = [:]
    var violation: Place?
    /// Rules that threads have met since their last step.
    private var rules: [Int: [String]] = [:]

    mutating func removeAll() {
        steps.removeAll()
        places.removeAll()
        threads.removeAll()
        stores.removeAll()
        waiting.removeAll()
        violation = nil
        rules.removeAll()
    }

    mutating func add(rule: String, to thread: Int) {
        if rules[thread]?.contains(rule) != true { rules[thread, default: []].append(rule) }
    }

    mutating func add(_ thread: Int, _ label: String, rule: StaticString, at place: Place) {
        var all = rules.removeValue(forKey: thread) ?? []
        if rule.utf8CodeUnitCount > 0 { all.insert("\(rule)", at: 0) }
        add(
            Step(thread: thread, label: label, rule: all.joined(separator: ", "), fileID: "", line: 0, function: ""),
            place)
    }

    /// A store into a buffer is part of the step before it.
    mutating func addStore(_ thread: Int, _ label: String, rule: StaticString, at place: Place) {
        add(thread, label, rule: rule, at: place)
        stores[thread, default: []].append(steps.count - 1)
    }

    /// A store of a thread is performed: the one with this number among those that the thread has put into its buffer.
    mutating func addPerformed(_ thread: Int, _ number: Int) {
        let store = stores[thread]![number]
        var step = steps[store]
        step.label = "performs \(step.label)"
        add(step, places[store])
    }

    func place(ofStore number: Int, _ thread: Int) -> Place { places[stores[thread]![number]] }

    /// Names the threads, by number; some are no threads of the program and have no column.
    mutating func setThreads(_ names: [String], hiding hidden: UInt64) {
        threads = names.indices.filter { hidden & bit($0) == 0 }.map { names[$0] }
        for number in steps.indices {
            let thread = steps[number].thread
            steps[number].thread -= (hidden & (bit(thread) &- 1)).nonzeroBitCount
        }
    }

    /// A choice is part of a step and no step of its own.
    mutating func addChoice(_ thread: Int, _ label: String, at place: Place) {
        add(Step(thread: thread, label: label, rule: "", fileID: "", line: 0, function: ""), place)
    }

    private mutating func add(_ step: Step, _ place: Place) {
        steps.append(step)
        places.append(place)
    }

    mutating func addToLastLabel(_ text: String) {
        if !steps.isEmpty { steps[steps.count - 1].label += text }
    }

    func source(of place: Place, past modules: [String]) -> SourcePlace? {
        switch place {
        case .known(let place): place
        case .stack(let stack): stack.caller(past: modules)
        }
    }

    /// The steps with their places, which are looked up now.
    mutating func placedSteps(past modules: [String]) -> [Step] {
        for (number, place) in places.enumerated() {
            guard let source = source(of: place, past: modules) else { continue }
            steps[number].fileID = source.fileID
            steps[number].line = source.line
            steps[number].function = source.function
        }
        return steps
    }
}
