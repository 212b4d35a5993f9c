#include "base/ascii.h"
#include "move/import_source.h"
#include "os/fd.h"
#include "store/maildir_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define BLOCK_OCTETS ((size_t)256 * 1024)
#define HEADER_FIRST ((size_t)16 * 1024)
#define DIRS	     2

static const char *const dirs[DIRS] = {"new", "cur"};

/* ---- names
 * ------------------------------------------------------------------------------ */

static int
add_message(struct import *im, uint8_t dir, const char *file)
{
	struct view v = {(const uint8_t *)file, strlen(file)};
	struct maildir_name name;

	if (!maildir_name_parse(v, &name))
		return 0;
	struct import_message *m = import_message_add(im);
	if (!m)
		return -ENOMEM;
	m->dir = dir;
	m->file = m->label = import_keep(im, v);
	m->key = import_keep(im, (struct view){name.key, name.key_n});
	m->offset = name.time; /* for the order, until all names are here */
	return im->no_memory ? -ENOMEM : 0;
}

static int
read_dir(struct import *im, int top, uint8_t dir)
{
	int fd = openat(top, dirs[dir], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	int r = 0;

	if (fd < 0)
		return -errno;
	DIR *d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return -ENOMEM;
	}
	for (errno = 0; r == 0 && (e = readdir(d)); errno = 0)
		if (e->d_type != DT_DIR)
			r = add_message(im, dir, e->d_name);
	if (r == 0 && errno != 0)
		r = -errno;
	(void)closedir(d);
	return r;
}

/* As our server lists them: by the time in the name, then by the name. */
static int
by_time(const void *a, const void *b)
{
	const struct import_message *x = a, *y = b;
	size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	int c = memcmp(x->key.p, y->key.p, n);
	if (c != 0)
		return c;
	return x->key.n < y->key.n ? -1 : x->key.n > y->key.n;
}

int
import_maildir_read(struct import *im, int top)
{
	int r = 0;

	for (uint8_t d = 0; d < DIRS && r == 0; d++)
		r = read_dir(im, top, d);
	if (r < 0)
		return r;
	if (im->messages_n > 0)
		qsort(im->messages, im->messages_n, sizeof(*im->messages), by_time);
	for (uint32_t i = 0; i < im->messages_n; i++)
		im->messages[i].offset = 0;
	return 0;
}

/* ---- headers and sizes
 * ------------------------------------------------------------------ */

static int
read_upto(int fd, uint8_t *p, size_t n, uint64_t offset, size_t *ret)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = pread(fd, p + have, n - have, (off_t)(offset + have));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	*ret = have;
	return 0;
}

/* Its blanks at the end stay: servers gave them out, and the UIDL is then illegal. */
static struct view
find_xuidl(struct view header)
{
	static const char name[] = "x-uidl:";
	const size_t n = sizeof(name) - 1;

	while (header.n > 0) {
		const uint8_t *lf = memchr(header.p, '\n', header.n);
		struct view line = {header.p, lf ? (size_t)(lf - header.p) : header.n};
		size_t used = line.n + (lf ? 1 : 0);

		if (line.n >= n &&
			ascii_equal_nocase((struct view){line.p, n}, VIEW("x-uidl:"))) {
			struct view v = {line.p + n, line.n - n};
			while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) {
				v.p++;
				v.n--;
			}
			if (v.n > 0 && v.p[v.n - 1] == '\r')
				v.n--;
			return v;
		}
		header.p += used;
		header.n -= used;
	}
	return (struct view){NULL, 0};
}

static int
take_header(struct import *im, struct view header, struct import_message *m)
{
	m->marks = import_room(im, sizeof(*m->marks));
	if (!m->marks)
		return -ENOMEM;
	int r = header_marks_read(header, m->marks);
	struct view xuidl = find_xuidl(header);
	if (r == 0 && xuidl.p)
		m->xuidl = import_keep(im, xuidl);
	return im->no_memory ? -ENOMEM : r;
}

/* As much of the header as there is; one that is longer than we compare has no marks. */
int
import_marks_of(struct import *im, int fd, struct import_message *m)
{
	size_t want = HEADER_FIRST, have = 0;

	for (;; want *= 4) {
		if (want > m->length)
			want = (size_t)m->length;
		AUTO_FREE uint8_t *p = malloc(want + 1);
		if (!p)
			return -ENOMEM;
		int r = read_upto(fd, p, want, m->offset, &have);
		if (r < 0)
			return r;
		size_t end = header_marks_end((struct view){p, have});
		if (end == 0 && (have < want || have == m->length))
			end = have;
		if (end > 0 || m->length == 0)
			return take_header(im, (struct view){p, end}, m);
		if (want > MARKS_HEADER_MAX || have == 0)
			return take_header(im, (struct view){NULL, 0}, m);
	}
}

static uint64_t
bare_line_ends(struct view v, bool *after_cr)
{
	uint64_t n = 0;

	for (size_t i = 0; i < v.n; i++) {
		n += v.p[i] == '\n' && !*after_cr;
		*after_cr = v.p[i] == '\r';
	}
	return n;
}

