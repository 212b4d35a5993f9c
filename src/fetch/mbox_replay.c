#include "fetch/mbox_replay.h"

#include "fetch/durable.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 65536

struct blocks {
	uint8_t ours[BLOCK], theirs[BLOCK];
};

int
mbox_append(int mbox, uint64_t offset, const struct stage *s, uint64_t start, uint64_t n)
{
	AUTO_FREE uint8_t *block = malloc(BLOCK);
	int r = block ? 0 : -ENOMEM;

	for (uint64_t done = 0; r == 0 && done < n;) {
		size_t piece = n - done < BLOCK ? (size_t)(n - done) : BLOCK;

		r = fd_pread_all(s->fd, block, piece, start + done);
		if (r == 0)
			r = fd_pwrite_all(mbox, block, piece, offset + done);
		done += piece;
	}
	return r;
}

/* Whether each octet is the one that was staged, or one that never came to the disk. */
static bool
is_torn_copy(const struct blocks *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (b->theirs[i] && b->theirs[i] != b->ours[i])
			return false;
	return true;
}

/*
 * n octets at the offset of the mbox against those at `start` of the stage. torn: zeros
 * in the mbox are good too. They need not fill sectors: one may have been written while
 * only a part of it was there, and the mbox's length later.
 */
static int
compare(int mbox, uint64_t offset, const struct stage *s, uint64_t start, uint64_t n,
	bool torn, bool *ret_same)
{
	AUTO_FREE struct blocks *b = malloc(sizeof(*b));
	bool same = true;
	int r = b ? 0 : -ENOMEM;

	while (r == 0 && same && n > 0) {
		size_t piece = n < BLOCK ? (size_t)n : BLOCK;

		r = fd_pread_all(s->fd, b->ours, piece, start);
		if (r == 0)
			r = fd_pread_all(mbox, b->theirs, piece, offset);
		if (r == 0)
			same = torn ? is_torn_copy(b, piece)
				    : memcmp(b->ours, b->theirs, piece) == 0;
		start += piece;
		offset += piece;
		n -= piece;
	}
	if (r == 0)
		*ret_same = same;
	return r;
}

/* Looks for one letter, without the line ends before its From_ line. */
static int
search(int mbox, uint64_t size, const struct stage *s, struct stage_row *row)
{
	AUTO_FREE struct blocks *b = malloc(sizeof(*b));
	uint64_t start = row->start, n = row->length;
	int r = b ? 0 : -ENOMEM;

	while (r == 0 && n > 0) {
		r = fd_pread_all(s->fd, b->ours, 1, start);
		if (r < 0 || b->ours[0] != '\n')
			break;
		start++;
		n--;
	}
	size_t head = n < MBOXRD_FROM_MAX ? (size_t)n : MBOXRD_FROM_MAX;
	if (r == 0)
		r = fd_pread_all(s->fd, b->ours, head, start);
	/* Each window overlaps the next by the head less one octet. */
	for (uint64_t at = 0; r == 0 && head > 0 && n <= size && at <= size - n;) {
		size_t window = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
		const uint8_t *hit;

		r = fd_pread_all(mbox, b->theirs, window, at);
		if (r < 0)
			break;
		hit = memmem(b->theirs, window, b->ours, head);
		if (!hit) {
			at += window > head ? window - head + 1 : 1;
			continue;
		}
		at += (uint64_t)(hit - b->theirs);
		if (at > size - n)
			break;
		r = compare(mbox, at, s, start, n, false, &row->found);
		if (r < 0 || row->found)
			break;
		at++;
	}
	return r;
}

static int
write_again(int mbox, struct stage *s)
{
	int r = mbox_append(mbox, s->old_size, s, 0, s->text_n);

	if (r == 0)
		r = durable_sync(mbox);
	if (r < 0) {
		/* As it was before the batch: our torn part goes too. */
		if (ftruncate(mbox, (off_t)s->old_size) < 0)
			return -errno;
		(void)durable_sync(mbox); /* the error is told already */
		return r;
	}
	for (size_t i = 0; i < s->n; i++)
		s->rows[i].found = true;
	return 0;
}

int
mbox_replay(int mbox, struct stage *s)
{
	struct stat st;
	bool same = false;
	int r = fstat(mbox, &st) < 0 ? -errno : 0;

	if (r < 0)
		return r;
	uint64_t size = (uint64_t)st.st_size, end = s->old_size + s->text_n;
	if (size >= s->old_size) {
		uint64_t n = (size < end ? size : end) - s->old_size;

		r = compare(mbox, s->old_size, s, 0, n, size <= end, &same);
	}
	if (r == 0 && same && size <= end)
		return write_again(mbox, s);
	for (size_t i = 0; r == 0 && i < s->n; i++) {
		s->rows[i].found = same;
		if (!same)
			r = search(mbox, size, s, &s->rows[i]);
	}
	return r < 0 ? r : durable_sync(mbox);
}
