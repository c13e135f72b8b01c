#define _GNU_SOURCE
#include "kernel.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint64_t pageBytes = 4096;

// Where something is mapped already, the call fails, or elsewhere than on Linux maps at another address; the caller's count
// shows it.
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0
#endif

static inline uint64_t start(const kernel_regions *regions, uint64_t number) {
    return regions->first + number * regions->stride;
}

static inline uint64_t map(uint64_t address, uint64_t pages) {
    void *wanted = (void *)(uintptr_t)address;
    return mmap(wanted, pages * pageBytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == wanted;
}

static inline uint64_t touch(uint64_t address, uint64_t pages) {
    for (uint64_t page = 0; page < pages; page++)
        *(volatile uint8_t *)(uintptr_t)(address + page * pageBytes) = 1;
    return pages;
}

uint64_t kernel_map(const kernel_regions *regions) {
    uint64_t mapped = 0;
    for (uint64_t number = 0; number < regions->count; number++) mapped += map(start(regions, number), regions->pages);
    return mapped;
}

uint64_t kernel_touch(const kernel_regions *regions) {
    uint64_t touched = 0;
    for (uint64_t number = 0; number < regions->count; number++)
        touched += touch(start(regions, number), regions->pages);
    return touched;
}

uint64_t kernel_map_and_touch(const kernel_regions *regions) {
    uint64_t touched = 0;
    for (uint64_t number = 0; number < regions->count; number++) {
        uint64_t address = start(regions, number);
        if (map(address, regions->pages)) touched += touch(address, regions->pages);
    }
    return touched;
}

uint64_t kernel_unmap(const kernel_regions *regions) {
    uint64_t unmapped = 0;
    for (uint64_t number = 0; number < regions->count; number++) {
        unmapped += munmap((void *)(uintptr_t)start(regions, number), regions->pages * pageBytes) == 0;
    }
    return unmapped;
}

void kernel_clear(uint64_t first, uint64_t bytes) { munmap((void *)(uintptr_t)first, bytes); }

int kernel_file_open(kernel_file *file, const char *path, uint64_t pages) {
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (descriptor < 0) return -1;
    void *bytes = MAP_FAILED;
    // Blocks are there before the first write through the mapping, so that no fault has to find some.
    static const uint8_t zeros[4096];
    uint64_t written = 0;
    while (written < pages && write(descriptor, zeros, sizeof zeros) == (ssize_t)sizeof zeros) written++;
    if (written == pages) bytes = mmap(NULL, pages * pageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (bytes == MAP_FAILED) {
        close(descriptor);
        return -1;
    }
    file->bytes = bytes;
    file->pages = pages;
    file->descriptor = descriptor;
    kernel_file_touch(file);
    return kernel_file_sync(file) ? 0 : -1;
}

uint64_t kernel_file_touch(const kernel_file *file) { return touch((uint64_t)(uintptr_t)file->bytes, file->pages); }

uint64_t kernel_file_sync(const kernel_file *file) {
    return msync(file->bytes, file->pages * pageBytes, MS_SYNC) ? 0 : file->pages;
}

void kernel_file_close(kernel_file *file) {
    munmap(file->bytes, file->pages * pageBytes);
    close(file->descriptor);
}
