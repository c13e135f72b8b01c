import HostMemory
import TableMemory

// expected: requires that 'RCUReader<HostMemory>' conform to 'InterruptWitness'

func walk<Witness: InterruptWitness & ~Copyable>(_ tables: borrowing Witness) {}

func wrong(_ memory: HostMemory) {
    memory.withRCUReader { walk($0) }
}
