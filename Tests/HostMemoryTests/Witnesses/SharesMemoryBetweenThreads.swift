import HostMemory
import TableMemory

// expected: capture of 'memory' with non-Sendable type 'HostMemory'

func start(_ body: @escaping @Sendable () -> Void) {}

func wrong(_ memory: HostMemory) {
    start { memory.synchronize() }
}
