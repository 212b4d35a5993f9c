#include "move/import_source.h"

#include "base/check.h"
#include "move/show.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX_NAME "cyrus.index"

static bool
md5_sum(struct view v, uint8_t ret[16])
{
	uint8_t sum[EVP_MAX_MD_SIZE] = {0};

	if (!EVP_Digest(v.p ? v.p : sum, v.n, sum, NULL, EVP_md5(), NULL))
		return false;
	memcpy(ret, sum, 16);
	return true;
}

static void
md5(struct view v, uint8_t ret[16])
{
	CHECK(md5_sum(v, ret)); /* tried before */
}

/* Where OpenSSL is set up without MD5 (FIPS) no UIDL can be computed with it. */
static bool
md5_works(const struct import_wishes *w, enum import_kind kind)
{
	uint8_t sum[16];
	bool needed = kind == IMPORT_MBOX ? w->mbox == FOREIGN_MBOX_POPA3D
					  : memchr(w->format.p, 'M', w->format.n) != NULL;

	return !needed || md5_sum(VIEW("probe"), sum);
}

/* ---- rows
 * --------------------------------------------------------------------------------- */

static void
take_row(struct foreign_sink *s, const struct foreign_row *f)
{
	struct import_source *x = (struct import_source *)(void *)s;
	struct import_row *r = import_row_add(x->im);

	if (!r)
		return;
	r->uidl = import_keep(x->im, f->uidl);
	r->name = import_keep(x->im, f->name);
	r->size = f->size;
	r->line = f->line;
	r->order = f->order;
	r->saved = f->saved;
	if (!f->header.p)
		return;
	r->marks = import_room(x->im, sizeof(*r->marks));
	if (r->marks && header_marks_read(f->header, r->marks) < 0)
		x->im->no_memory = true;
}

static void
take_bad(struct foreign_sink *s, uint32_t line, const char *why)
{
	struct import_source *x = (struct import_source *)(void *)s;

	x->im->counts[IMPORT_UNREADABLE]++;
	if (x->bad && x->im->counts[IMPORT_UNREADABLE] <= IMPORT_SHOWN_MAX)
		(void)fprintf(x->bad, "line %u: %s\n", line, why);
}

/* ---- kinds
 * -------------------------------------------------------------------------------- */

static bool
is_number_line(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && (p[i] == ' ' || (p[i] >= '0' && p[i] <= '9')))
		i++;
	return i > 0 && i < n && p[i] == '\n';
}

static enum import_kind
kind_of_octets(const uint8_t *p, size_t n)
{
	if (n >= 5 && memcmp(p, "From ", 5) == 0)
		return IMPORT_MBOX;
	if (n >= 12 && memcmp(p + 4, "\0\0\0\0\0\0\0", 7) == 0 && p[11] >= 6)
		return IMPORT_CYRUS;
	if (n >= 3 && (memcmp(p, "3 V", 3) == 0 || memcmp(p, "3 N", 3) == 0))
		return IMPORT_DOVECOT;
	if (n >= 2 && memcmp(p, "1 ", 2) == 0 && is_number_line(p, n))
		return IMPORT_DOVECOT;
	if (n >= 2 && p[0] == '/' && p[1] >= '1' && p[1] <= '9')
		return IMPORT_COURIER;
	return IMPORT_NONE;
}

enum import_kind
import_kind_of(int fd)
{
	uint8_t octets[256];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return IMPORT_NONE;
	if (S_ISDIR(st.st_mode))
		return faccessat(fd, INDEX_NAME, F_OK, AT_EACCESS) == 0 ? IMPORT_CYRUS
									: IMPORT_NONE;
	ssize_t n = pread(fd, octets, sizeof(octets), 0);
	return n > 0 ? kind_of_octets(octets, (size_t)n) : IMPORT_NONE;
}

/* ---- Cyrus: its messages lie beside the index
 * ---------------------------------------------- */

static int
mark_row(struct import *im, int dir, struct import_row *r)
{
	struct import_message m = {.length = 0};
	struct stat st;
	AUTO_FD fd = openat(dir, (const char *)r->name.p,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	m.length = (uint64_t)st.st_size;
	int e = import_marks_of(im, fd, &m);
	r->marks = m.marks;
	return e;
}

static int
open_index(int fd, int *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	int index = S_ISDIR(st.st_mode)
		? openat(fd, INDEX_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
		: fcntl(fd, F_DUPFD_CLOEXEC, 3);
	*ret = index;
	return index < 0 ? -errno : S_ISDIR(st.st_mode);
}

static int
read_cyrus(struct import_source *x, int fd)
{
	AUTO_FREE uint8_t *octets = NULL;
	AUTO_FD index = -1;
	size_t n;
	int dir = open_index(fd, &index);
	int r = dir < 0 ? dir : fd_read_file(index, IMPORT_FILE_MAX, &octets, &n);
	uint32_t first = x->im->rows_n;

	if (r < 0)
		return r;
	foreign_cyrus_read((struct view){octets, n}, x->w->cyrus, &x->sink);
	for (uint32_t i = first; dir == 1 && r == 0 && i < x->im->rows_n; i++)
		r = mark_row(x->im, fd, &x->im->rows[i]);
	return r;
}

static int
read_text(struct import_source *x, int fd, enum import_kind kind)
{
	struct foreign_options o = {x->w->format, md5};
	AUTO_FREE uint8_t *octets = NULL;
	size_t n;
	int r = fd_read_file(
		fd, kind == IMPORT_MBOX ? IMPORT_MBOX_MAX : IMPORT_FILE_MAX, &octets, &n);

	if (r < 0)
		return r;
	struct view text = {octets, n};
	if (kind == IMPORT_DOVECOT)
		foreign_dovecot_read(text, &o, &x->sink);
	else if (kind == IMPORT_COURIER)
		foreign_courier_read(text, &x->sink);
	else
		foreign_mbox_read(text, x->w->mbox, &o, &x->sink);
	return 0;
}

int
import_source_read(struct import *im, int fd, enum import_kind kind,
	const struct import_wishes *w, FILE *bad, char why[IMPORT_WHY_MAX])
{
	struct import_source x = {
		.sink = {take_row, take_bad}, .im = im, .w = w, .bad = bad};

	if (!md5_works(w, kind)) {
		(void)snprintf(why, IMPORT_WHY_MAX,
			"OpenSSL is set up without MD5 here, which these UIDLs need");
		return -ENOTSUP;
	}
	int r = kind == IMPORT_CYRUS ? read_cyrus(&x, fd) : read_text(&x, fd, kind);
	if (r == 0 && im->no_memory)
		r = -ENOMEM;
	if (r < 0)
		(void)snprintf(why, IMPORT_WHY_MAX, "it cannot be read: %s",
			r != -EFBIG		      ? strerrordesc_np(-r)
				: kind == IMPORT_MBOX ? "it is larger than 768 MiB"
						      : "it is larger than 256 MiB");
	return r;
}
