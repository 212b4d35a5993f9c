/*
 * fd.h: descriptors with one owner. Results are 0 (or a count) or -errno.
 */
#ifndef OS_FD_H
#define OS_FD_H

#include "base/buf.h"
#include "pop3/view.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Closes *fd if it is one and sets it to -1; errno is kept. */
void fd_close(int *fd);
#define AUTO_FD __attribute__((cleanup(fd_close))) int
/* Gives the descriptor away: returns it and leaves -1. */
int fd_take(int *fd);

void free_ptr(void *pp);
#define AUTO_FREE __attribute__((cleanup(free_ptr)))

/* No room on the disk, or no more of it for its owner. */
static inline bool
fd_is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

/* All n octets at the offset, over short reads and writes and EINTR. -EIO at an early end
 * of file. */
[[nodiscard]] int fd_pread_all(int fd, void *p, size_t n, uint64_t offset);
[[nodiscard]] int fd_pwrite_all(int fd, const void *p, size_t n, uint64_t offset);
[[nodiscard]] int fd_write_all(int fd, const void *p, size_t n);
/*
 * The whole file, at most max octets (-EFBIG; max is below 2 GiB); *ret is malloc'ed with
 * a NUL behind it, the caller frees.
 */
[[nodiscard]] int fd_read_file(int fd, size_t max, uint8_t **ret, size_t *ret_n);
/*
 * openat2 below dirfd: no links out, no links at all, no magic links; O_CLOEXEC is added.
 * -errno (-ELOOP: a link, -EXDEV: a way out) or the descriptor.
 */
[[nodiscard]] int fd_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
[[nodiscard]] int fd_nonblock(int fd);
/*
 * Begins the writing of what a file has, or waits for it (flags of sync_file_range(2)):
 * 0, also where the file knows no such thing, or -errno. What comes out here has failed
 * for good: fsync may say nothing of it, as ext4 gives up pages for which it found no
 * place.
 */
[[nodiscard]] int fd_sync_range(int fd, unsigned flags);

#endif
