import Foundation

guard let options = Options(Array(CommandLine.arguments.dropFirst())) else {
    FileHandle.standardError.write(Data((Options.usage + "\n").utf8))
    exit(2)
}

/// One translation at a time: call for call, and with both compilers free to inline.
func measureTranslations(_ name: String, leafTables: Int, addresses count: Int, _ options: Options) throws {
    guard options.wants("translate \(name), calls") || options.wants("translate \(name), inlined") else { return }
    let image = TableImage(leafTables: leafTables, runs: false)
    let addresses = image.addresses(count)
    let (space, memory, reference) = (image.space, image.memory, image.reference)
    let pairs = [
        Pair(
            name: "translate \(name), calls", unit: "translation", count: count,
            swift: { try translateCalls(addresses, space, memory) },
            c: { translateCallsInC(addresses, reference) }),
        Pair(
            name: "translate \(name), inlined", unit: "translation", count: count,
            swift: { try translateInlined(addresses, space, memory) },
            c: { translateInlinedInC(addresses, reference) }),
    ]
    try withExtendedLifetime(image) {
        for pair in pairs where options.wants(pair.name) {
            Output(json: options.json).show(try pair.run(repetitions: options.repetitions))
        }
    }
}

/// 1,048,576 dense entries that become runs: a plain walk, and a survey, which also keeps the runs and what it read.
func measureWalks(_ options: Options) throws {
    let image = TableImage(leafTables: 2048, runs: true)
    let (space, memory, reference) = (image.space, image.memory, image.reference)
    let pairs = [
        Pair(
            name: "walk 1,048,576 entries", unit: "entry", count: image.pageCount,
            swift: { try walkAll(space, memory) }, c: { walkAllInC(reference) }),
        Pair(
            name: "survey 1,048,576 entries", unit: "entry", count: image.pageCount,
            swift: { try surveyAll(space, memory) }, c: { surveyAllInC(reference) }),
    ]
    try withExtendedLifetime(image) {
        for pair in pairs where options.wants(pair.name) {
            Output(json: options.json).show(try pair.run(repetitions: options.repetitions))
        }
    }
}

/// The whole program: everything that a capture maps, to a file.
func measureDump(_ options: Options) throws {
    let name = "pagewalk dump --all-roots"
    guard options.wants(name) else { return }
    let files = FileManager.default
    for needed in [options.pagewalk, options.fixture] where !files.fileExists(atPath: needed) {
        FileHandle.standardError.write(Data("\(name): left out, because there is no \(needed)\n".utf8))
        return
    }
    let folder = files.temporaryDirectory.appendingPathComponent("pagewalk-benchmark-\(getpid())")
    try files.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? files.removeItem(at: folder) }
    let image = folder.appendingPathComponent("pagetables.elf").path
    _ = try processorTime(["zstd", "-q", "-d", "--long=31", options.fixture, "-o", image], output: nil)
    let description = options.fixture + ".json"
    if files.fileExists(atPath: description) { try files.copyItem(atPath: description, toPath: image + ".json") }
    Output(json: options.json).show(
        try measureProcess(
            name, [options.pagewalk, "dump", "--all-roots", image],
            output: folder.appendingPathComponent("dump.txt").path, repetitions: options.repetitions))
}

do {
    Output(json: options.json).title()
    try measureTranslations("272 KiB", leafTables: 65, addresses: 8192, options)
    try measureTranslations("128 MiB", leafTables: 32_702, addresses: 1 << 18, options)
    try measureTwoStages(options)
    try measureWalks(options)
    try measureTranslationsInSections(options)
    try measureSharedWords(options)
    try measureLiveSpaces(options)
    try measureProcessors(options)
    try measureTableFillings(options)
    try measureKernelMappings(options)
    try measureSharedFiles(options)
    try measureDump(options)
} catch {
    FileHandle.standardError.write(Data("benchmarks: \(error)\n".utf8))
    exit(1)
}
