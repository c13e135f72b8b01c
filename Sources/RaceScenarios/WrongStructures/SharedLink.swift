import TableMemory
import VirtualMemory

/// A frame has one link for two purposes.
enum SharedLink: WrongStructure {
    static var history: String {
        """
        The link by which a frame waits to be freed is the one that lists frames with free fragments (Linux, page->lru and \
        rcu_head): why s390x could not free its half-page tables through RCU.
        """
    }

    static func deferredLink(_ descriptor: FrameDescriptor) -> Word<UInt64> { descriptor.fragmentLink }
}
