/// TCR_EL1: what it says about the two halves of the address space and about output addresses.
///
/// Arm Architecture Reference Manual for A-profile (DDI 0487), chapter "General system control registers", TCR_EL1.
public struct Arm64TranslationControl: Hashable, Sendable {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// What the register says about the addresses of one root.
    public struct Half: Hashable, Sendable {
        /// TxSZ: 64 minus the width of the addresses.
        public let sizeField: Int
        /// log2 of the bytes of the granule: 12, 14 or 16.
        public let log2GranuleBytes: Int
        /// EPDx: addresses of the half are not translated at all.
        public let disabled: Bool
        /// HPDx: table descriptors take no rights away.
        public let hierarchicalRightsDisabled: Bool
    }

    /// The half of TTBR0_EL1.
    public var lower: Half {
        Half(
            sizeField: field(0, 0x3f),
            // The value 3 is reserved; the architecture lets an implementation choose.
            log2GranuleBytes: [12, 16, 14, 12][field(14, 3)],
            disabled: field(7, 1) != 0, hierarchicalRightsDisabled: field(41, 1) != 0)
    }

    /// The half of TTBR1_EL1, whose granules are numbered in another way.
    public var upper: Half {
        Half(
            sizeField: field(16, 0x3f), log2GranuleBytes: [12, 14, 12, 16][field(30, 3)],
            disabled: field(23, 1) != 0, hierarchicalRightsDisabled: field(42, 1) != 0)
    }

    /// IPS: width of physical addresses.
    public var physicalAddressBits: Int { [32, 36, 40, 42, 44, 48, 52, 52][field(32, 7)] }

    /// DS: descriptors of 4 KiB and 16 KiB granules hold 52 address bits (FEAT_LPA2).
    public var wideDescriptors: Bool { field(59, 1) != 0 }

    /// HA and HD: the processor sets the access flag and makes pages with DBM writable.
    public var hardwareDirty: Bool { field(39, 3) == 3 }

    private func field(_ shift: UInt64, _ mask: UInt64) -> Int {
        Int(truncatingIfNeeded: rawValue &>> shift & mask)
    }
}

extension Arm64 {
    /// The format that TCR_EL1 describes, for either half whose granule is the type's.
    ///
    /// - Parameter memoryAttributes: MAIR_EL1, if it is known.
    public init(tcr: UInt64, memoryAttributes: UInt64? = nil, byteOrder: ByteOrder = .little) {
        let control = Arm64TranslationControl(tcr)
        let wide = Granule.log2Bytes == 16 ? control.physicalAddressBits == 52 : control.wideDescriptors
        self.init(
            wideAddresses: wide, physicalAddressBits: control.physicalAddressBits,
            hierarchicalRights: !(control.lower.hierarchicalRightsDisabled && control.upper.hierarchicalRightsDisabled),
            hardwareDirty: control.hardwareDirty, memoryAttributes: memoryAttributes, byteOrder: byteOrder)
    }
}
