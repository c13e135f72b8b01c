// The walkers that the Swift ones are measured against: x86-64 with four levels, tables in one buffer.
//
// They do the same work for each entry: the load is checked against the size of the buffer, reserved bits and misplaced
// large pages make an entry malformed, rights are intersected along the path, and a leaf's attributes decide where one
// run ends and the next begins.

#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *base;
    uint64_t size;
    uint64_t root;
    uint64_t addressMask;
    uint64_t reservedMask;
} reference_space;

typedef enum {
    reference_mapped,
    reference_not_present,
    reference_malformed,
    reference_out_of_range,
    reference_absent
} reference_status;

typedef struct {
    uint64_t physical;
    uint64_t entry;
    int level;
    uint8_t rights;
    uint8_t status;
} reference_translation;

/// Rights as in the Swift library: 1, 2, 4 for the supervisor's read, write, execute; 8, 16, 32 for the user's.
typedef struct {
    uint64_t first;
    uint64_t physical;
    uint64_t bytes;
    uint8_t rights, flags, memoryType, protectionKey;
    uint8_t log2PageBytes, level;
} reference_run;

/// Sums of what the translations answered, one call for each address.
uint64_t reference_translate_calls(const reference_space *space, const uint64_t *addresses, size_t count);
/// The same with the translation inlined into the loop.
uint64_t reference_translate_inlined(const reference_space *space, const uint64_t *addresses, size_t count);

/// Sums up all runs of the space without keeping them; 0 if a table is outside the buffer.
uint64_t reference_walk(const reference_space *space);

/// All runs of the space; the caller frees them. NULL if memory is short or a table is outside the buffer.
reference_run *reference_survey(const reference_space *space, size_t *count);

/// A guest of x86-64 whose addresses extended page tables (EPT, four levels) translate; the root and the masks of `guest` are
/// the guest's.
typedef struct {
    reference_space guest;
    uint64_t stageRoot;
    uint64_t stageReservedMask;
} reference_stages;

/// Sums of what translations through both stages answered, one call for each address.
uint64_t reference_translate_two_stages(const reference_stages *stages, const uint64_t *addresses, size_t count);
