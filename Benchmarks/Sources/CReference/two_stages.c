#include "reference.h"

#include <string.h>

enum { present = 1, writable = 2, user = 4, large = 0x80, topLevel = 3 };
enum { access = 7, tableReserved = 0x78 };

static inline uint64_t load(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t shift(int level) { return 12 + 9 * (uint64_t)level; }

typedef struct {
    uint64_t physical;
    uint64_t entry;
    int level;
    uint8_t rights;
    uint8_t status;
} stage_translation;

typedef enum { shape_invalid, shape_table, shape_leaf, shape_malformed } entry_shape;

static inline entry_shape stage_shape(const reference_stages *stages, uint64_t entry, int level) {
    uint64_t reserved = stages->stageReservedMask;
    if (level > 0 && (entry & (access | tableReserved | large | reserved)) == access) return shape_table;
    if (!(entry & access)) return shape_invalid;
    if (entry & reserved || (entry & 3) == 2) return shape_malformed;
    if (level > 0 && !(entry & large)) return entry & tableReserved ? shape_malformed : shape_table;
    if (level > 2 || (entry & ((((uint64_t)1 << shift(level)) - 1) & ~(uint64_t)0xfff))) return shape_malformed;
    uint64_t type = entry >> 3 & 7;
    return type == 2 || type == 3 || type == 7 ? shape_malformed : shape_leaf;
}

static inline __attribute__((always_inline)) stage_translation
second_stage(const reference_stages *stages, uint64_t address) {
    if (address >> 48) return (stage_translation){0, 0, topLevel, 0, reference_out_of_range};
    uint64_t mask = ((uint64_t)1 << 52) - 0x1000;
    uint64_t table = stages->stageRoot;
    uint64_t allowed = access;
    for (int level = topLevel;; level--) {
        uint64_t place = table + (address >> shift(level) & 511) * 8;
        if (place > stages->guest.size - 8) return (stage_translation){0, 0, level, 0, reference_absent};
        uint64_t entry = load(stages->guest.base + place);
        switch (stage_shape(stages, entry, level)) {
        case shape_leaf: {
            uint64_t offset = ((uint64_t)1 << shift(level)) - 1;
            allowed &= entry;
            return (stage_translation){(entry & mask & ~offset) | (address & offset), entry, level,
                                       (uint8_t)(allowed | allowed << 3), reference_mapped};
        }
        case shape_table:
            allowed &= entry;
            table = entry & mask;
            break;
        case shape_invalid: return (stage_translation){0, entry, level, 0, reference_not_present};
        case shape_malformed: return (stage_translation){0, entry, level, 0, reference_malformed};
        }
    }
}

static inline uint8_t rights(uint64_t entry) {
    uint64_t supervisor = 1 | (entry & writable) | (~entry >> 63) << 2;
    return (uint8_t)(supervisor | (entry & user ? supervisor << 3 : 0));
}

static inline entry_shape guest_shape(const reference_space *space, uint64_t entry, int level) {
    if (!(entry & present)) return shape_invalid;
    if (entry & space->reservedMask) return shape_malformed;
    if (level == 0) return shape_leaf;
    if (!(entry & large)) return shape_table;
    if (level > 2 || (entry & ((((uint64_t)1 << shift(level)) - 1) & ~(uint64_t)0x1fff))) return shape_malformed;
    return shape_leaf;
}

typedef struct {
    uint64_t physical, guestPhysical;
    uint64_t entry, stageEntry;
    int level, stageLevel;
    uint8_t rights, log2PageBytes;
    uint8_t status;
} two_stage_translation;

__attribute__((noinline)) static two_stage_translation translate(const reference_stages *stages, uint64_t address) {
    const reference_space *guest = &stages->guest;
    two_stage_translation answer = {.status = reference_out_of_range};
    if (address > 0x00007fffffffffff && address < 0xffff800000000000) return answer;
    uint64_t table = guest->root;
    uint8_t allowed = 0x3f;
    for (int level = topLevel;; level--) {
        stage_translation place = second_stage(stages, table + (address >> shift(level) & 511) * 8);
        if (place.status != reference_mapped || !(place.rights & 1) || place.physical > guest->size - 8) {
            answer.status = place.status == reference_mapped ? reference_absent : place.status;
            answer.level = level;
            return answer;
        }
        uint64_t entry = load(guest->base + place.physical);
        switch (guest_shape(guest, entry, level)) {
        case shape_leaf: {
            uint64_t offset = ((uint64_t)1 << shift(level)) - 1;
            uint64_t physical = (entry & guest->addressMask & ~offset) | (address & offset);
            stage_translation outer = second_stage(stages, physical);
            answer.status = outer.status;
            if (outer.status != reference_mapped) return answer;
            uint8_t bits = (uint8_t)shift(level), outerBits = (uint8_t)shift(outer.level);
            return (two_stage_translation){
                .physical = outer.physical, .guestPhysical = physical, .entry = entry, .stageEntry = outer.entry,
                .level = level, .stageLevel = outer.level, .rights = (uint8_t)(allowed & rights(entry) & outer.rights),
                .log2PageBytes = bits < outerBits ? bits : outerBits, .status = reference_mapped};
        }
        case shape_table:
            allowed &= rights(entry);
            table = entry & guest->addressMask;
            break;
        case shape_invalid:
        case shape_malformed: answer.status = reference_malformed; return answer;
        }
    }
}

uint64_t reference_translate_two_stages(const reference_stages *stages, const uint64_t *addresses, size_t count) {
    uint64_t sum = 0;
    for (size_t index = 0; index < count; index++) {
        two_stage_translation answer = translate(stages, addresses[index]);
        if (answer.status != reference_mapped) continue;
        sum += answer.physical + answer.guestPhysical + answer.entry + answer.stageEntry + (uint64_t)answer.level
               + (uint64_t)answer.stageLevel + answer.rights + answer.log2PageBytes;
    }
    return sum;
}
