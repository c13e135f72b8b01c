import ArgumentParser
import MemoryImages
import PageTables
import Reports

struct Translate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Translates virtual addresses.",
        discussion: """
            Addresses are hexadecimal, with or without 0x, and are read from standard input, one a line, if none is given. There \
            is one answer per address, in order.

            Examples:
              pagewalk translate vmcore --root cpu0 0x400000 0xffffffff81000000
              pagewalk translate vmcore --root cpu0 --steps --view linux 0x400000
              pagewalk translate vmcore --root cpu0 --json < addresses.txt
            """)

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var viewOptions: ViewOptions
    @OptionGroup var jsonOptions: JSONOptions

    @Flag(help: "Show the entry of each level.")
    var steps = false

    @Argument(help: "Virtual addresses.")
    var addresses: [String] = []

    func run() throws {
        let inspected = try imageOptions.open()
        let openingWarnings = inspected.image.warnings.count
        let root = try inspected.select(rootOptions)
        // Read once: an option's wrapper costs more than a translation.
        let (view, json, steps) = (viewOptions.view, jsonOptions.json, steps)
        let report = TranslationReport(of: root.space, view: view, style: StandardOutput.style)
        var buffer = ReportBuffer()
        func answer(_ value: UInt64?, _ text: @autoclosure () -> String, _ what: @autoclosure () -> String) throws {
            guard let value else {
                StandardOutput.write(&buffer)
                throw InputError("\(what()): '\(text())' is not a hexadecimal address of at most 64 bits")
            }
            let translation = root.space.translate(
                VirtualAddress(value), view: view, in: inspected.image.contents, steps: steps)
            if json {
                report.appendJSON(translation, withSteps: steps, to: &buffer)
            } else {
                report.appendText(translation, to: &buffer)
            }
            StandardOutput.flushIfLarge(&buffer)
        }
        if addresses.isEmpty {
            var input = StandardInput()
            var number = 0
            while let line = input.nextLine() {
                number += 1
                let isSpace = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == 13 }
                let text = line.drop(while: isSpace)
                guard let last = text.lastIndex(where: { !isSpace($0) }) else { continue }
                let word = text[...last]
                try answer(
                    UInt64(hexadecimalBytes: word), String(decoding: word.prefix(40), as: UTF8.self),
                    "standard input, line \(number)")
            }
        } else {
            for text in addresses { try answer(UInt64(hexadecimal: text), text, "address") }
        }
        StandardOutput.write(&buffer)
        try inspected.finish(openingWarnings: openingWarnings)
    }
}
