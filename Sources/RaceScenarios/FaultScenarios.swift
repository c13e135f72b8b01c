import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Mapping on demand, by several at once.
    static let faults: [Scenario] = []
}
