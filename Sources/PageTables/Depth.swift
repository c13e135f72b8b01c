/// How many levels a family of formats has, as a type: a walker is compiled for it.
public protocol Depth: Sendable {
    static var topLevel: Level { get }
}

public enum ThreeLevels: Depth {
    @inlinable
    public static var topLevel: Level { Level(2) }
}

public enum FourLevels: Depth {
    @inlinable
    public static var topLevel: Level { Level(3) }
}

public enum FiveLevels: Depth {
    @inlinable
    public static var topLevel: Level { Level(4) }
}
