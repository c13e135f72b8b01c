import PageTableWalk
import PageTables
import TableMemory

/// Why an address of an image has no translation.
public enum UnmappedReason: String, Sendable {
    case notPresent
    case malformed
    case outOfRange
    /// A table on the path is not in the image.
    case absentFromImage
    /// Linux considers the page present; the MMU would fault.
    case notHardwareValid
}

/// The answer for one address of an image.
public struct ImageTranslation: Sendable {
    public struct Page: Sendable {
        public let physical: PhysicalAddress
        public let pageSize: PageSize
        public let level: Level
        public let rights: Rights
    }

    public let address: VirtualAddress
    /// `nil` if the address is not mapped.
    public let page: Page?
    /// Why it is not.
    public let reason: UnmappedReason?
    /// The entries that were loaded, from the top; empty unless asked for.
    public let steps: [TranslationPath.Step]
}

extension AnyAddressSpace {
    /// Translates one address.
    public func translate(
        _ address: VirtualAddress, view: View, in contents: MemoryImage.Contents, steps: Bool = false
    ) -> ImageTranslation {
        switch contents {
        case .segments(let memory):
            ask(TranslateQuestion(memory: memory, address: address, view: view, keepsSteps: steps))
        case .kdump(let memory):
            ask(TranslateQuestion(memory: memory, address: address, view: view, keepsSteps: steps))
        }
    }

    /// Reads the tables below a range of addresses; tables that are not in the image are oddities of the survey.
    public func survey(
        _ range: VirtualRange = .all, view: View, in contents: MemoryImage.Contents,
        limits: SurveyLimits = SurveyLimits(), holes: Bool = false
    ) -> Survey {
        switch contents {
        case .segments(let memory):
            ask(SurveyQuestion(memory: memory, range: range, view: view, limits: limits, holes: holes))
        case .kdump(let memory):
            ask(SurveyQuestion(memory: memory, range: range, view: view, limits: limits, holes: holes))
        }
    }

    public func statistics(of survey: Survey) -> SurveyStatistics { ask(StatisticsQuestion(survey: survey)) }

    /// - Parameter kernel: `nil` for the part of the space that the format itself sets apart.
    public func audit(_ survey: Survey, kernel: VirtualRange? = nil) -> [AuditFinding] {
        ask(AuditQuestion(survey: survey, kernel: kernel ?? kernelHalf))
    }

    public var trees: [TableTree] { ask(TreesQuestion()) }

    /// What the format can express.
    public func notions(in view: View) -> FormatNotions { ask(NotionsQuestion(view: view)) }

    /// The names of the format's 256 memory-type numbers.
    public var memoryTypes: [MemoryType] { ask(MemoryTypesQuestion()) }

    /// Levels from the top one down to the leaf table: of the deeper tree where the two differ.
    public var levelCount: Int { (trees.map(\.topLevel.rawValue).max() ?? 0) + 1 }

    /// The addresses of the kernel: the upper tree, or Linux's default for 32-bit machines.
    public var kernelHalf: VirtualRange? {
        switch self {
        case .x86PAE, .x86TwoLevel, .armShort, .armLPAE:
            VirtualRange(first: VirtualAddress(0xc000_0000), last: VirtualAddress(0xffff_ffff))
        default: trees.count > 1 ? trees[1].range : nil
        }
    }

    /// The addresses that are not the kernel's; `nil` where the tree has only kernel addresses.
    public var userHalf: VirtualRange? {
        guard let lowest = trees.first?.range else { return nil }
        guard let kernel = kernelHalf else { return lowest }
        guard lowest.first < kernel.first else { return nil }
        return VirtualRange(
            first: lowest.first, last: min(lowest.last, VirtualAddress(kernel.first.rawValue - 1)))
    }
}

private struct TranslateQuestion<Memory: TableMemory & Sendable>: SpaceQuestion {
    let memory: Memory
    let address: VirtualAddress
    let view: View
    let keepsSteps: Bool

    func answer<Format: LinuxPageTableFormat>(_ space: AddressSpace<Format>) -> ImageTranslation {
        switch view {
        case .linux: return walk(space.linuxView)
        case .hardware:
            let answer = walk(space)
            // Only Linux's own reading knows what an invalid entry holds (on 32-bit arm it is in another table).
            guard answer.reason == .notPresent, walk(space.linuxView).page != nil else { return answer }
            return ImageTranslation(
                address: address, page: nil, reason: .notHardwareValid, steps: answer.steps)
        }
    }

    private func walk<Format: PageTableFormat>(_ space: AddressSpace<Format>) -> ImageTranslation {
        var path = TranslationPath()
        let result: Translation
        do throws(Memory.Failure) {
            if keepsSteps {
                result = try space.translate(address, in: memory, observer: &path)
            } else {
                result = try space.translate(address, in: memory)
            }
        } catch {
            return ImageTranslation(address: address, page: nil, reason: .absentFromImage, steps: path.steps)
        }
        switch result {
        case .mapped(let mapping):
            let size = space.format.leafSize(of: mapping.leaf, at: mapping.level)
            let page = ImageTranslation.Page(
                physical: mapping.physical, pageSize: size, level: mapping.level, rights: mapping.rights)
            return ImageTranslation(address: address, page: page, reason: nil, steps: path.steps)
        case .unmapped(let fault):
            let reason: UnmappedReason =
                switch fault.reason {
                case .notPresent: .notPresent
                case .malformed: .malformed
                case .outOfRange: .outOfRange
                }
            return ImageTranslation(address: address, page: nil, reason: reason, steps: path.steps)
        }
    }
}

private struct SurveyQuestion<Memory: TableMemory & Sendable>: SpaceQuestion {
    let memory: Memory
    let range: VirtualRange
    let view: View
    let limits: SurveyLimits
    let holes: Bool

    func answer<Format: LinuxPageTableFormat>(_ space: AddressSpace<Format>) -> Survey {
        switch view {
        case .hardware: survey(space)
        case .linux: survey(space.linuxView)
        }
    }

    private func survey<Format: PageTableFormat>(_ space: AddressSpace<Format>) -> Survey {
        do throws(Memory.Failure) {
            return try space.survey(range, in: memory, limits: limits, holes: holes)
        } catch {
            // Every failure of an image says that something is not there, which a survey notes and does not throw.
            return Survey()
        }
    }
}

private struct StatisticsQuestion: SpaceQuestion {
    let survey: Survey
    func answer<Format: LinuxPageTableFormat>(_ space: AddressSpace<Format>) -> SurveyStatistics {
        survey.statistics(of: space.format)
    }
}

private struct AuditQuestion: SpaceQuestion {
    let survey: Survey
    let kernel: VirtualRange?
    func answer<Format: LinuxPageTableFormat>(_ space: AddressSpace<Format>) -> [AuditFinding] {
        survey.audit(of: space.format, kernel: kernel)
    }
}

private struct TreesQuestion: SpaceQuestion {
    func answer<Format: LinuxPageTableFormat>(_ space: AddressSpace<Format>) -> [TableTree] { space.trees }
}

private struct NotionsQuestion: SpaceQuestion {
    let view: View
    func answer<Format: LinuxPageTableFormat>(_ space: AddressSpace<Format>) -> FormatNotions {
        view == .linux ? LinuxView<Format>.notions : Format.notions
    }
}

private struct MemoryTypesQuestion: SpaceQuestion {
    func answer<Format: LinuxPageTableFormat>(_ space: AddressSpace<Format>) -> [MemoryType] {
        (0...UInt8.max).map { space.format.memoryType($0) }
    }
}
