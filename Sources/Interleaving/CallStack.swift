#if canImport(Runtime) && !canImport(Darwin)
    import Runtime
    import Synchronization
    #if canImport(Glibc)
        // The static Runtime needs it and does not say so.
        import Glibc
    #endif
#endif

// The Swift runtime's own unwinder and reader of line tables: no tool and no package, inlined frames included. It follows frame
// pointers, which fibers have as any thread has; their first frame has a zero one. On Darwin it needs an operating system that
// is newer than this package's: places that only a stack could tell are left out there.
//
// Finding the lines of one frame takes the runtime some milliseconds, in a large program without optimisation many, and it does whole
// backtraces only. So each frame is kept as a backtrace of its own, the first time that it is met, and looked up when somebody
// wants to know, once in a process.
//
// An inlinable function that the optimiser has compiled into another module has no lines there, only its name.

/// The return addresses of a fiber, innermost first.
struct CallStack {
    #if canImport(Runtime) && !canImport(Darwin)
        private let addresses: [Backtrace.Address]

        private struct Frame {
            let backtrace: Backtrace
            var places: [SourcePlace]?
        }
        private static let frames = Mutex<[Backtrace.Address: Frame]>([:])
        /// The code of the process, looked for once: the runtime reads the beginning of every mapping that has a name, and would
        /// do so in each capture. A file that another thread unmaps meanwhile would be the end of the process.
        private static let images = ImageMap.capture()

        /// The stack of the running fiber.
        @inline(never)
        init() {
            // Without the frame of this function: it is at another line in each of the captures.
            let whole = try? Backtrace.capture(algorithm: .fast, limit: 64, offset: 1, top: 0, images: Self.images)
            addresses = (whole?.frames).map { $0.compactMap(Self.returnAddress) } ?? []
            for (depth, address) in addresses.enumerated() where Self.frames.withLock({ $0[address] == nil }) {
                // A limit of one would leave nothing but the mark that there is more.
                let one = try? Backtrace.capture(
                    algorithm: .fast, limit: 2, offset: depth + 1, top: 0, images: Self.images)
                guard let one, one.frames.contains(where: { Self.returnAddress($0) == address }) else { continue }
                Self.frames.withLock { $0[address] = Frame(backtrace: one) }
            }
        }

        private static func returnAddress(_ frame: Backtrace.Frame) -> Backtrace.Address? {
            if case .returnAddress(let address) = frame { address } else { nil }
        }

        /// The lines at an address: several, innermost first, if functions are inlined there. Without lines the function.
        private static func places(at address: Backtrace.Address) -> [SourcePlace] {
            frames.withLock { frames in
                guard let frame = frames[address] else { return [] }
                if let places = frame.places { return places }
                let found = frame.backtrace.symbolicated(options: [
                    .showInlineFrames, .showSourceLocations, .useSymbolCache,
                ])
                let symbols = (found?.frames ?? []).filter { returnAddress($0.captured) == address }.compactMap(
                    \.symbol)
                var places = symbols.compactMap { symbol in
                    symbol.sourceLocation.flatMap { SourcePlace(path: $0.path, line: $0.line) }
                }
                if places.isEmpty, let symbol = symbols.last, !symbol.isSwiftThunk,
                    let function = SourcePlace(mangledName: symbol.rawName, name: symbol.name)
                {
                    places = [function]
                }
                frames[address]?.places = places
                return places
            }
        }

        private var places: some Sequence<SourcePlace> { addresses.lazy.flatMap(Self.places(at:)) }
    #else
        private var places: [SourcePlace] { [] }
    #endif

    /// The innermost place outside this module and `modules`. If there is none, that of the last of `modules` which has one.
    func caller(past modules: [String]) -> SourcePlace? {
        var passed: [SourcePlace] = []
        for place in places where place.module != "Interleaving" && place.module != "CFiber" {
            if !modules.contains(place.module) { return place }
            passed.append(place)
        }
        for module in modules.reversed() {
            if let place = passed.first(where: { $0.module == module }) { return place }
        }
        return nil
    }
}
