import PageTables

/// A format in whose leaves hardware records that their page was used or written, each record with one atomic update of the
/// entry's word.
///
/// Not those that record nothing in entries (s390x has storage keys), and not those whose entries are accessed in halves.
public protocol RecordingFormat: WritableFormat {}

extension X86LongMode: RecordingFormat {}
extension X86PAE: RecordingFormat {}
extension RISCV: RecordingFormat {}
extension PPC64Radix: RecordingFormat {}
extension ExtendedPageTable: RecordingFormat {}
extension RISCVGuestStage: RecordingFormat {}
/// Writes are recorded with FEAT_HAFDBS only: see `Arm64.hardwareDirty`.
extension Arm64: RecordingFormat {}

/// Leaves of one level without some of the flags that they record: what is between a leaf and the other is the same for all
/// leaves with the same attributes.
@usableFromInline
struct RecordClearing<Format: WritableFormat> {
    @usableFromInline
    let format: Format
    @usableFromInline
    let level: Level
    @usableFromInline
    let flags: EntryFlags
    @usableFromInline
    var attributeBits: UInt64 = 0
    @usableFromInline
    var known: (taken: EntryFlags, difference: UInt64)?

    @inlinable
    init(_ format: Format, _ level: Level, _ flags: EntryFlags) {
        self.format = format
        self.level = level
        self.flags = flags
    }

    /// Which of the flags a leaf has, and the leaf without them.
    @inlinable
    mutating func cleared(_ leaf: Entry) -> (taken: EntryFlags, rest: Entry) {
        let bits = format.attributeBits(of: leaf, at: level)
        if let known, bits == attributeBits { return (known.taken, Entry(leaf.rawValue ^ known.difference)) }
        let found = clearing(leaf)
        attributeBits = bits
        known = found
        return (found.taken, Entry(leaf.rawValue ^ found.difference))
    }

    @usableFromInline
    @inline(never)
    func clearing(_ leaf: Entry) -> (taken: EntryFlags, difference: UInt64) {
        var decoded = format.decode(leaf, at: level)
        let taken = decoded.attributes.flags.intersection(flags)
        decoded.attributes.flags.subtract(flags)
        return (taken, format.encode(decoded, at: level).rawValue ^ leaf.rawValue)
    }
}
