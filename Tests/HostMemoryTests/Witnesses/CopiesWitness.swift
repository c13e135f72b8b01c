import HostMemory
import TableMemory

// expected: 'witness' is borrowed and cannot be consumed

func keep(_ witness: consuming RCUReader<HostMemory>) {}

func wrong(_ memory: HostMemory) {
    memory.withRCUReader { witness in keep(witness) }
}
