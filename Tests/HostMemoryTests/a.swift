import HostMemory
