import HostMemory
import PageTables
import TableMemory

// expected: 'witness' cannot be captured by an escaping closure

func later(_ body: @escaping () -> Void) {}

func wrong(_ memory: HostMemory) {
    memory.withRCUReader { (witness: borrowing RCUReader<HostMemory>) in
        later { _ = witness.load64(PhysicalAddress(0), .host) }
    }
}
