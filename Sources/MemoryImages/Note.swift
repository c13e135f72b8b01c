import PageTables

/// One note of a dump: what its producer says about the machine beside its memory.
public struct Note: Hashable, Sendable {
    /// Who defined the type: `CORE`, `LINUX`, `QEMU`, `VMCOREINFO`.
    public let name: String
    public let type: UInt32
    /// The description, in the byte order of the dump's own headers.
    public let bytes: [UInt8]

    public init(name: String, type: UInt32, bytes: [UInt8]) {
        self.name = name
        self.type = type
        self.bytes = bytes
    }

    /// An integer of the description.
    func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type = Value.self, at offset: Int, _ order: ByteOrder
    ) -> Value? {
        guard offset >= 0, offset <= bytes.count, MemoryLayout<Value>.size <= bytes.count - offset else { return nil }
        return bytes.withUnsafeBytes {
            Value(memory: $0.loadUnaligned(fromByteOffset: offset, as: Value.self), order)
        }
    }
}

extension Note {
    /// The most bytes of notes that are read: the notes of thousands of CPUs are some megabytes.
    static let limit: UInt64 = 64 << 20

    /// Reads notes one after the other. Name and description are padded to 4 bytes, in 64-bit files too (the kernel and
    /// QEMU write them so, whatever the ELF specification once said).
    ///
    /// A note that does not fit ends the reading with a warning.
    static func parse(
        _ bytes: [UInt8], _ order: ByteOrder, fileOffset: UInt64, _ warnings: inout ImageWarnings
    ) -> [Note] {
        var notes: [Note] = []
        var offset = 0
        while bytes.count - offset >= 12 {
            let header = offset
            func word(_ index: Int) -> UInt32 {
                bytes.withUnsafeBytes {
                    UInt32(memory: $0.loadUnaligned(fromByteOffset: header + 4 * index, as: UInt32.self), order)
                }
            }
            let nameBytes = Int(word(0))
            let descriptionBytes = Int(word(1))
            let type = word(2)
            offset += 12
            let place = fileOffset &+ UInt64(header)
            guard nameBytes <= bytes.count - offset else {
                warnings.add(
                    at: place, "note (n_namesz)", "points behind the end of the notes, which are ignored from here")
                break
            }
            let name = bytes[offset..<offset + nameBytes].prefix { $0 != 0 }
            offset = min(bytes.count, offset + (nameBytes + 3) & ~3)
            guard descriptionBytes <= bytes.count - offset else {
                warnings.add(
                    at: place, "note (n_descsz)", "points behind the end of the notes, which are ignored from here")
                break
            }
            let description = Array(bytes[offset..<offset + descriptionBytes])
            offset = min(bytes.count, offset + (descriptionBytes + 3) & ~3)
            // Kernels end the notes of a CPU with zeros.
            if nameBytes == 0 && descriptionBytes == 0 && type == 0 { continue }
            notes.append(Note(name: String(decoding: name, as: UTF8.self), type: type, bytes: description))
        }
        return notes
    }

    /// The inverse of reading.
    static func encode(_ notes: [Note], _ order: ByteOrder) -> [UInt8] {
        var result: [UInt8] = []
        for note in notes {
            let name = Array(note.name.utf8) + [0]
            result.append(UInt32(truncatingIfNeeded: name.count), order)
            result.append(UInt32(truncatingIfNeeded: note.bytes.count), order)
            result.append(note.type, order)
            for part in [name, note.bytes] {
                result += part
                while result.count % 4 != 0 { result.append(0) }
            }
        }
        return result
    }
}

extension [UInt8] {
    /// Appends the bytes of a number.
    mutating func append<Value: FixedWidthInteger>(_ value: Value, _ order: ByteOrder) {
        Swift.withUnsafeBytes(of: order == .little ? value.littleEndian : value.bigEndian) { append(contentsOf: $0) }
    }
}
