import Interleaving

/// W walkers pin a page without a lock while one thread unmaps and puts it: load the entry, take a reference unless the count is
/// zero, load the entry again, use the page, put the reference.
func pin(walkers: Int, pages: Int = 1, symmetric: Bool = false) -> (Execution) throws -> Void {
    { execution in
        let entries = (0..<pages).map { ExploredAtomic(1, in: execution, "entry", index: $0) }
        let counts = (0..<pages).map { ExploredAtomic(1, in: execution, "count", index: $0) }
        let frames = (0..<pages).map { ExploredAtomic(1, in: execution, "page", index: $0) }

        func put(_ page: Int) throws {
            if try counts[page].subtract(1) == 1 { try frames[page].store(0) }
        }
        /// False if the page is being freed, or somebody else has just changed the count.
        func reference(_ page: Int) throws -> Bool {
            let count = try counts[page].load()
            return try count != 0 && counts[page].compareExchange(expected: count, desired: count + 1).exchanged
        }
        func walk() throws {
            for page in 0..<pages {
                if try entries[page].load() == 0 { continue }
                guard try reference(page) else { continue }
                if try entries[page].load() != 0 {
                    try execution.require(frames[page].load() == 1, "a pinned page is not freed")
                }
                try put(page)
            }
        }
        if symmetric {
            execution.spawn(count: walkers, named: "walker", walk)
        } else {
            for _ in 0..<walkers { execution.spawn(named: "walker", walk) }
        }
        execution.spawn(named: "unmap") {
            for page in 0..<pages {
                try entries[page].store(0)
                try put(page)
            }
        }
    }
}

/// W walkers read a table in a section with interrupts blocked; one thread unlinks the table, waits until each walker has been
/// seen outside a section, and frees it.
func rcu(walkers: Int) -> (Execution) throws -> Void {
    { execution in
        let table = ExploredAtomic(1, in: execution, "upper entry")
        let alive = ExploredAtomic(1, in: execution, "table")
        let blocked = (0..<walkers).map { ExploredAtomic(0, in: execution, "interrupts blocked", index: $0) }
        for walker in 0..<walkers {
            execution.spawn(named: "walker") {
                try blocked[walker].store(1)
                if try table.load() != 0 {
                    try execution.require(alive.load() == 1, "a table in use is not freed")
                }
                try blocked[walker].store(0)
            }
        }
        execution.spawn(named: "free") {
            try table.store(0)
            for flag in blocked { try flag.wait { $0 == 0 } }
            try alive.store(0)
        }
    }
}
