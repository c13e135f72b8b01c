#include "section.h"
#include "shared.h"

#include <stdbool.h>

uint64_t shared_sections(shared_reader *reader, uint64_t count) {
    uint64_t sections = 0;
    for (; sections < count; sections++) {
        section_enter(reader);
        section_leave(reader);
    }
    return sections;
}

uint64_t shared_sections_loading(shared_reader *reader, const uint64_t *word, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        section_enter(reader);
        sum += __atomic_load_n(word, __ATOMIC_ACQUIRE);
        section_leave(reader);
    }
    return sum;
}

uint64_t shared_loads(const uint64_t *word, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) sum += __atomic_load_n(word, __ATOMIC_ACQUIRE);
    return sum;
}

uint64_t shared_stores(uint64_t *word, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) __atomic_store_n(word, i, __ATOMIC_RELEASE);
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

uint64_t shared_adds(uint64_t *word, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) sum += __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
    return sum;
}

uint64_t shared_adds_if_positive(uint64_t *word, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
        while ((int64_t)seen > 0 &&
               !__atomic_compare_exchange_n(word, &seen, seen + 1, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
        }
        sum += seen;
    }
    return sum;
}

uint64_t shared_compare_exchanges(uint64_t *word, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t seen = sum;
        if (__atomic_compare_exchange_n(word, &seen, sum + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) sum++;
    }
    return sum;
}

uint64_t shared_ticket_locks(uint32_t words[2], uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t number = __atomic_fetch_add(&words[0], 1, __ATOMIC_RELAXED);
        while (__atomic_load_n(&words[1], __ATOMIC_ACQUIRE) != number) {
        }
        sum++;
        __atomic_fetch_add(&words[1], 1, __ATOMIC_RELEASE);
    }
    return sum;
}

uint64_t shared_read_locks(uint64_t *word, uint64_t count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        while (seen >> 32 != 0 ||
               !__atomic_compare_exchange_n(word, &seen, seen + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        sum++;
        __atomic_fetch_add(word, (uint64_t)-1, __ATOMIC_RELEASE);
    }
    return sum;
}