int
import_measure(int fd, struct import_message *m)
{
	AUTO_FREE uint8_t *block = malloc(BLOCK_OCTETS);
	uint64_t at = m->marks->stored, bare = 0;
	bool after_cr = false;
	uint8_t last = '\n';
	uint64_t sum = 0;

	if (!block)
		return -ENOMEM;
	m->body_stored = m->length > at ? m->length - at : 0;
	while (at < m->length) {
		size_t want = m->length - at < BLOCK_OCTETS ? (size_t)(m->length - at)
							    : BLOCK_OCTETS;
		size_t have;
		int r = read_upto(fd, block, want, m->offset + at, &have);
		if (r < 0)
			return r;
		if (have == 0)
			return -EIO;
		bare += bare_line_ends((struct view){block, have}, &after_cr);
		/* Blocks are the same wherever headers and lengths are. */
		sum = XXH3_64bits_withSeed(block, have, sum);
		last = block[have - 1];
		at += have;
	}
	m->body = sum;
	m->has_body = true;
	m->unfinished = last != '\n';
	m->body_wire = m->body_stored + bare + (m->unfinished ? 2 : 0);
	return 0;
}

/* Names often say both sizes: then the body need not be read. One that does not end in a
 * line end does, for programs differ in how they count it. */
static bool
size_is_named(int fd, struct import_message *m)
{
	struct maildir_name name;
	uint8_t last = 0;

	if (!maildir_name_parse(m->file, &name) || !name.has_size || !name.has_wire ||
		name.size != m->length || name.wire < name.size ||
		name.wire < m->marks->wire || m->length < m->marks->stored)
		return false;
	if (m->length == 0 || pread(fd, &last, 1, (off_t)(m->length - 1)) != 1 ||
		last != '\n')
		return false;
	m->body_wire = name.wire - m->marks->wire;
	m->body_stored = m->length - m->marks->stored;
	return true;
}

static int
open_message(int dir, const struct import_message *m)
{
	int fd = openat(dir, (const char *)m->file.p,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int
mark(struct import *im, int dir, struct import_message *m)
{
	struct stat st;
	AUTO_FD fd = open_message(dir, m);

	/* Gone meanwhile, or no message at all: it cannot be known again. */
	if (fd == -ENOENT || fd == -ELOOP || fd == -ENXIO)
		return 0;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	m->length = (uint64_t)st.st_size;
	int r = import_marks_of(im, fd, m);
	if (r < 0 || size_is_named(fd, m))
		return r;
	return import_measure(fd, m);
}

/* ---- bodies, of those that are alike otherwise ---- */

static int
by_look(const void *a, const void *b, void *arg)
{
	const struct import *im = arg;
	const struct import_message *x = &im->messages[*(const uint32_t *)a];
	const struct import_message *y = &im->messages[*(const uint32_t *)b];

	if (x->body_wire != y->body_wire)
		return x->body_wire < y->body_wire ? -1 : 1;
	return memcmp(x->marks->digests[x->marks->n - 1],
		y->marks->digests[y->marks->n - 1], MARKS_DIGEST);
}

static int
read_body(int dir, struct import_message *m)
{
	AUTO_FD fd = m->has_body ? -1 : open_message(dir, m);

	if (m->has_body || fd == -ENOENT)
		return 0;
	return fd < 0 ? fd : import_measure(fd, m);
}

static int
read_alike(struct import *im, int fds_new, int fds_cur)
{
	AUTO_FREE uint32_t *list = calloc((size_t)im->messages_n + 1, sizeof(*list));
	size_t n = 0;
	int r = list ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < im->messages_n && r == 0; i++)
		if (im->messages[i].marks && im->messages[i].marks->n > 0)
			list[n++] = i;
	if (r == 0)
		qsort_r(list, n, sizeof(*list), by_look, im);
	for (size_t i = 1; i < n && r == 0; i++) {
		struct import_message *a = &im->messages[list[i - 1]];
		struct import_message *b = &im->messages[list[i]];
		if (by_look(&list[i - 1], &list[i], im) != 0)
			continue;
		r = read_body(a->dir == 0 ? fds_new : fds_cur, a);
		if (r == 0)
			r = read_body(b->dir == 0 ? fds_new : fds_cur, b);
	}
	return r;
}

int
import_maildir_marks(struct import *im, int top, bool all)
{
	AUTO_FD fds_new =
		openat(top, dirs[0], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_FD fds_cur =
		openat(top, dirs[1], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fds_new < 0 || fds_cur < 0 ? -errno : 0;

	for (uint32_t i = 0; i < im->messages_n && r == 0; i++) {
		struct import_message *m = &im->messages[i];
		if ((all || m->row == 0) && !m->marks)
			r = mark(im, m->dir == 0 ? fds_new : fds_cur, m);
	}
	return r == 0 ? read_alike(im, fds_new, fds_cur) : r;
}
