import HostMemory
import PageTables
import TableMemory

// expected: cannot find 'witness' in scope

func wrong(_ memory: HostMemory) -> UInt64 {
    memory.withInterruptsBlocked { witness in _ = witness.load64(PhysicalAddress(0), .host) }
    return witness.load64(PhysicalAddress(0), .host)
}
