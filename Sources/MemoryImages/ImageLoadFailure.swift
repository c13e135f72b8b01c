import PageTables

/// Why a load from an image has no answer. Neither ends a walk: an image is a part of memory at best.
public enum ImageLoadFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The image does not have this address.
    case absent(PhysicalAddress)
    /// The image has a page with this address, but what is stored for it at this offset of the file cannot be read.
    case corrupt(PhysicalAddress, fileOffset: UInt64)

    /// The first address that could not be loaded.
    public var address: PhysicalAddress {
        switch self {
        case .absent(let address), .corrupt(let address, _): address
        }
    }

    public var description: String {
        switch self {
        case .absent(let address): "physical address \(address) is not in the image"
        case .corrupt(let address, let offset):
            "physical address \(address): the page stored at offset \(hexadecimal(offset)) is corrupt"
        }
    }
}
