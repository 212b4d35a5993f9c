/* Octets between files, and syncs. */
#include "os/fd.h"
#include "store/mbox_intent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
mbox_copy(int from, uint64_t at, uint64_t n, int to, uint64_t to_at, XXH3_state_t *digest)
{
	size_t cap = n < MBOX_BLOCK ? (size_t)n : MBOX_BLOCK;
	AUTO_FREE uint8_t *block = malloc(cap + 1);

	if (!block)
		return -ENOMEM;
	while (n > 0) {
		size_t part = n < cap ? (size_t)n : cap;
		int r = fd_pread_all(from, block, part, at);
		if (r == 0 && to >= 0)
			r = fd_pwrite_all(to, block, part, to_at);
		if (r < 0)
			return r;
		if (digest)
			(void)XXH3_128bits_update(digest, block, part);
		at += part;
		to_at += part;
		n -= part;
	}
	return 0;
}

int
mbox_digest_of(int fd, uint64_t at, uint64_t n, uint8_t ret[MBOX_DIGEST])
{
	XXH3_state_t *state = XXH3_createState();
	XXH128_canonical_t digest;

	if (!state)
		return -ENOMEM;
	(void)XXH3_128bits_reset(state);
	int r = mbox_copy(fd, at, n, -1, 0, state);
	if (r == 0) {
		XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state));
		memcpy(ret, digest.digest, MBOX_DIGEST);
	}
	(void)XXH3_freeState(state);
	return r;
}

int
mbox_create(int dir, const char *name, unsigned mode)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags, mode);

	if (fd < 0 && errno == EEXIST && unlinkat(dir, name, 0) == 0)
		fd = openat(dir, name, flags, mode);
	return fd < 0 ? -errno : fd;
}

int
mbox_sync(int fd)
{
	return fsync(fd) < 0 ? -errno : 0;
}

int
mbox_sync_dir(int dir)
{
	return fsync(dir) < 0 && errno != EINVAL ? -errno : 0;
}
