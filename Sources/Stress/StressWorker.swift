import HostMemory
import PageTables
import TableMemory
import VirtualMemory

/// What all threads of a round share.
final class StressSpace<Format: StressFormat>: Sendable {
    let format: Format
    let areas: StressAreas<Format>
    let tags: PageTags<Format>
    let space: Space<Format>
    let files: [StressFile<Format>]
    let model = SpaceModel()
    let pins = PinRegistry()
    /// What some rounds have beside the threads.
    let guest: StressGuest<Format>?
    let mirror: DeviceMirror<StressDevice>?
    let takes = Guarded(TakeCounts())
    let log: ViolationLog

    init(
        _ areas: StressAreas<Format>, _ space: Space<Format>, _ files: [StressFile<Format>],
        _ guest: StressGuest<Format>?, _ mirror: DeviceMirror<StressDevice>?, _ log: ViolationLog
    ) {
        self.guest = guest
        self.mirror = mirror
        format = areas.format
        self.areas = areas
        tags = PageTags(format)
        self.space = space
        self.files = files
        self.log = log
    }

    var pageBytes: UInt64 { 1 << UInt64(format.log2FrameBytes) }

    /// The epoch of the file that is shown at an address; `nil` where none is.
    func fileEpoch(at address: UInt64) -> UInt64? {
        areas.area(address)?.file.map { files[$0.index].model.epoch }
    }
}

/// Pages that are pinned for some operations to come.
struct HeldPin {
    let address: UInt64
    let pin: Pin
    /// What the first words of some pages were when they were pinned.
    let words: [(place: Word<UInt64>, value: UInt64)]
    let access: PageAccess
    /// Of a page of a file: the epoch of the file before the page was pinned.
    let epoch: UInt64
}

/// One thread of a round: it does one random operation after the other, and compares what it finds with what should be.
final class StressWorker<Format: StressFormat, Memory: StressMemory> {
    let shared: StressSpace<Format>
    let memory: Memory
    let policy: ReclaimPolicy
    let thread: Int
    let threadCount: Int
    var random: SplitMix64
    var counts = StressCounts()
    var held: [HeldPin] = []
    /// What keeps translations for this thread, now and then.
    var processor: VirtualProcessor<Format, SoundStructure, Memory>?
    /// For each file and half of a page, what this thread wrote last.
    var writes: [[UInt64: FileWrite]]
    var writeNumber: UInt64 = 0
    /// A generation is of one thread.
    private var generations: UInt64 = 0
    /// Where this thread has mapped something, or said that faults are to, not long ago.
    private var recent: [(first: UInt64, last: UInt64)] = []
    private var recentCount = 0
    /// Pages that all threads of a round come back to, so that they meet.
    private let hot: [(area: StressArea, page: UInt64)]
    /// For messages.
    private(set) var operation: StaticString = ""

    static var heldLimit: Int { 24 }

    init(
        _ shared: StressSpace<Format>, _ memory: Memory, _ policy: ReclaimPolicy, thread: Int, threadCount: Int,
        _ random: SplitMix64, meetingBy common: SplitMix64
    ) {
        self.shared = shared
        self.memory = memory
        self.policy = policy
        self.thread = thread
        self.threadCount = threadCount
        self.random = random
        writes = shared.files.map { _ in [:] }
        var common = common
        hot = Self.meetingPlaces(shared.areas, &common)
    }

    /// Some pages of areas, and the same pages of files in all windows that show them.
    private static func meetingPlaces(
        _ areas: StressAreas<Format>, _ random: inout SplitMix64
    ) -> [(area: StressArea, page: UInt64)] {
        let ofFrames = areas.all.filter(\.hasFrames)
        var places = (0..<6).map { _ in
            let area = ofFrames[random.below(ofFrames.count)]
            return (area: area, page: random.below(area.pageCount))
        }
        for index in 0..<StressAreas<Format>.fileCount {
            let page = random.below(areas.filePages / 3)
            places += areas.all.filter { $0.file?.index == index }.map { (area: $0, page: page) }
        }
        return places
    }

    var space: Space<Format> { shared.space }
    var format: Format { shared.format }
    var model: SpaceModel { shared.model }

    /// Runs operations until so many are done, or `isOver` says so, which is asked now and then.
    func run(operations: Int, until isOver: () -> Bool) {
        space.use(in: memory)
        for number in 0..<operations {
            if number & 63 == 0, isOver() || shared.log.isFull { break }
            // When there is one more area, all threads want the space to be deep enough for it.
            if number % Self.areaOperations == 0 {
                named("grow") { grow(to: shared.areas.all[areaCount - 1]) }
            } else {
                perform()
            }
            counts.operations += 1
        }
        operation = "unpin"
        while let pin = held.popLast() { unpin(pin) }
        dismissProcessor()
        counts.retreats += memory.eventCount(.retreat)
        counts.tablesFreed += memory.eventCount(.tableFreed)
        counts.growths += memory.eventCount(.growth)
        counts.splits += memory.eventCount(.split)
        counts.faults += memory.eventCount(.fault)
    }

