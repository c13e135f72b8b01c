import HostMemory
import TableMemory

// expected: 'InterruptsBlocked<Memory>' initializer is inaccessible due to 'internal' protection level

func wrong(_ memory: HostMemory) {
    _ = InterruptsBlocked(memory: memory)
}
