#include "reference.h"

#include <stdlib.h>
#include <string.h>

enum { present = 1, writable = 2, user = 4, large = 0x80, largePAT = 0x1000, topLevel = 3 };

static inline uint64_t load(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t shift(int level) { return 12 + 9 * (uint64_t)level; }

static inline uint8_t rights(uint64_t entry) {
    uint64_t supervisor = 1 | (entry & writable) | (~entry >> 63) << 2;
    return (uint8_t)(supervisor | (entry & user ? supervisor << 3 : 0));
}

typedef enum { shape_invalid, shape_table, shape_leaf, shape_malformed } entry_shape;

static inline entry_shape shape(const reference_space *space, uint64_t entry, int level) {
    if (!(entry & present)) return shape_invalid;
    if (entry & space->reservedMask) return shape_malformed;
    if (level == 0) return shape_leaf;
    if (!(entry & large)) return shape_table;
    if (level > 2 || (entry & ((((uint64_t)1 << shift(level)) - 1) & ~(uint64_t)0x1fff))) return shape_malformed;
    return shape_leaf;
}

static inline __attribute__((always_inline)) reference_translation
translate(const reference_space *space, uint64_t address) {
    // The two halves of the space have a hole between them.
    if (address > 0x00007fffffffffff && address < 0xffff800000000000)
        return (reference_translation){0, 0, topLevel, 0, reference_out_of_range};
    uint64_t table = space->root;
    uint8_t allowed = 0x3f;
    for (int level = topLevel;; level--) {
        uint64_t place = table + (address >> shift(level) & 511) * 8;
        if (place > space->size - 8) return (reference_translation){0, 0, level, 0, reference_absent};
        uint64_t entry = load(space->base + place);
        switch (shape(space, entry, level)) {
        case shape_leaf: {
            uint64_t offset = ((uint64_t)1 << shift(level)) - 1;
            allowed &= rights(entry);
            return (reference_translation){
                (entry & space->addressMask & ~offset) | (address & offset), entry, level, allowed, reference_mapped};
        }
        case shape_table:
            allowed &= rights(entry);
            table = entry & space->addressMask;
            break;
        case shape_invalid: return (reference_translation){0, entry, level, 0, reference_not_present};
        case shape_malformed: return (reference_translation){0, entry, level, 0, reference_malformed};
        }
    }
}

__attribute__((noinline)) static reference_translation call(const reference_space *space, uint64_t address) {
    return translate(space, address);
}

static inline uint64_t digest(reference_translation answer) {
    if (answer.status != reference_mapped) return 0;
    return answer.physical + answer.entry + (uint64_t)answer.level + answer.rights;
}

uint64_t reference_translate_calls(const reference_space *space, const uint64_t *addresses, size_t count) {
    uint64_t sum = 0;
    for (size_t index = 0; index < count; index++) sum += digest(call(space, addresses[index]));
    return sum;
}

uint64_t reference_translate_inlined(const reference_space *space, const uint64_t *addresses, size_t count) {
    uint64_t sum = 0;
    for (size_t index = 0; index < count; index++) sum += digest(translate(space, addresses[index]));
    return sum;
}

typedef struct {
    const reference_space *space;
    reference_run *runs;
    size_t count, capacity;
    reference_run run;
    uint64_t bits;
    /// Runs are summed up instead of kept.
    int sums;
    uint64_t sum;
    int failed;
} survey;

static void close(survey *survey) {
    if (survey->run.bytes == 0) return;
    if (survey->sums) {
        const reference_run *run = &survey->run;
        survey->sum += (run->first ^ run->physical ^ run->bytes) + run->rights + run->flags;
        survey->count++;
        survey->run.bytes = 0;
        return;
    }
    if (survey->count == survey->capacity) {
        size_t capacity = survey->capacity ? survey->capacity * 2 : 64;
        reference_run *runs = realloc(survey->runs, capacity * sizeof *runs);
        if (!runs) {
            survey->failed = 1;
            return;
        }
        survey->runs = runs;
        survey->capacity = capacity;
    }
    survey->runs[survey->count++] = survey->run;
    survey->run.bytes = 0;
}

static inline void leaf(survey *survey, uint64_t entry, int level, uint64_t address, uint8_t allowed) {
    uint64_t bytes = (uint64_t)1 << shift(level);
    uint64_t physical = entry & survey->space->addressMask & ~(bytes - 1);
    uint64_t bits = entry & (0xf80000000000017e | (level > 0 ? largePAT : large));
    reference_run *run = &survey->run;
    if (run->bytes && bits == survey->bits && run->first + run->bytes == address
        && run->physical + run->bytes == physical) {
        run->bytes += bytes;
        return;
    }
    close(survey);
    survey->bits = bits;
    *run = (reference_run){
        .first = address,
        .physical = physical,
        .bytes = bytes,
        .rights = rights(entry) & allowed,
        .flags = (entry >> 5 & 3) | (entry >> 6 & 4),
        .memoryType = (entry >> 3 & 3) | (entry & (level > 0 ? largePAT : large) ? 4 : 0),
        .protectionKey = entry >> 59 & 15,
        .log2PageBytes = (uint8_t)shift(level),
        .level = (uint8_t)level,
    };
}

static void walk(survey *survey, uint64_t table, int level, uint64_t base, uint8_t allowed) {
    if (survey->space->size < 4096 || table > survey->space->size - 4096) {
        survey->failed = 1;
        return;
    }
    const uint8_t *entries = survey->space->base + table;
    for (uint64_t index = 0; index < 512; index++) {
        uint64_t entry = load(entries + index * 8);
        uint64_t address = base + (index << shift(level));
        if (level == topLevel && index >= 256) address |= 0xffff000000000000;
        switch (shape(survey->space, entry, level)) {
        case shape_leaf: leaf(survey, entry, level, address, allowed); break;
        case shape_table:
            walk(survey, entry & survey->space->addressMask, level - 1, address, allowed & rights(entry));
            break;
        default: break;
        }
    }
}

reference_run *reference_survey(const reference_space *space, size_t *count) {
    survey survey = {.space = space};
    walk(&survey, space->root, topLevel, 0, 0x3f);
    close(&survey);
    if (survey.failed) {
        free(survey.runs);
        return NULL;
    }
    *count = survey.count;
    return survey.runs;
}

uint64_t reference_walk(const reference_space *space) {
    survey survey = {.space = space, .sums = 1};
    walk(&survey, space->root, topLevel, 0, 0x3f);
    close(&survey);
    return survey.failed ? 0 : survey.sum + survey.count;
}
