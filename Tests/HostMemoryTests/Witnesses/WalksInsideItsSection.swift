import HostMemory
import PageTables
import TableMemory

// Compiles: the right way, which shows that the others fail for their own reasons.

func walk(_ tables: borrowing some ReadWitness & ~Copyable) -> UInt64 {
    do { return try tables.load64(PhysicalAddress(0), .host) } catch { return 0 }
}

func walkBlocked<Witness: InterruptWitness & ~Copyable>(_ tables: borrowing Witness) -> UInt64 { walk(tables) }

func right(_ memory: HostMemory) -> UInt64 {
    memory.withInterruptsBlocked { walkBlocked($0) } + memory.withRCUReader { walk($0) }
        + memory.withReadLock(ReaderWriterLock(at: PhysicalAddress(0))) { walk($0) }
}
