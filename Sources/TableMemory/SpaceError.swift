import PageTables

/// Why an operation of a live address space did not happen.
public enum SpaceError<Failure: Error>: Error {
    /// The memory itself failed: never on the host, "abandoned" where a checker unwinds a thread.
    case memory(Failure)
    /// The space refused; nothing has changed, unless the operation says otherwise.
    case refused(Refusal)
}

extension SpaceError: Sendable where Failure: Sendable {}

extension SpaceError {
    /// Runs what fails as the memory does and returns why it refuses, and throws either.
    @inlinable
    public static func throwing(_ body: () throws(Failure) -> Refusal?) throws(SpaceError) {
        let refusal: Refusal?
        do throws(Failure) { refusal = try body() } catch { throw .memory(error) }
        if let refusal { throw .refused(refusal) }
    }
}

/// Why a live address space refuses an operation.
public enum Refusal: Error, Hashable, Sendable {
    /// There is no frame left, or failure was injected.
    case outOfMemory
    /// The range is not of whole pages, its memory is not as aligned, or the format cannot translate it.
    case invalidRange(VirtualRange)
    /// Something is mapped there already, or a region is.
    case alreadyMapped(VirtualAddress)
    /// Nothing is mapped there, and no region says what should be.
    case notMapped(VirtualAddress)
    /// The mapping or its region forbids the access.
    case accessDenied(VirtualAddress)
    /// A shared region was to let somebody write to a file there, and what is behind the file cannot be written.
    case notWritable(VirtualAddress)
    /// The page is no frame that can be referenced: device memory.
    case notPinnable(VirtualAddress)
    /// The page is not mapped as its neighbours are, or somebody else refers to it: no large leaf can take their place.
    case notCollapsible(VirtualAddress)
    /// The page belongs to a file that has to know when it is written: a pin for writing may not be kept for long.
    case notLongTermPinnable(VirtualAddress)
    /// The file that is mapped there has ended before.
    case beyondEnd(VirtualAddress)
    /// What is behind the file could not be read: `CachedFile.readFailure(at:in:)` says why.
    case unreadable(VirtualAddress)
    /// The attributes cannot be expressed by the format.
    case notExpressible(EncodingError)
}
