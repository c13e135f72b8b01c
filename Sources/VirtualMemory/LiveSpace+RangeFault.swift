import PageTableWalk
import PageTables
import TableMemory

// What a device wants to know of a range, with faults where it wants pages that are not there (after Linux's hmm_range_fault,
// v6.19). With the space's lock held for reading:
//
//   1. Walk on from the first page without an answer, in an RCU section: others fault, split and take tables back.
//                                                                                                     [blockTableFreeing]
//   2. A page that is as it is wanted, or of which nothing is wanted, has its answer. Another one ends the walk.
//   3. A page that is to be written, and whose leaf allows it but does not say that it was written, is recorded as written:
//      a device leaves no trace of its own in entries.                         (`LiveSpace+RecordWrite`)
//      For any other there is a fault. Then go on with step 1.
//
// An answer is final when it is there. It was true at some moment of the call, and is of use only as long as no invalidation
// has begun since before the call (`MirrorReading`): the reader's lock keeps writers away, but not the faults that copy a page,
// nor those who take rights away with the lock held for reading (`LiveSpace+DirtyRecord`).
//
// Linux maps all pages of a hole if it has to map one of them; here no page is mapped that is not wanted.

extension LiveSpace {
    /// Looks what a space has at a range, and maps what is wanted and not there.
    ///
    /// - Parameter reading: Since when the answer is to hold; it ends early when it cannot any more.
    /// - Returns: An answer for each page from the first on, to the end or to the first that is refused: with `.notMapped` or
    ///   `.accessDenied`, `.notPinnable` for memory that is no frame, and what faults refuse.
    /// - Precondition: The caller is in no section. The pages of the request are as large as the format's.
    /// - Complexity: The pages of the range, and a walk from the root for each that has to be mapped.
    public func faultRange<Memory: SharedMemory>(
        _ request: RangeRequest, validSince reading: MirrorReading? = nil, lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> RangeAnswer {
        precondition(request.log2PageBytes == format.log2FrameBytes, "pages of a request are as large as the format's")
        let memory = lock.memory
        var look = RangeLook(self, request)
        if Format.leavesSayWritten { look.recordsWrites = memory.enforces(.recordWriteBeforeDevice) }
        while true {
            if let reading, try reading.isStale(in: memory) {
                look.answer.end = .stale
                return look.answer
            }
            try memory.withRCUReader { (section) throws(Memory.Failure) in
                let rest = VirtualRange(first: look.next, last: request.range.last)
                if try view(in: section).walk(rest, in: section, visitor: &look) { look.finish() }
            }
            switch look.obstacle {
            case nil: return look.answer
            case .refusal(let refusal):
                look.answer.end = .refused(refusal)
                return look.answer
            case .record: try recordWrite(at: look.next, in: memory)
            case .fault(let access):
                if let refusal = try fault(look.next, .access(access), lock) {
                    look.answer.end = .refused(refusal)
                    return look.answer
                }
            }
            look.obstacle = nil
        }
    }
}

/// The answers of a range so far, and what is in the way of the next one.
private struct RangeLook<Format: WritableFormat>: PageWalkVisitor {
    enum Obstacle {
        case fault(PageAccess)
        /// The write to a page is to be recorded in its leaf.
        case record
        case refusal(Refusal)
    }

    let format: Format
    let request: RangeRequest
    let map: FrameMap
    let regions: RegionMap
    var recordsWrites = false
    var answer = RangeAnswer()
    /// The first address without an answer; of no meaning when all have one.
    var next: VirtualAddress
    var obstacle: Obstacle?

    init<Structure: SpaceStructure>(_ space: LiveSpace<Format, Structure>, _ request: RangeRequest) {
        format = space.format
        self.request = request
        map = space.map
        regions = space.regions
        next = request.range.first
        answer.pages.reserveCapacity(request.demands.count)
    }

    private var demand: PageDemand { request.demand(answer.pages.count) }

    private mutating func append(_ page: RangePage) {
        answer.pages.append(page)
        next = VirtualAddress(next.rawValue &+ (1 &<< UInt64(request.log2PageBytes)))
    }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        if !skip(to: first) { return .stop }
        let level = visit.level
        let rights = format.effectiveRights(visit.rights.intersection(format.rights(of: entry, at: level)))
        let isRecorded = !recordsWrites || format.attributes(of: entry, at: level).flags.contains(.dirty)
        let size = format.leafSize(of: entry, at: level)
        while true {
            let access = demand.access
            let physical = format.physical(of: entry, at: level, for: next)
            if let access, !access.isAllowed(by: rights) {
                obstacle = .fault(access)
            } else if map.frame(of: physical) == nil {
                if access != nil { obstacle = .refusal(.notPinnable(next)) }
            } else if access == .write, !isRecorded {
                obstacle = .record
            }
            if obstacle != nil { return .stop }
            let isPossible = (rights.canRead || access != nil) && map.frame(of: physical) != nil
            let isLast = next.rawValue | (1 &<< UInt64(request.log2PageBytes) &- 1) == last.rawValue
            append(
                isPossible
                    ? .mapped(
                        MirroredPage(physical: physical, isWritable: rights.canWrite && isRecorded, leafSize: size))
                    : .impossible)
            if isLast { return .proceed }
        }
    }

    mutating func hole(
        first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit
    ) -> WalkAction { skip(to: first) && answerHole(to: last) ? .proceed : .stop }

    /// What no callback was about maps nothing.
    private mutating func skip(to address: VirtualAddress) -> Bool {
        next < address ? answerHole(to: VirtualAddress(address.rawValue - 1)) : true
    }

    /// - Returns: False if a page is wanted.
    private mutating func answerHole(to last: VirtualAddress) -> Bool {
        while true {
            if let access = demand.access {
                obstacle = .fault(access)
                return false
            }
            let rights = regions.region(at: next)?.attributes.rights ?? []
            let isLast = next.rawValue | (1 &<< UInt64(request.log2PageBytes) &- 1) == last.rawValue
            append(format.effectiveRights(rights).canRead ? .unmapped : .impossible)
            if isLast { return true }
        }
    }

    /// The walk is over.
    mutating func finish() {
        if answer.pages.count < request.pageCount { _ = answerHole(to: request.range.last) }
    }
}
