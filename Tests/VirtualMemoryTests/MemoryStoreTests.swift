import Testing

@testable import VirtualMemory

@Suite("A store in memory")
struct MemoryStoreTests {
    private typealias Failure = MemoryStore.Failure

    @Test("fails where it would be larger than it can be, and changes nothing")
    func limit() throws {
        for (store, limit) in [(MemoryStore([1, 2]), 1 << 32), (MemoryStore([1, 2], limit: 3), 3)]
            as [(MemoryStore, UInt64)]
        {
            #expect(store.limit == limit)
            for size in [limit + 1, UInt64(Int.max), .max] {
                #expect(throws: Failure(.resize, at: size)) { try store.resize(to: size) }
                #expect(throws: Failure(.write, at: size)) { try store.write([9], at: size) }
            }
            #expect(throws: Failure(.write, at: limit - 1)) { try store.write([9, 9], at: limit - 1) }
            #expect(store.bytes == [1, 2])
        }
        let store = MemoryStore([1, 2], limit: 3)
        try store.write([9], at: 2)
        try store.resize(to: 3)
        #expect(store.bytes == [1, 2, 9])
    }

    @Test("fails to write where one of the bytes is to fail, with the first that is")
    func failures() {
        let store = MemoryStore([1, 2, 3, 4])
        store.failures = [Failure(.write, at: 2), Failure(.write, at: 3), Failure(.read, at: 1)]
        #expect(throws: Failure(.write, at: 2)) { try store.write([9, 9, 9], at: 1) }
        #expect(throws: Never.self) { try store.write([9, 9], at: 0) }
        #expect(store.bytes == [9, 9, 3, 4])
    }
}
