import TableMemory
import VirtualMemory

/// What is different in one exploration of a scenario from the protocol as it should be: nothing, a rule that is not in
/// force, or a structure that is wrong.
public struct Variation: Sendable {
    public let rule: SafetyRule?
    let structure: any SpaceStructure.Type
    /// The rule's or the structure's name; `nil` if nothing is different.
    public let name: String?

    /// The protocol as it should be.
    public static var none: Variation { Variation(rule: nil, structure: SoundStructure.self, name: nil) }

    static func lifting(_ rule: SafetyRule) -> Variation {
        Variation(rule: rule, structure: SoundStructure.self, name: "\(rule.name)")
    }

    static func using(_ structure: any WrongStructure.Type) -> Variation {
        Variation(rule: nil, structure: structure, name: structure.name)
    }
}

/// A structure that was a mistake, to show what it leads to.
protocol WrongStructure: SpaceStructure {
    static var name: String { get }
    /// What it does, and where it was done.
    static var history: String { get }
}

extension WrongStructure {
    static var name: String {
        let name = "\(Self.self)"
        return name.prefix(1).lowercased() + name.dropFirst()
    }
}
