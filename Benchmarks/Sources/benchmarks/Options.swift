/// What the command line says.
struct Options {
    var json = false
    var repetitions = 25
    var only: String?
    var pagewalk = ".build/release/pagewalk"
    var fixture = "Tests/Fixtures/x86_64-4level/pagetables.elf.zst"

    static let usage = """
        usage: benchmarks [--json] [--repetitions N] [--only TEXT] [--pagewalk PROGRAM] [--fixture IMAGE.zst]

          --json           one JSON object a line instead of a table
          --repetitions N  runs of each side; the least of them counts (25)
          --only TEXT      only benchmarks whose name contains TEXT
          --pagewalk PATH  the optimised program (.build/release/pagewalk)
          --fixture PATH   the capture of the whole-process figure, compressed with zstd
        """

    /// - Returns: `nil` where the arguments make no sense.
    init?(_ arguments: [String]) {
        var rest = arguments[...]
        while let option = rest.popFirst() {
            if option == "--json" {
                json = true
                continue
            }
            guard let value = rest.popFirst() else { return nil }
            switch option {
            case "--repetitions":
                guard let number = Int(value), number > 0 else { return nil }
                repetitions = number
            case "--only": only = value
            case "--pagewalk": pagewalk = value
            case "--fixture": fixture = value
            default: return nil
            }
        }
    }

    func wants(_ name: String) -> Bool { only.map { name.contains($0) } ?? true }
}
