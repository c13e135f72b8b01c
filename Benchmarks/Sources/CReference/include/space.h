// A live four-level tree in C, one thread and no safety: the floor for what map, unmap, protect and pins can cost.

#pragma once
#include <stdint.h>

typedef struct {
    /// Physical address 0.
    uint8_t *arena;
    uint64_t root;
    /// Free tables of 4 KiB, linked through their first words; 0 ends the list.
    uint64_t freeTables;
    /// A counter of 64 bytes for each frame from `firstFrame` on.
    uint64_t *counters;
    uint64_t firstFrame;
} space_reference;

/// Maps `count` pages from `address` on, one call each.
uint64_t space_map_pages(space_reference *space, uint64_t address, uint64_t physical, uint64_t count);
/// The same in one call.
uint64_t space_map_range(space_reference *space, uint64_t address, uint64_t physical, uint64_t count);
uint64_t space_unmap_pages(space_reference *space, uint64_t address, uint64_t count);
/// Clears entries and keeps tables.
uint64_t space_unmap_range(space_reference *space, uint64_t address, uint64_t count);
/// Takes `bits` from leaves.
uint64_t space_protect_range(space_reference *space, uint64_t address, uint64_t count, uint64_t bits);
/// Unlinks 1 GiB and gives its tables back.
uint64_t space_unmap_subtree(space_reference *space, uint64_t address);
uint64_t space_translate(const space_reference *space, uint64_t address, uint64_t count);
/// For each page the loads of a fast pin and an atomic add to the frame's counter.
uint64_t space_pin_pages(space_reference *space, uint64_t address, uint64_t count);
/// For runs of `run` pages: one walk, a load and an atomic add for each page, and later one that takes it back.
uint64_t space_pin_runs(space_reference *space, uint64_t address, uint64_t count, uint64_t run);