    private func perform() {
        switch random.below(184) {
        case 0..<13: named("map frames") { mapFrames() }
        case 13..<17: named("map device") { mapDevice() }
        case 17..<25: named("unmap") { unmap() }
        case 25..<29: named("protect") { protect() }
        case 29..<34: named("add region") { addRegion() }
        case 34..<36: named("replace") { replaceFrames() }
        case 36..<42: named("fault") { fault(likelyPage()) }
        case 42..<56: named("pin fast") { pinFastOnePage() }
        case 56..<64: named("pin fast range") { pinFastRange() }
        case 64..<73: named("pin") { pinRange() }
        case 73..<78: named("unpin") { unpinHeld() }
        case 78..<82: named("walk and split") { walkSplitting() }
        case 82..<87: named("translate") { translate() }
        case 87..<89: named("summary") { summarise() }
        case 89..<91: named("walk") { walk() }
        case 91..<94: named("translate locked") { translateLocked() }
        case 94..<98: named("move") { move() }
        case 98..<101: named("collapse") { collapse() }
        case 101..<103: named("retract") { retract() }
        case 103: named("file region") { addFileRegion() }
        case 104..<123: named("touch file") { touchFile(likelyPageOfFile()) }
        case 123..<126: named("write back") { writeBack() }
        case 126: named("resize") { resize() }
        case 127: named("reclaim pages") { reclaimPages() }
        case 128..<148: named("access") { useProcessor() }
        case 148..<158: named("guest") { useGuest() }
        case 158..<168: named("device") { useDevice() }
        case 168..<178: named("take records") { lookWhatWasWritten() }
        case 178..<182: named("walk") { walk(pausing: true) }
        default: named("grow") { grow(to: anyArea()) }
        }
    }

    private func named(_ name: StaticString, _ body: () -> Void) {
        operation = name
        body()
    }

    func violation(_ message: @autoclosure () -> String) {
        let name = operation
        shared.log.add("thread \(thread), operation \(counts.operations), \(name): \(message())")
    }

    func nextGeneration() -> UInt64 {
        generations += 1
        let number = generations &* UInt64(threadCount) &+ UInt64(thread)
        return 1 + number % (shared.tags.generationLimit - 2)
    }

    // MARK: addresses

    /// An area; those that need a deeper space only later, so that a space that grows does so now and then.
    func anyArea() -> StressArea {
        shared.areas.all[random.below(areaCount)]
    }

    private var areaCount: Int {
        min(shared.areas.all.count, shared.areas.initialCount + Int(counts.operations) / Self.areaOperations)
    }

    private static var areaOperations: Int { 200 }

    func anyFrameArea() -> StressArea {
        while true {
            let area = anyArea()
            if area.hasFrames { return area }
        }
    }

    /// A page of an area, those about its middle more often.
    func anyPage(of area: StressArea) -> UInt64 {
        let distance = random.small(area.pageCount / 2)
        let middle = area.pageCount / 2
        return random.once(in: 2) ? middle + distance : middle - 1 - distance
    }

    func address(_ page: UInt64, of area: StressArea) -> UInt64 {
        area.first &+ page << UInt64(format.log2FrameBytes)
    }

    /// All of an area.
    func wholeRange(_ area: StressArea) -> VirtualRange { range(area.first, address(area.pageCount, of: area) &- 1) }

    /// A page that can have a frame: one that others want as well, or any.
    func anyFramePage() -> (area: StressArea, page: UInt64) {
        if random.once(in: 3) {
            let place = hot[random.below(hot.count)]
            if place.area.hasFrames { return place }
        }
        let area = anyFrameArea()
        return (area, anyPage(of: area))
    }

    /// Some pages of an area.
    func anyPages(of area: StressArea, atMost limit: UInt64 = .max) -> (first: UInt64, last: UInt64) {
        let page = anyPage(of: area)
        let count = min(1 + random.small(area.pageCount), area.pageCount - page, limit)
        return (address(page, of: area), address(page + count, of: area) &- 1)
    }

    func remember(_ first: UInt64, _ last: UInt64) {
        if recent.count < 32 { recent.append((first, last)) } else { recent[recentCount % 32] = (first, last) }
        recentCount += 1
    }

    /// Some pages of an area, and most often some that were mapped not long ago: there is something to be found.
    func likelyPages(atMost limit: UInt64 = .max) -> (first: UInt64, last: UInt64) {
        if random.once(in: 3) {
            let (area, page) = hot[random.below(hot.count)]
            return (address(page, of: area), address(page + 1, of: area) &- 1)
        }
        guard !recent.isEmpty, random.below(4) > 0 else { return anyPages(of: anyArea(), atMost: limit) }
        let (first, last) = recent[random.below(recent.count)]
        let log2Page = UInt64(format.log2FrameBytes)
        let pages = (last - first) >> log2Page + 1
        let page = random.once(in: 2) ? 0 : random.small(pages)
        let count = min(1 + random.small(pages - page + 1), pages - page, limit)
        return (first + page << log2Page, first + ((page + count) << log2Page - 1))
    }

    /// The address of a page that may be mapped.
    func likelyPage() -> UInt64 { likelyPages(atMost: 1).first }

    /// The address of a page of a file.
    private func likelyPageOfFile() -> UInt64 {
        let files = hot.filter { $0.area.file != nil }
        let (area, page) = files[random.below(files.count)]
        return address(random.below(4) > 0 ? page : random.below(area.pageCount), of: area)
    }

    func range(_ first: UInt64, _ last: UInt64) -> VirtualRange {
        VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last))
    }

    func anyAccess() -> PageAccess { random.once(in: 2) ? .write : .read }

    func attributes(isWritable: Bool) -> EntryAttributes {
        format.attributes(isWritable ? [.read, .write] : [.read])
    }
}
