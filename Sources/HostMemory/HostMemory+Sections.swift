import TableMemory

extension HostMemory {
    @inlinable
    public var processor: ProcessorNumber { ProcessorNumber(slot.number) }

    @inlinable
    @inline(__always)
    public func blockInterrupts() { slot.enter(.interruptsBlocked, shared) }

    @inlinable
    @inline(__always)
    public func unblockInterrupts() { slot.leave(.interruptsBlocked) }

    @inlinable
    @inline(__always)
    public func enterRCU() { slot.enter(.reader, shared) }

    @inlinable
    @inline(__always)
    public func leaveRCU() { slot.leave(.reader) }

    /// Waits for sections of the processors in which interrupts are blocked, and for no others. Processors that are not
    /// attached have none.
    public func interrupt(_ processors: ProcessorSet) {
        precondition(!slot.isInside(.interruptsBlocked), "a processor that blocks interrupts waits for interrupts")
        owner._withUnsafeGuaranteedRef { all in
            let epoch = all.advance()
            all.waitForSections(.interruptsBlocked, of: processors, before: epoch)
        }
    }

    public func synchronize() {
        precondition(
            !slot.isInside(.interruptsBlocked) && !slot.isInside(.reader),
            "a processor waits for a grace period inside a section")
        owner._withUnsafeGuaranteedRef { all in
            let epoch = all.advance()
            all.waitForSections(.interruptsBlocked, of: .all, before: epoch)
            all.waitForSections(.reader, of: .all, before: epoch)
        }
    }

    /// The barriers of the period are done when it has begun; asking about its end only looks.
    public func startGracePeriod() -> GracePeriod { GracePeriod(owner._withUnsafeGuaranteedRef { $0.advance() }) }

    public func isOver(_ period: GracePeriod) -> Bool {
        owner._withUnsafeGuaranteedRef { $0.sectionsAreOver(before: period.rawValue) }
    }
}
