import Foundation
import MemoryImages
import PageTableWalk
import PageTables

extension GuestOracles {
    /// `info tlb` of x86: every mapping that there is, entry for entry in both directions, with the flags of the leaf.
    func monitorEntries(cpu: Int) throws -> Verdict {
        var verdict = Verdict()
        guard let root = root(ofCPU: cpu) else {
            verdict.disagree("no root for cpu \(cpu)")
            return verdict
        }
        var expected: [UInt64: (physical: UInt64, flags: Substring)] = [:]
        for line in try capture.lines("info-tlb-cpu\(cpu).txt") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == ":" })
            guard words.count == 3, let address = UInt64(words[0], radix: 16), let place = UInt64(words[1], radix: 16)
            else { continue }
            // The monitor prints the no-execute bit of PAE entries as part of the address.
            expected[address] = (place & ~(1 << 63), words[2])
        }
        let survey = root.space.survey(view: .hardware, in: inspected.image.contents)
        for range in survey.ranges {
            var offset: UInt64 = 0
            while offset <= range.lastOffset {
                let address = range.first.rawValue &+ offset
                let place = range.physical.rawValue + offset
                if let entry = expected.removeValue(forKey: address) {
                    let flags = range.attributes.flags
                    let agrees =
                        entry.physical == place && entry.flags.contains("P") == (range.pageSize.log2Bytes > 12)
                        && entry.flags.contains("A") == flags.contains(.accessed)
                        && entry.flags.contains("D") == flags.contains(.dirty)
                        && entry.flags.contains("G") == flags.contains(.global)
                        && (entry.flags.contains("W") || !range.attributes.rights.canWrite)
                        && (entry.flags.contains("U") || !range.attributes.rights.isUser)
                    if agrees {
                        verdict.agreed += 1
                    } else {
                        verdict.disagree("cpu \(cpu) \(hexadecimal(address)): \(range), the monitor says \(entry)")
                    }
                } else {
                    verdict.disagree("cpu \(cpu) \(hexadecimal(address)) is mapped, and the monitor does not list it")
                }
                offset += range.pageSize.bytes
            }
        }
        for (address, entry) in expected {
            verdict.disagree("cpu \(cpu) \(hexadecimal(address)) is not mapped, the monitor says \(entry)")
        }
        return verdict
    }

    /// `info mem` of riscv: every mapping that there is, page by page in both directions, with rights and flags. The monitor
    /// does not decode NAPOT, so the pages of such runs are compared by address only.
    func monitorRanges(cpu: Int) throws -> Verdict {
        var verdict = Verdict()
        guard let root = root(ofCPU: cpu) else {
            verdict.disagree("no root for cpu \(cpu)")
            return verdict
        }
        var expected: [UInt64: (physical: UInt64, flags: Substring)] = [:]
        for line in try capture.lines("info-mem-cpu\(cpu).txt") {
            let words = line.split(separator: " ")
            guard words.count == 4, let address = UInt64(words[0], radix: 16), let place = UInt64(words[1], radix: 16),
                let bytes = UInt64(words[2], radix: 16)
            else { continue }
            for offset in stride(from: 0 as UInt64, to: bytes, by: 4096) {
                // The monitor prints the memory-type bits of entries as part of the address.
                expected[address &+ offset] = (place & (1 << 56 - 1) + offset, words[3])
            }
        }
        let survey = root.space.survey(view: .hardware, in: inspected.image.contents)
        for range in survey.ranges {
            for offset in stride(from: 0 as UInt64, through: range.lastOffset, by: 4096) {
                let address = range.first.rawValue &+ offset
                guard let entry = expected.removeValue(forKey: address) else {
                    verdict.disagree("cpu \(cpu) \(hexadecimal(address)) is mapped, and the monitor does not list it")
                    continue
                }
                let attributes = range.attributes
                let flags =
                    (attributes.rights.canRead ? "r" : "-") + (attributes.rights.canWrite ? "w" : "-")
                    + (attributes.rights.canExecute ? "x" : "-") + (attributes.rights.isUser ? "u" : "-")
                    + (attributes.flags.contains(.global) ? "g" : "-")
                    + (attributes.flags.contains(.accessed) ? "a" : "-")
                    + (attributes.flags.contains(.dirty) ? "d" : "-")
                let isRun = range.pageSize.bytes == 65536
                if flags == entry.flags && (isRun || entry.physical == range.physical.rawValue + offset) {
                    verdict.agreed += 1
                } else {
                    verdict.disagree("cpu \(cpu) \(hexadecimal(address)): \(range) \(flags), the monitor says \(entry)")
                }
            }
        }
        for (address, entry) in expected {
            verdict.disagree("cpu \(cpu) \(hexadecimal(address)) is not mapped, the monitor says \(entry)")
        }
        return verdict
    }

    /// `info mem` of x86: the rights along the path, page by page in both directions.
    func monitorRights(cpu: Int) throws -> Verdict {
        var verdict = Verdict()
        guard let root = root(ofCPU: cpu) else {
            verdict.disagree("no root for cpu \(cpu)")
            return verdict
        }
        var expected: [UInt64: Substring] = [:]
        for line in try capture.lines("info-mem-cpu\(cpu).txt") {
            let words = line.split(separator: " ")
            guard words.count == 3 else { continue }
            let ends = words[0].split(separator: "-")
            guard ends.count == 2, let first = UInt64(ends[0], radix: 16), let bytes = UInt64(words[1], radix: 16)
            else {
                continue
            }
            for offset in stride(from: 0 as UInt64, to: bytes, by: 4096) { expected[first &+ offset] = words[2] }
        }
        let survey = root.space.survey(view: .hardware, in: inspected.image.contents)
        for range in survey.ranges {
            let rights = range.attributes.rights
            let text = (rights.isUser ? "u" : "-") + "r" + (rights.canWrite ? "w" : "-")
            for offset in stride(from: 0 as UInt64, through: range.lastOffset, by: 4096) {
                let address = range.first.rawValue &+ offset
                let said = expected.removeValue(forKey: address)
                if said == text[...] {
                    verdict.agreed += 1
                } else {
                    verdict.disagree(
                        "cpu \(cpu) \(hexadecimal(address)): \(text), the monitor says \(said ?? "nothing")")
                }
            }
        }
        for address in expected.keys { verdict.disagree("cpu \(cpu) \(hexadecimal(address)) is not mapped") }
        return verdict
    }
}
