/*
 * sealed.h: memory that is handed to another process and cannot change any more; and the
 * checks on descriptors that come from one (threats: descriptors received).
 */
#ifndef OS_SEALED_H
#define OS_SEALED_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A memfd with these octets and the seals SEAL, SHRINK, GROW, WRITE. Descriptor or
 * -errno. */
[[nodiscard]] int sealed_new(const char *name, struct view octets);
/*
 * In steps: create with its final size n > 0 and map it for writing; then unmap and seal.
 * The descriptor is the caller's whatever sealed_finish says.
 */
[[nodiscard]] int sealed_begin(const char *name, size_t n, uint8_t **ret_map);
[[nodiscard]] int sealed_finish(int fd, uint8_t *map, size_t n);

/* In steps, for what grows: an empty one, written with pwrite, then sealed. */
[[nodiscard]] int sealed_memory(const char *name);
[[nodiscard]] int sealed_seal(int fd);

/* 0 and the size if fd is a memfd with all four seals; -EINVAL for anything else. Never
 * blocks. */
[[nodiscard]] int sealed_check(int fd, uint64_t *ret_size);
/* sealed_check, then mapped read-only; the caller munmaps. n is at least 1. */
[[nodiscard]] int sealed_map(
	int fd, uint64_t size_max, const uint8_t **ret, size_t *ret_n);
/*
 * The same, for reading only: up to SEALED_SMALL octets are copied into memory of our
 * own, which costs a fifth of mapping a page, touching it and unmapping it, and holds no
 * more. Undone by sealed_view_done.
 */
#define SEALED_SMALL 4096U
[[nodiscard]] int sealed_view(
	int fd, uint64_t size_max, const uint8_t **ret, size_t *ret_n);
void sealed_view_done(const uint8_t *p, size_t n);

/*
 * 0 if fd is a regular file, open read-only, that takes RWF_NOWAIT, with offset + length
 * within its size (no overflow). The NOWAIT probe comes before anything that could wait
 * for a file system in user space. -EINVAL otherwise. (Closing such a file still asks its
 * file system, and may wait: a peer that passes one has broken its word.)
 */
[[nodiscard]] int slice_file_check(int fd, uint64_t offset, uint64_t length);
/*
 * The same with the first octets of the slice, n at most, read to p, which is the probe:
 * how many. -EAGAIN: it is such a file, and they are not in memory. -ERANGE: it is one,
 * but ends before the slice does. What stands at p after an error is nobody's message.
 */
[[nodiscard]] ssize_t slice_file_begin(
	int fd, uint64_t offset, uint64_t length, void *p, size_t n);

#endif
