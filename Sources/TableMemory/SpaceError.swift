import PageTables

/// Why an operation of a live address space did not happen.
public enum SpaceError<Failure: Error>: Error {
    /// The memory itself failed: never on the host, "abandoned" where a checker unwinds a thread.
    case memory(Failure)
    /// There is no frame left, or failure was injected.
    case outOfMemory
    /// The range is not aligned to the pages it is to be mapped with, or reaches beyond what the format can translate.
    case invalidRange(VirtualRange)
    /// Something is mapped there already.
    case alreadyMapped(VirtualAddress)
    /// Nothing is mapped there, or no region is.
    case notMapped(VirtualAddress)
    /// The region forbids the access.
    case accessDenied(VirtualAddress)
    /// The attributes cannot be expressed by the format.
    case notExpressible(EncodingError)
}

extension SpaceError: Sendable where Failure: Sendable {}
