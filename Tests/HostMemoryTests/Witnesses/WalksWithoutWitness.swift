import HostMemory
import TableMemory

// expected: requires that 'HostMemory' conform to 'ReadWitness'

func walk<Witness: ReadWitness & ~Copyable>(_ tables: borrowing Witness) {}

func wrong(_ memory: HostMemory) {
    walk(memory)
}
