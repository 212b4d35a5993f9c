#include "move/import_open.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct head {
	uint32_t rows, unreadable;
	uint64_t bad_n;
};

struct packed_row {
	uint64_t size;
	uint32_t line, order, uidl_n, name_n;
	uint8_t saved, has_marks;
};

static bool
put(FILE *f, const void *p, size_t n)
{
	return n == 0 || fwrite(p, n, 1, f) == 1;
}

static bool
put_row(FILE *f, const struct import_row *r)
{
	struct packed_row p = {.size = r->size,
		.line = r->line,
		.order = r->order,
		.uidl_n = (uint32_t)r->uidl.n,
		.name_n = (uint32_t)r->name.n,
		.saved = r->saved,
		.has_marks = r->marks != NULL};

	return put(f, &p, sizeof(p)) && put(f, r->uidl.p, r->uidl.n) &&
		put(f, r->name.p, r->name.n) &&
		(!r->marks || put(f, r->marks, sizeof(*r->marks)));
}

int
import_pack(const struct import *im, struct view bad, int fd)
{
	struct head h = {im->rows_n, im->counts[IMPORT_UNREADABLE], bad.n};
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *f = copy < 0 ? NULL : fdopen(copy, "w");

	if (!f) {
		int err = -errno;
		fd_close(&copy);
		return err;
	}
	bool good = put(f, &h, sizeof(h)) && put(f, bad.p, bad.n);
	for (uint32_t i = 0; good && i < im->rows_n; i++)
		good = put_row(f, &im->rows[i]);
	int err = good ? 0 : -errno;
	return fclose(f) != 0 && good ? -errno : err;
}

/* ---- reading: the writer may have been taken over by what it read ---- */

static const uint8_t *
take(struct view *v, size_t n)
{
	const uint8_t *p = v->p;

	if (n > v->n)
		return NULL;
	v->p += n;
	v->n -= n;
	return p;
}

static int
take_marks(struct import *im, struct view *v, struct import_row *r)
{
	struct header_marks *m;
	const uint8_t *p = take(v, sizeof(*m));

	if (!p || p[offsetof(struct header_marks, has_id)] > 1 ||
		p[offsetof(struct header_marks, n)] > MARKS_RECEIVED_MAX + 1)
		return -EBADMSG;
	m = import_room(im, sizeof(*m));
	if (!m)
		return -ENOMEM;
	memcpy(m, p, sizeof(*m));
	r->marks = m;
	return 0;
}

static int
take_row(struct import *im, struct view *v)
{
	struct packed_row p;
	const uint8_t *octets = take(v, sizeof(p));

	if (!octets)
		return -EBADMSG;
	memcpy(&p, octets, sizeof(p));
	const uint8_t *uidl = take(v, p.uidl_n), *name = uidl ? take(v, p.name_n) : NULL;
	if (!name)
		return -EBADMSG;
	struct import_row *r = import_row_add(im);
	if (!r)
		return -ENOMEM;
	r->size = p.size;
	r->line = p.line;
	r->order = p.order;
	r->saved = p.saved != 0;
	r->uidl = import_keep(im, (struct view){uidl, p.uidl_n});
	r->name = import_keep(im, (struct view){name, p.name_n});
	return p.has_marks ? take_marks(im, v, r) : 0;
}

static int
take_all(struct import *im, FILE *bad, struct view v)
{
	struct head h;
	const uint8_t *octets = take(&v, sizeof(h));
	int r = 0;

	if (!octets)
		return -EBADMSG;
	memcpy(&h, octets, sizeof(h));
	const uint8_t *text = take(&v, h.bad_n);
	if (!text)
		return -EBADMSG;
	if (h.bad_n > 0 && fwrite(text, h.bad_n, 1, bad) != 1)
		return -ENOMEM;
	im->counts[IMPORT_UNREADABLE] += h.unreadable;
	for (uint32_t i = 0; i < h.rows && r == 0; i++)
		r = take_row(im, &v);
	if (r == 0 && v.n > 0)
		r = -EBADMSG;
	return r == 0 && im->no_memory ? -ENOMEM : r;
}

int
import_unpack(struct import *im, FILE *bad, int fd)
{
	AUTO_FREE uint8_t *octets = NULL;
	size_t n = 0;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	int r = fd_read_file(fd, IMPORT_PACK_OCTETS_MAX, &octets, &n);
	return r < 0 ? r : take_all(im, bad, (struct view){octets, n});
}
