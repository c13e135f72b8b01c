import HostMemory
import TableMemory

// expected: implicit conversion to 'InterruptsBlocked<HostMemory>?' is consuming

final class Keeper {
    var witness: InterruptsBlocked<HostMemory>?
    init() { witness = nil }
}

func wrong(_ memory: HostMemory, _ keeper: Keeper) {
    memory.withInterruptsBlocked { witness in keeper.witness = witness }
}
