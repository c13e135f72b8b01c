import HostMemory
import TableMemory

// expected: requires that 'LockHeld<HostMemory>' conform to 'Copyable'

func wrong(_ memory: HostMemory, _ lock: TicketLock) -> LockHeld<HostMemory> {
    memory.withLock(lock) { held in held }
}
