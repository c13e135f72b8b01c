import ArgumentParser
import MemoryImages
import PageTables

/// Which part of an address space.
struct AddressRangeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Only addresses A ..< B.", valueName: "A-B"))
    var range: String?

    @Flag(help: "Only addresses of user space.")
    var user = false

    @Flag(help: "Only addresses of the kernel.")
    var kernel = false

    func validate() throws {
        if user && kernel { throw ValidationError("--user and --kernel exclude each other") }
    }

    /// The part of a space that is asked for; `nil` if the space has no such part.
    func part(of space: AnyAddressSpace) throws -> VirtualRange? {
        var part: VirtualRange? = .all
        if user { part = space.userHalf }
        if kernel { part = space.kernelHalf }
        guard let range else { return part }
        let ends = range.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2 else { throw InputError("--range \(range): expected A-B") }
        let first = try address(ends[0], "--range")
        let last: UInt64
        if ends[1] == "0x10000000000000000" || ends[1] == "10000000000000000" {
            last = .max
        } else {
            let end = try address(ends[1], "--range")
            guard end > first else { throw InputError("--range \(range): ends before it starts") }
            last = end - 1
        }
        return part?.intersection(VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last)))
    }
}
