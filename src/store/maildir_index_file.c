/* The index file on disk. */
#include "os/fd.h"
#include "store/maildir_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INDEX_NAME "restante-index"
#define INDEX_NEXT "restante-index~"

int
maildir_index_load(int top, struct view folders, struct maildir_table **ret)
{
	struct maildir_file file;
	AUTO_FD fd = maildir_open_file(top, INDEX_NAME, &file);

	if (fd < 0)
		return fd;
	if (file.size > MAILDIR_INDEX_MAX || file.size < 32)
		return -EINVAL;
	uint8_t *block = maildir_room((size_t)file.size);
	if (!block)
		return -ENOMEM;
	int r = fd_pread_all(fd, block, (size_t)file.size, 0);
	if (r == 0)
		r = maildir_index_take(&block, (size_t)file.size, folders, ret);
	free(block);
	return r;
}

static int
create_next(int top)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(top, INDEX_NEXT, flags, 0600);

	if (fd < 0 && errno == EEXIST && unlinkat(top, INDEX_NEXT, 0) == 0)
		fd = openat(top, INDEX_NEXT, flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* No fsync: after a crash the checksum tells, and the file is made anew. */
int
maildir_index_save(int top, struct view folders, const struct maildir_table *t)
{
	uint8_t *octets = NULL;
	size_t n;
	int r = maildir_index_encode(t, folders, &octets, &n);

	if (r < 0)
		return r;
	AUTO_FD fd = create_next(top);
	r = fd < 0 ? fd : fd_write_all(fd, octets, n);
	free(octets);
	if (fd < 0)
		return r;
	if (r == 0 && renameat(top, INDEX_NEXT, top, INDEX_NAME) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(top, INDEX_NEXT, 0);
	return r;
}
