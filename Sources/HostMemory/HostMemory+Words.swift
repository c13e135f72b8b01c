import CHostAtomics
import PageTables
import TableMemory

// Each operation is one function of `CHostAtomics`; that of the width is chosen when the generic function is specialised, that
// of the ordering where it is a constant.

extension LoadOrdering {
    @inlinable
    @inline(__always)
    var acquires: Bool { self == .acquire }
}

extension StoreOrdering {
    @inlinable
    @inline(__always)
    var releases: Bool { self == .release }
}

extension UpdateOrdering {
    @inlinable
    @inline(__always)
    var onHost: host_ordering {
        switch self {
        case .relaxed: host_relaxed
        case .acquire: host_acquire
        case .release: host_release
        case .acquireRelease: host_acquire_release
        case .full: host_full
        }
    }
}

extension HostMemory {
    @inlinable
    @inline(__always)
    func pointer64(_ address: PhysicalAddress) -> UnsafeMutablePointer<UInt64> {
        pointer(address, bytes: 8).assumingMemoryBound(to: UInt64.self)
    }

    @inlinable
    @inline(__always)
    func pointer32(_ address: PhysicalAddress) -> UnsafeMutablePointer<UInt32> {
        pointer(address, bytes: 4).assumingMemoryBound(to: UInt32.self)
    }

    @inlinable
    @inline(__always)
    public func load<Value: WordValue>(_ word: Word<Value>, _ ordering: LoadOrdering) -> Value {
        if MemoryLayout<Value>.size == 8 {
            let place = pointer64(word.address)
            return Value(
                truncatingIfNeeded: ordering.acquires ? host_load_acquire64(place) : host_load_relaxed64(place))
        } else {
            let place = pointer32(word.address)
            return Value(
                truncatingIfNeeded: ordering.acquires ? host_load_acquire32(place) : host_load_relaxed32(place))
        }
    }

    @inlinable
    @inline(__always)
    public func loadPlain<Value: WordValue>(_ word: Word<Value>) -> Value { load(word, .relaxed) }

    @inlinable
    @inline(__always)
    public func store<Value: WordValue>(_ value: Value, to word: Word<Value>, _ ordering: StoreOrdering) {
        if MemoryLayout<Value>.size == 8 {
            let (place, value) = (pointer64(word.address), UInt64(truncatingIfNeeded: value))
            if ordering.releases { host_store_release64(place, value) } else { host_store_relaxed64(place, value) }
        } else {
            let (place, value) = (pointer32(word.address), UInt32(truncatingIfNeeded: value))
            if ordering.releases { host_store_release32(place, value) } else { host_store_relaxed32(place, value) }
        }
    }

    @inlinable
    @inline(__always)
    public func compareExchange<Value: WordValue>(
        _ word: Word<Value>, expected: Value, desired: Value, _ ordering: UpdateOrdering
    ) -> Exchange<Value> {
        if MemoryLayout<Value>.size == 8 {
            var seen = UInt64(truncatingIfNeeded: expected)
            let isExchanged = host_compare_exchange64(
                pointer64(word.address), &seen, UInt64(truncatingIfNeeded: desired), ordering.onHost)
            return Exchange(isExchanged: isExchanged, original: Value(truncatingIfNeeded: seen))
        } else {
            var seen = UInt32(truncatingIfNeeded: expected)
            let isExchanged = host_compare_exchange32(
                pointer32(word.address), &seen, UInt32(truncatingIfNeeded: desired), ordering.onHost)
            return Exchange(isExchanged: isExchanged, original: Value(truncatingIfNeeded: seen))
        }
    }

    @inlinable
    @inline(__always)
    public func exchange<Value: WordValue>(
        _ word: Word<Value>, with value: Value, _ ordering: UpdateOrdering
    ) -> Value {
        if MemoryLayout<Value>.size == 8 {
            Value(
                truncatingIfNeeded: host_exchange64(
                    pointer64(word.address), UInt64(truncatingIfNeeded: value), ordering.onHost))
        } else {
            Value(
                truncatingIfNeeded: host_exchange32(
                    pointer32(word.address), UInt32(truncatingIfNeeded: value), ordering.onHost))
        }
    }

    @inlinable
    @inline(__always)
    public func add<Value: WordValue>(_ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering) -> Value {
        if MemoryLayout<Value>.size == 8 {
            Value(
                truncatingIfNeeded: host_add64(
                    pointer64(word.address), UInt64(truncatingIfNeeded: delta), ordering.onHost))
        } else {
            Value(
                truncatingIfNeeded: host_add32(
                    pointer32(word.address), UInt32(truncatingIfNeeded: delta), ordering.onHost))
        }
    }

    @inlinable
    @inline(__always)
    public func addIfPositive<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) -> Value? {
        if MemoryLayout<Value>.size == 8 {
            let seen = host_add_if_positive64(
                pointer64(word.address), UInt64(truncatingIfNeeded: delta), ordering.onHost)
            return seen == 0 ? nil : Value(truncatingIfNeeded: seen)
        } else {
            let seen = host_add_if_positive32(
                pointer32(word.address), UInt32(truncatingIfNeeded: delta), ordering.onHost)
            return seen == 0 ? nil : Value(truncatingIfNeeded: seen)
        }
    }

    @inlinable
    @inline(__always)
    public func update<Value: WordValue>(
        _ word: Word<Value>, clearing mask: Value, setting bits: Value, _ ordering: UpdateOrdering
    ) -> Value {
        if MemoryLayout<Value>.size == 8 {
            Value(
                truncatingIfNeeded: host_update64(
                    pointer64(word.address), UInt64(truncatingIfNeeded: mask), UInt64(truncatingIfNeeded: bits),
                    ordering.onHost))
        } else {
            Value(
                truncatingIfNeeded: host_update32(
                    pointer32(word.address), UInt32(truncatingIfNeeded: mask), UInt32(truncatingIfNeeded: bits),
                    ordering.onHost))
        }
    }

    @inlinable
    @inline(__always)
    public func fence(_ ordering: FenceOrdering) {
        switch ordering {
        case .acquire: host_fence_acquire()
        case .release: host_fence_release()
        case .full: host_fence_full()
        }
    }

    /// Spins for a moment, and then lets other threads run in between.
    @inlinable
    public func wait<Value: WordValue>(for word: Word<Value>, until condition: (Value) -> Bool) -> Value {
        let first = load(word, .acquire)
        if condition(first) { return first }
        var backoff = Backoff()
        while true {
            backoff.pause()
            let value = load(word, .acquire)
            if condition(value) { return value }
        }
    }
}
