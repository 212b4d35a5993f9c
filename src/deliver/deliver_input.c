/* Standard input to its end, into memory or, where it is large, a file without a name. */
#include "deliver/deliver_head.h"
#include "deliver/deliver_one.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK	   65536
#define MEMORY_MAX 1048576U /* octets in memory; beyond, a file */

/* As much as there is, up to n: a pipe gives it in pieces. The count or -errno. */
static ssize_t
read_block(uint8_t *p, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = read(STDIN_FILENO, p + have, n - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

/* Where the file system has no such files, memory must do. */
static int
move_to_file(struct input *in, int beside, uint8_t *block)
{
	AUTO_FD file = openat(beside, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (file < 0)
		return 0;
	for (uint64_t at = 0; at < in->length; at += BLOCK) {
		size_t n = in->length - at < BLOCK ? (size_t)(in->length - at) : BLOCK;
		int r = fd_pread_all(in->fd, block, n, at);
		if (r == 0)
			r = fd_pwrite_all(file, block, n, at);
		if (r < 0)
			return r;
	}
	fd_close(&in->fd);
	in->fd = fd_take(&file);
	return 0;
}

static int
spool(struct input *in, const uint8_t *p, size_t n)
{
	int r = fd_pwrite_all(in->fd, p, n, in->length);

	if (r == 0)
		in->length += n;
	return r;
}

static int
failed(const char *what, int error)
{
	return deliver_fail(EX_TEMPFAIL, error == -ENOSPC ? "4.3.1" : "4.3.0",
		"the message cannot be %s: %s", what, strerrordesc_np(-error));
}

/* The first block has what the MTA put on top. */
static void
take_head(struct input *in, struct view recipient, uint8_t *block, size_t *n)
{
	struct deliver_head head;

	deliver_head_read((struct view){block, *n}, recipient, &head);
	in->has_return_path = head.has_return_path;
	in->has_recipient = head.has_recipient;
	*n -= head.from_line;
	memmove(block, block + head.from_line, *n);
}

static int
read_all(uint64_t octets_max, int beside, struct view recipient, uint8_t *block,
	struct input *in)
{
	bool first = true, in_memory = true;

	for (;;) {
		ssize_t got = read_block(block, BLOCK);
		if (got < 0)
			return failed("read", (int)got);
		size_t n = (size_t)got;
		if (first)
			take_head(in, recipient, block, &n);
		first = false;
		if (n > octets_max - in->length)
			return deliver_fail(EX_DATAERR, "5.3.4",
				"the message is larger than message_size_max, %llu "
				"octets",
				(unsigned long long)octets_max);
		int r = spool(in, block, n);
		if (r < 0)
			return failed("spooled", r);
		if (got < BLOCK)
			break;
		if (in_memory && in->length >= MEMORY_MAX) {
			in_memory = false;
			r = move_to_file(in, beside, block);
			if (r < 0)
				return failed("spooled", r);
		}
	}
	if (in->length == 0)
		return deliver_fail(
			EX_DATAERR, "5.6.0", "there is no message on standard input");
	return EX_OK;
}

int
deliver_input(uint64_t octets_max, int beside, struct view recipient, struct input *ret)
{
	AUTO_FREE uint8_t *block = malloc(BLOCK);

	*ret = (struct input){.fd = memfd_create("restante-deliver", MFD_CLOEXEC)};
	if (!block || ret->fd < 0)
		return failed("spooled", -ENOMEM);
	return read_all(octets_max, beside, recipient, block, ret);
}
