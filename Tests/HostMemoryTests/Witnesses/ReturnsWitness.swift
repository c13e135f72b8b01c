import HostMemory
import TableMemory

// expected: requires that 'InterruptsBlocked<HostMemory>' conform to 'Copyable'

func wrong(_ memory: HostMemory) -> InterruptsBlocked<HostMemory> {
    memory.withInterruptsBlocked { witness in witness }
}
