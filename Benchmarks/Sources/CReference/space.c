#include "space.h"

#include <string.h>

#define NOINLINE __attribute__((noinline))
#define ADDRESS 0x000ffffffffff000ull

static inline uint64_t *table(const space_reference *space, uint64_t address) {
    return (uint64_t *)(space->arena + address);
}

static inline unsigned slot(uint64_t address, unsigned level) { return (address >> (12 + 9 * level)) & 511; }

static uint64_t take_table(space_reference *space) {
    uint64_t address = space->freeTables;
    space->freeTables = *table(space, address);
    memset(table(space, address), 0, 4096);
    return address;
}

static inline uint64_t *leaf_table(space_reference *space, uint64_t address, int make) {
    uint64_t at = space->root;
    for (unsigned level = 3; level > 0; level--) {
        uint64_t *entry = &table(space, at)[slot(address, level)];
        uint64_t value = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
        if (!(value & 1)) {
            if (!make) return 0;
            value = take_table(space) | 7;
            __atomic_store_n(entry, value, __ATOMIC_RELEASE);
        }
        at = value & ADDRESS;
    }
    return table(space, at);
}

static NOINLINE int map_page(space_reference *space, uint64_t address, uint64_t physical) {
    uint64_t *entry = &leaf_table(space, address, 1)[slot(address, 0)];
    if (__atomic_load_n(entry, __ATOMIC_ACQUIRE) & 1) return 0;
    __atomic_store_n(entry, physical | 7, __ATOMIC_RELEASE);
    return 1;
}

uint64_t space_map_pages(space_reference *space, uint64_t address, uint64_t physical, uint64_t count) {
    uint64_t mapped = 0;
    for (uint64_t i = 0; i < count; i++) mapped += map_page(space, address + (i << 12), physical + (i << 12));
    return mapped;
}

uint64_t space_map_range(space_reference *space, uint64_t address, uint64_t physical, uint64_t count) {
    uint64_t mapped = 0;
    while (mapped < count) {
        uint64_t *entries = leaf_table(space, address, 1);
        for (unsigned i = slot(address, 0); i < 512 && mapped < count; i++) {
            if (__atomic_load_n(&entries[i], __ATOMIC_ACQUIRE) & 1) return mapped;
            __atomic_store_n(&entries[i], physical | 7, __ATOMIC_RELEASE);
            mapped++;
            address += 4096;
            physical += 4096;
        }
    }
    return mapped;
}

static NOINLINE int unmap_page(space_reference *space, uint64_t address) {
    uint64_t *entries = leaf_table(space, address, 0);
    if (!entries) return 0;
    __atomic_store_n(&entries[slot(address, 0)], 0, __ATOMIC_RELEASE);
    return 1;
}

uint64_t space_unmap_pages(space_reference *space, uint64_t address, uint64_t count) {
    uint64_t unmapped = 0;
    for (uint64_t i = 0; i < count; i++) unmapped += unmap_page(space, address + (i << 12));
    return unmapped;
}

uint64_t space_unmap_range(space_reference *space, uint64_t address, uint64_t count) {
    uint64_t unmapped = 0;
    while (unmapped < count) {
        uint64_t *entries = leaf_table(space, address, 0);
        for (unsigned i = slot(address, 0); i < 512 && unmapped < count; i++) {
            __atomic_store_n(&entries[i], 0, __ATOMIC_RELEASE);
            unmapped++;
            address += 4096;
        }
    }
    return unmapped;
}

uint64_t space_protect_range(space_reference *space, uint64_t address, uint64_t count, uint64_t bits) {
    uint64_t changed = 0;
    while (changed < count) {
        uint64_t *entries = leaf_table(space, address, 0);
        for (unsigned i = slot(address, 0); i < 512 && changed < count; i++) {
            uint64_t value = __atomic_load_n(&entries[i], __ATOMIC_ACQUIRE);
            if (value & 1) __atomic_store_n(&entries[i], value & ~bits, __ATOMIC_RELEASE);
            changed++;
            address += 4096;
        }
    }
    return changed;
}

