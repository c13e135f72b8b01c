// Words that threads share, as C uses them: the same protocols as HostMemory's, one call for a whole loop.

#pragma once
#include <stdint.h>

/// A reader of epochs: what `HostProcessors` and a slot of it have.
typedef struct {
    uint64_t epoch;
    uint64_t usesFences;
    uint64_t padding[14];
    uint64_t section;
    uint64_t nested;
} shared_reader;

/// Begins and ends `count` sections; returns their number.
uint64_t shared_sections(shared_reader *reader, uint64_t count);
/// The same with one word loaded inside of each; returns the sum.
uint64_t shared_sections_loading(shared_reader *reader, const uint64_t *word, uint64_t count);
/// Sums of what `count` operations found, one after the other on one word.
uint64_t shared_loads(const uint64_t *word, uint64_t count);
uint64_t shared_stores(uint64_t *word, uint64_t count);
uint64_t shared_adds(uint64_t *word, uint64_t count);
uint64_t shared_adds_if_positive(uint64_t *word, uint64_t count);
uint64_t shared_compare_exchanges(uint64_t *word, uint64_t count);
/// Takes and releases a lock of two words, `count` times.
uint64_t shared_ticket_locks(uint32_t words[2], uint64_t count);
/// Takes and releases a lock of one word for reading, `count` times.
uint64_t shared_read_locks(uint64_t *word, uint64_t count);
