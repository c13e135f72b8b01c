/// A line of a source file or, where debug information does not tell it, a function.
struct SourcePlace: CustomStringConvertible {
    let module: String
    /// As `#fileID` says it, or empty.
    let fileID: String
    let line: UInt
    /// Empty if the line is known.
    let function: String

    init(fileID: String, line: UInt) {
        module = String(fileID.prefix { $0 != "/" })
        self.fileID = fileID
        self.line = line
        function = ""
    }

    /// Debug information names a file by its path. Its module is the folder below `Sources` or `Tests`, or else the folder that it
    /// is in. Nil: no line that anybody has written.
    init?(path: String, line: Int) {
        let parts = path.split(separator: "/")
        guard line > 0, let file = parts.last, !file.hasPrefix("<") else { return nil }
        let roots = parts.indices.dropLast(2).filter { parts[$0] == "Sources" || parts[$0] == "Tests" }
        let folder = roots.last.map { parts[$0 + 1] } ?? parts.dropLast().last
        self.init(fileID: folder.map { "\($0)/\(file)" } ?? "\(file)", line: UInt(line))
    }

    /// A function of a Swift module other than the standard library: a mangled name begins with the module's.
    init?(mangledName: String, name: String) {
        let rest = mangledName.dropFirst(2)
        let digits = rest.prefix { $0.isWholeNumber }
        guard mangledName.hasPrefix("$s"), let length = Int(digits), length <= rest.count - digits.count,
            !name.hasPrefix("protocol witness"), !name.hasPrefix("partial apply"), !name.hasPrefix("thunk")
        else { return nil }
        module = String(rest.dropFirst(digits.count).prefix(length))
        fileID = ""
        line = 0
        let mark = "specialized "
        let plain = name.hasPrefix(mark) ? name.dropFirst(mark.count) : name[...]
        // Without generic parameters.
        var depth = 0
        function = plain.reduce(into: "") { text, character in
            if character == "<" { depth += 1 }
            if depth == 0 { text.append(character) }
            if character == ">" { depth -= 1 }
        }
    }

    var description: String { fileID.isEmpty ? function : "\(fileID):\(line)" }
}
