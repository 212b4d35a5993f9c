#include "control/control_tables.h"

#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS_AT_ONCE 64
#define TRIES	     8

int
tables_add(struct tables *t, uint64_t front, int take_fd)
{
	AUTO_FD fd = take_fd;
	struct stat st;

	tables_remove(t, front);
	if (t->n == TABLES_MAX)
		return -ENOSPC;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < WHO_ROW)
		return -EINVAL;
	uint64_t rows = (uint64_t)st.st_size / WHO_ROW;
	t->at[t->n++] = (struct table){.front = front,
		.rows = rows < TABLE_ROWS_MAX ? (uint32_t)rows : TABLE_ROWS_MAX,
		.fd = fd_take(&fd)};
	return 0;
}

void
tables_remove(struct tables *t, uint64_t front)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->at[i].front != front)
			continue;
		fd_close(&t->at[i].fd);
		t->at[i] = t->at[--t->n];
		return;
	}
}

static uint32_t
sequence_of(const struct who_row *row)
{
	uint32_t n;

	memcpy(&n, row, sizeof(n));
	return n;
}

/*
 * The row as it was at one moment: a front that writes it meanwhile leaves an odd number
 * before, or another one behind. One that never stops is left out.
 */
static bool
read_row(const struct table *t, uint64_t at, struct who_row *row)
{
	uint32_t after;

	for (int i = 0; i < TRIES; i++) {
		if (pread(t->fd, row, WHO_ROW, (off_t)(at * WHO_ROW)) != WHO_ROW ||
			pread(t->fd, &after, sizeof(after), (off_t)(at * WHO_ROW)) !=
				sizeof(after))
			return false;
		if (after % 2 == 0 && after == sequence_of(row))
			return true;
	}
	return false;
}

static int
keep(struct who_list *l, size_t *cap, const struct who_session *s)
{
	if (l->n == TABLES_SESSIONS_MAX)
		return -EFBIG;
	if (l->n == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		struct who_session *p = realloc(l->at, more * sizeof(*p));
		if (!p)
			return -ENOMEM;
		l->at = p;
		*cap = more;
	}
	l->at[l->n++] = *s;
	return 0;
}

static int
read_table(const struct table *t, struct who_list *l, size_t *cap)
{
	struct who_row *rows = malloc((size_t)ROWS_AT_ONCE * WHO_ROW), one;
	struct who_session s;
	int rc = rows ? 0 : -ENOMEM;

	for (uint32_t first = 0; rc == 0 && first < t->rows; first += ROWS_AT_ONCE) {
		ssize_t got = pread(t->fd, rows, (size_t)ROWS_AT_ONCE * WHO_ROW,
			(off_t)first * WHO_ROW);
		uint32_t n = got > 0 ? (uint32_t)got / WHO_ROW : 0;
		for (uint32_t i = 0; i < n && i + first < t->rows && rc == 0; i++)
			/* Most are free; those in use are read again, whole. */
			if (rows[i].used && read_row(t, first + i, &one) &&
				who_take(&one, t->front, &s))
				rc = keep(l, cap, &s);
	}
	free(rows);
	return rc;
}

int
tables_read(const struct tables *t, struct who_list *ret)
{
	struct who_list l = {0};
	size_t cap = 0;
	int rc = 0;

	for (size_t i = 0; i < t->n && rc == 0; i++)
		rc = read_table(&t->at[i], &l, &cap);
	if (rc < 0) {
		free(l.at);
		return rc;
	}
	*ret = l;
	return 0;
}
