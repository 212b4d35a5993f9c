#include "fetch/program_input.h"

#include "base/check.h"
#include "fetch/durable.h"
#include "os/fd.h"
#include "wire/line_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK	  (64 * 1024)
#define FIELD_MAX 80

int
program_input_named(int dir, const char *mark, int *ret_fd)
{
	char name[LETTER_NAME_MAX], hex[17];
	uint8_t random[8];
	int r = durable_random(random, sizeof(random));

	if (r < 0)
		return r;
	durable_hex(random, sizeof(random), hex);
	(void)snprintf(name, sizeof(name), "%s%ld.program.%s", mark, (long)getpid(), hex);
	AUTO_FD fd = openat(
		dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || unlinkat(dir, name, 0) < 0)
		return -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

static int
put_lf(const struct letter *l, int to)
{
	AUTO_FREE uint8_t *block = malloc(BLOCK), *out = malloc(BLOCK + 2);
	struct line_ends ends = {0};
	int r = block && out ? 0 : -ENOMEM;

	for (uint64_t at = 0; r == 0 && at < l->stored;) {
		uint64_t left = l->stored - at;
		size_t take = left < BLOCK ? (size_t)left : BLOCK, n;

		r = fd_pread_all(l->fd, block, take, at);
		if (r < 0)
			return r;
		at += take;
		n = line_ends_to_lf(&ends, block, take, out);
		if (at == l->stored)
			n += line_ends_finish(&ends, out + n);
		r = fd_write_all(to, out, n);
	}
	return r;
}

int
program_input_make(int dir, const char *mark, const struct letter *l,
	const char *trace_id, enum program_lines lines, int *ret_fd)
{
	char field[FIELD_MAX] = "";
	int n = 0, r = 0;

	if (trace_id[0])
		n = snprintf(field, sizeof(field), "X-Restante-Trace: %s%s\n", trace_id,
			lines == PROGRAM_AS_IT_IS ? "\r" : "");
	CHECK(n >= 0 && n < FIELD_MAX);
	AUTO_FD fd = openat(dir, ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	/* Which error says that it cannot differs from one file system to the next. */
	if (fd < 0)
		r = program_input_named(dir, mark, &fd);
	if (r == 0)
		r = fd_write_all(fd, field, (size_t)n);
	if (r == 0)
		r = lines == PROGRAM_TO_LF ? put_lf(l, fd)
					   : durable_copy(l->fd, fd, l->stored);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		*ret_fd = fd_take(&fd);
	return r;
}
