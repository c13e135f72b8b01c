import TableMemory

// What was written to the pages of a file, from all spaces that show them: one after another, each with its lock held for
// reading (`LiveSpace+DirtyRecord`). The spaces are noted with the file's lock held, which is released before: whoever has it waits
// for no space.

extension PageCache {
    /// Takes the right to write to pages of the file from all entries of shared mappings. The next write is a fault.
    ///
    /// - Parameter written: Gets the pages, by their numbers in the file, of which an entry said that they were written and
    ///   cannot say so without the right.
    /// - Returns: How many entries were changed.
    /// - Precondition: The caller is in no section and holds no lock. `written` has the pages.
    /// - Complexity: The regions of the spaces, and the entries of the pages.
    @discardableResult
    public func writeProtect<Memory: SharedMemory>(
        _ pages: ClosedRange<UInt64>, into written: inout PageBitmap, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Int { try takeWrites(.right, pages, &written, in: memory) }

    /// Makes all entries of shared mappings say that pages of the file were not written, and notes which said they were.
    ///
    /// - Parameter written: Gets the pages, by their numbers in the file, beside those that it has.
    /// - Returns: How many entries were changed.
    /// - Precondition: As for `writeProtect`.
    /// - Complexity: As `writeProtect`.
    @discardableResult
    public func cleanAndRecord<Memory: SharedMemory>(
        _ pages: ClosedRange<UInt64>, into written: inout PageBitmap, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Int { try takeWrites(.record, pages, &written, in: memory) }

    private func takeWrites<Memory: SharedMemory>(
        _ taken: TakenWrites, _ pages: ClosedRange<UInt64>, _ written: inout PageBitmap, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Int {
        let memory = copy memory
        let spaces = try memory.withLock(words.lock) { (_) throws(Memory.Failure) in try noteSpaces(in: memory) }
        var count = 0
        try visit(spaces, in: memory) { (space, memory) throws(Memory.Failure) in
            count += try space.takeWrites(taken, pages, of: self, &written, in: memory)
        }
        return count
    }
}
