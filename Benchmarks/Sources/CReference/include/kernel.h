// The address space of this process, as its kernel changes it.

#pragma once
#include <stdint.h>

/// Regions of `pages` pages of 4 KiB each, `stride` bytes apart from `first` on.
typedef struct {
    uint64_t first;
    uint64_t stride;
    uint64_t count;
    uint64_t pages;
} kernel_regions;

/// One `mmap` of anonymous memory for each region. Returns how many succeeded.
uint64_t kernel_map(const kernel_regions *regions);
/// A write to each page. Returns their number.
uint64_t kernel_touch(const kernel_regions *regions);
/// Each region is mapped, then touched. Returns the number of pages.
uint64_t kernel_map_and_touch(const kernel_regions *regions);
/// One `munmap` for each region. Returns how many succeeded.
uint64_t kernel_unmap(const kernel_regions *regions);
/// One `munmap` of everything.
void kernel_clear(uint64_t first, uint64_t bytes);

/// A file of the system, mapped shared.
typedef struct {
    uint8_t *bytes;
    uint64_t pages;
    int descriptor;
} kernel_file;

/// Makes a file of zeros and maps it, with every page in memory and clean. Returns 0, or -1 if the system refused.
int kernel_file_open(kernel_file *file, const char *path, uint64_t pages);
/// A write to each page. Returns their number.
uint64_t kernel_file_touch(const kernel_file *file);
/// One `msync` of the whole. Returns the number of pages; 0 if it failed.
uint64_t kernel_file_sync(const kernel_file *file);
/// Unmaps and closes it.
void kernel_file_close(kernel_file *file);