static void give_table(space_reference *space, uint64_t address) {
    *table(space, address) = space->freeTables;
    space->freeTables = address;
}

uint64_t space_unmap_subtree(space_reference *space, uint64_t address) {
    uint64_t upper = table(space, space->root)[slot(address, 3)] & ADDRESS;
    uint64_t *entry = &table(space, upper)[slot(address, 2)];
    uint64_t directory = *entry & ADDRESS;
    __atomic_store_n(entry, 0, __ATOMIC_RELEASE);
    uint64_t freed = 1;
    for (unsigned i = 0; i < 512; i++) {
        uint64_t value = table(space, directory)[i];
        if (!(value & 1)) continue;
        give_table(space, value & ADDRESS);
        freed++;
    }
    give_table(space, directory);
    return freed;
}

static NOINLINE uint64_t translate(const space_reference *space, uint64_t address) {
    uint64_t at = space->root;
    for (int level = 3; level >= 0; level--) {
        uint64_t value = __atomic_load_n(&table(space, at)[slot(address, level)], __ATOMIC_ACQUIRE);
        if (!(value & 1)) return 0;
        if (level == 0 || (level < 3 && value & 0x80)) {
            uint64_t mask = (1ull << (12 + 9 * level)) - 1;
            return (value & ADDRESS & ~mask) | (address & mask);
        }
        at = value & ADDRESS;
    }
    return 0;
}

uint64_t space_translate(const space_reference *space, uint64_t address, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) sum += translate(space, address + (i << 12));
    return sum;
}

static inline uint64_t *counter(space_reference *space, uint64_t physical) {
    return space->counters + ((physical >> 12) - space->firstFrame) * 8;
}

/// The loads of a fast pin and one atomic add: the levels, the frame's block word, and all three words again.
static NOINLINE uint64_t pin_page(space_reference *space, uint64_t address) {
    uint64_t at = space->root, value = 0;
    uint64_t *entry = 0, *upper = 0, upperValue = 0;
    for (int level = 3; level >= 0; level--) {
        upper = entry;
        upperValue = value;
        entry = &table(space, at)[slot(address, level)];
        value = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
        if (!(value & 1)) return 0;
        if (level == 0 || (level < 3 && value & 0x80)) break;
        at = value & ADDRESS;
    }
    if (!(value & 2)) return 0;
    uint64_t *words = counter(space, value & ADDRESS);
    uint64_t block = __atomic_load_n(&words[1], __ATOMIC_ACQUIRE);
    __atomic_fetch_add((uint32_t *)words, 1024, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&words[1], __ATOMIC_ACQUIRE) != block ||
        __atomic_load_n(upper, __ATOMIC_ACQUIRE) != upperValue || __atomic_load_n(entry, __ATOMIC_ACQUIRE) != value)
        return 0;
    return (value & ADDRESS) | (address & 4095);
}

uint64_t space_pin_pages(space_reference *space, uint64_t address, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t physical = pin_page(space, address + (i << 12));
        sum += physical;
    }
    return sum;
}

uint64_t space_pin_runs(space_reference *space, uint64_t address, uint64_t count, uint64_t run) {
    uint64_t sum = 0;
    uint64_t pinned[512];
    for (uint64_t i = 0; i < count; i += run) {
        uint64_t *entries = leaf_table(space, address + (i << 12), 0);
        unsigned first = slot(address + (i << 12), 0);
        for (uint64_t j = 0; j < run; j++) {
            pinned[j] = __atomic_load_n(&entries[first + j], __ATOMIC_ACQUIRE) & ADDRESS;
            __atomic_fetch_add(counter(space, pinned[j]), 1024, __ATOMIC_SEQ_CST);
        }
        for (uint64_t j = 0; j < run; j++) {
            sum += pinned[j];
            __atomic_fetch_sub(counter(space, pinned[j]), 1024, __ATOMIC_SEQ_CST);
        }
    }
    return sum;
}
