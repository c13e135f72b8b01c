#include "processor.h"
#include "section.h"
#include <stdlib.h>
#include <string.h>

processor_reference *processor_make(const space_reference *space) {
    processor_reference *processor = malloc(sizeof *processor);
    memset(processor->places, 0xff, sizeof processor->places);
    processor->space = space;
    memset(&processor->reader, 0, sizeof processor->reader);
    processor->reader.epoch = 1;
    processor->flushes = processor->known = 0;
    return processor;
}

void processor_free(processor_reference *processor) { free(processor); }

static uint64_t walk(const space_reference *space, uint64_t address) {
    uint64_t table = space->root;
    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t entry = *(const uint64_t *)(space->arena + table + (address >> shift & 511) * 8);
        if (!(entry & 1)) return 0;
        table = entry & 0xffffffffff000;
    }
    uint64_t entry = *(const uint64_t *)(space->arena + table + (address >> 12 & 511) * 8);
    return entry & 1 ? (entry & 0xffffffffff000) : 0;
}

static uint64_t miss(processor_reference *processor, processor_place *place, uint64_t address) {
    uint64_t physical = walk(processor->space, address);
    place->pages[0] = place->pages[1] = place->pages[2] = address & ~0xfffull;
    place->distance = physical - (address & ~0xfffull);
    return address + place->distance;
}

uint64_t processor_read(processor_reference *processor, const uint64_t *addresses, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t number = 0; number < count; number++) {
        uint64_t address = addresses[number];
        processor_place *place = &processor->places[address >> 12 & 255];
        sum += place->pages[0] == (address & ~0xfffull) ? address + place->distance : miss(processor, place, address);
    }
    return sum;
}

// Somebody else flushes; nobody does in a benchmark.
static __attribute__((noinline)) void forget(processor_reference *processor, uint64_t flushes) {
    memset(processor->places, 0xff, sizeof processor->places);
    processor->known = flushes;
}

static inline uint64_t access(processor_reference *processor, uint64_t address) {
    section_enter(&processor->reader);
    uint64_t flushes = __atomic_load_n(&processor->flushes, __ATOMIC_ACQUIRE);
    if (flushes != processor->known) forget(processor, flushes);
    processor_place *place = &processor->places[address >> 12 & 255];
    uint64_t physical =
        place->pages[0] == (address & ~0xfffull) ? address + place->distance : miss(processor, place, address);
    section_leave(&processor->reader);
    return physical;
}

uint64_t processor_access(processor_reference *processor, const uint64_t *addresses, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t number = 0; number < count; number++) sum += access(processor, addresses[number]);
    return sum;
}
