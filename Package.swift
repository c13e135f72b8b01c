// swift-tools-version: 6.2
import PackageDescription

/// Warnings are errors where the gate asks for it, never for somebody who only depends on the package.
let strict: [SwiftSetting] =
    Context.environment["PAGEWALK_STRICT"] != nil ? [.treatAllWarnings(as: .error)] : []

/// `PageTables` and `TableMemory` also compile as Embedded Swift, for kernels and hypervisors.
let embedded: [SwiftSetting] =
    Context.environment["PAGEWALK_EMBEDDED"] != nil
    ? [.enableExperimentalFeature("Embedded"), .unsafeFlags(["-wmo"])] : []

let package = Package(
    name: "swift-pagewalk",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "PageTables", targets: ["PageTables"]),
        .library(name: "TableMemory", targets: ["TableMemory"]),
        .library(name: "PageTableWalk", targets: ["PageTableWalk"]),
        .library(name: "VirtualMemory", targets: ["VirtualMemory"]),
        .library(name: "HostMemory", targets: ["HostMemory"]),
        .library(name: "Stress", targets: ["Stress"]),
        .library(name: "MemoryImages", targets: ["MemoryImages"]),
        .library(name: "Reports", targets: ["Reports"]),
        .library(name: "Interleaving", targets: ["Interleaving"]),
        .library(name: "ExploredMemory", targets: ["ExploredMemory"]),
        .library(name: "RaceScenarios", targets: ["RaceScenarios"]),
        .executable(name: "pagewalk", targets: ["pagewalk"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        .target(name: "PageTables", swiftSettings: strict + embedded),
        .target(name: "TableMemory", dependencies: ["PageTables"], swiftSettings: strict + embedded),
        .target(name: "PageTableWalk", dependencies: ["PageTables", "TableMemory"], swiftSettings: strict),
        .target(
            name: "VirtualMemory", dependencies: ["PageTables", "TableMemory", "PageTableWalk"],
            swiftSettings: strict),
        .target(name: "CHostAtomics"),
        .target(
            name: "HostMemory", dependencies: ["PageTables", "TableMemory", "CHostAtomics"], swiftSettings: strict),
        .target(
            name: "Stress",
            dependencies: ["PageTables", "TableMemory", "PageTableWalk", "VirtualMemory", "HostMemory"],
            swiftSettings: strict),
        .systemLibrary(
            name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
        .systemLibrary(
            name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
        .systemLibrary(name: "CLzo", pkgConfig: "lzo2", providers: [.apt(["liblzo2-dev"]), .brew(["lzo"])]),
        .systemLibrary(
            name: "CSnappy", pkgConfig: "snappy", providers: [.apt(["libsnappy-dev"]), .brew(["snappy"])]),
        .target(
            name: "MemoryImages",
            dependencies: ["PageTables", "TableMemory", "PageTableWalk", "CZlib", "CZstd", "CLzo", "CSnappy"],
            swiftSettings: strict),
        .target(
            name: "Reports",
            dependencies: [
                "PageTables", "TableMemory", "PageTableWalk", "VirtualMemory", "MemoryImages", "Interleaving",
                "RaceScenarios", "Stress",
            ],
            swiftSettings: strict),
        .target(name: "CFiber"),
        .target(name: "Interleaving", dependencies: ["CFiber"], swiftSettings: strict),
        .target(
            name: "ExploredMemory", dependencies: ["PageTables", "TableMemory", "Interleaving"], swiftSettings: strict),
        .target(
            name: "RaceScenarios",
            dependencies: [
                "PageTables", "TableMemory", "PageTableWalk", "VirtualMemory", "Interleaving", "ExploredMemory",
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "pagewalk",
            dependencies: [
                "PageTables", "TableMemory", "PageTableWalk", "MemoryImages", "Reports", "Interleaving",
                "RaceScenarios", "Stress", "HostMemory", "VirtualMemory",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .target(name: "SeededRandom", path: "Tests/SeededRandom", swiftSettings: strict),
        .testTarget(name: "PageTablesTests", dependencies: ["PageTables", "SeededRandom"], swiftSettings: strict),
        .testTarget(
            name: "PageTableWalkTests", dependencies: ["PageTables", "TableMemory", "PageTableWalk", "SeededRandom"],
            swiftSettings: strict),
        .testTarget(
            name: "HostMemoryTests", dependencies: ["PageTables", "TableMemory", "HostMemory"],
            exclude: ["Witnesses"], swiftSettings: strict),
        .testTarget(
            name: "MemoryImagesTests", dependencies: ["PageTables", "TableMemory", "PageTableWalk", "MemoryImages"],
            swiftSettings: strict),
        .testTarget(
            name: "GuestTests",
            dependencies: ["PageTables", "TableMemory", "PageTableWalk", "MemoryImages", "Reports"],
            swiftSettings: strict),
        .testTarget(
            name: "VirtualMemoryTests",
            dependencies: [
                "PageTables", "TableMemory", "PageTableWalk", "VirtualMemory", "HostMemory", "MemoryImages", "Reports",
                "SeededRandom",
            ],
            swiftSettings: strict),
        .target(name: "CKVM", path: "Tests/CKVM"),
        .testTarget(
            name: "HardwareTests",
            dependencies: [
                "PageTables", "TableMemory", "PageTableWalk", "VirtualMemory", "HostMemory", "SeededRandom", "CKVM",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "RaceScenariosTests",
            dependencies: ["TableMemory", "HostMemory", "Interleaving", "ExploredMemory", "RaceScenarios"],
            swiftSettings: strict),
        .testTarget(name: "InterleavingTests", dependencies: ["Interleaving"], swiftSettings: strict),
        .testTarget(name: "CommandLineTests", dependencies: ["pagewalk"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
