#pragma once

#include "shared.h"
#include "space.h"
#include <stdint.h>

// What an emulator's processor keeps of translations.
typedef struct {
    uint64_t pages[3];
    uint64_t distance;
} processor_place;

typedef struct {
    processor_place places[256];
    const space_reference *space;
    // What a section of each access needs: see `processor_access`.
    shared_reader reader;
    uint64_t flushes;
    uint64_t known;
} processor_reference;

processor_reference *processor_make(const space_reference *space);
void processor_free(processor_reference *processor);
// The sum of the physical addresses; without rights, records of use, flushes or faults.
uint64_t processor_read(processor_reference *processor, const uint64_t *addresses, uint64_t count);
// The same with a section of its own for each access, in which it looks first whether anything was flushed; still without rights,
// records of use, or faults.
uint64_t processor_access(processor_reference *processor, const uint64_t *addresses, uint64_t count);
