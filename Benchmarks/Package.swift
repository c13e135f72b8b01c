// swift-tools-version: 6.2
import PackageDescription

/// Benchmarks of the package above, each paired with the same loop in C in the same run. They are a package of their own
/// so that nobody who depends on Pagewalk builds them.
let package = Package(
    name: "pagewalk-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "swift-pagewalk", path: "..")],
    targets: [
        .target(name: "CReference"),
        .target(name: "CMeasure"),
        .executableTarget(
            name: "benchmarks",
            dependencies: [
                "CReference", "CMeasure",
                .product(name: "PageTables", package: "swift-pagewalk"),
                .product(name: "TableMemory", package: "swift-pagewalk"),
                .product(name: "PageTableWalk", package: "swift-pagewalk"),
                .product(name: "HostMemory", package: "swift-pagewalk"),
                .product(name: "VirtualMemory", package: "swift-pagewalk"),
            ]),
        .executableTarget(
            name: "interleaving-benchmarks",
            dependencies: [.product(name: "Interleaving", package: "swift-pagewalk")]),
    ],
    swiftLanguageModes: [.v6]
)
