#include "fetch/maildir_headers.h"

#include "base/ascii.h"
#include "base/check.h"
#include "fetch/durable.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 65536

/* What delivery programs and retrievers put on top. */
static const struct view added[] = {
	{(const uint8_t *)"return-path", 11},
	{(const uint8_t *)"delivered-to", 12},
	{(const uint8_t *)"envelope-to", 11},
	{(const uint8_t *)"x-original-to", 13},
	{(const uint8_t *)"delivery-date", 13},
	{(const uint8_t *)"received", 8},
	{(const uint8_t *)"x-getmail-retrieved-from-mailbox", 32},
};

/* The header of a message, as it lies in memory: at most HEADER_OCTETS_MAX count. */
struct header_text {
	uint8_t *p;
	size_t n;
	bool whole; /* its end was found, or the file's */
};

/* The octets of one line with its end. */
static size_t
line_length(struct view v)
{
	const uint8_t *end = memchr(v.p, '\n', v.n);

	return end ? (size_t)(end - v.p) + 1 : v.n;
}

/* The octets of the field at the front with its folded lines; 0: it is not one of those
 * that are added, or nothing would follow. */
static size_t
added_field(struct view v)
{
	const uint8_t *colon = memchr(v.p, ':', line_length(v));
	bool is_added = false;

	for (size_t i = 0; colon && i < ARRAY_SIZE(added); i++)
		is_added |= ascii_equal_nocase(
			ascii_trim_end((struct view){v.p, (size_t)(colon - v.p)}),
			added[i]);
	if (!is_added)
		return 0;
	size_t n = line_length(v);
	while (n < v.n && (v.p[n] == ' ' || v.p[n] == '\t'))
		n += line_length((struct view){v.p + n, v.n - n});
	return n;
}

struct digest_sink {
	struct header_sink sink;
	EVP_MD_CTX *ctx;
};

static void
take_octets(struct header_sink *sink, struct view octets)
{
	CHECK(EVP_DigestUpdate(((struct digest_sink *)sink)->ctx, octets.p, octets.n) ==
		1);
}

/* As a session makes it of TOP; scan: what was seen on the way. */
static int
digest(EVP_MD_CTX *ctx, struct view text, uint8_t ret[HEADER_DIGEST],
	struct header_scan *scan)
{
	struct digest_sink sink = {{take_octets}, ctx};
	uint8_t whole[EVP_MAX_MD_SIZE];

	if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		return -EIO;
	header_init(scan);
	header_take(scan, text, &sink.sink);
	CHECK(EVP_DigestFinal_ex(ctx, whole, NULL) == 1);
	memcpy(ret, whole, HEADER_DIGEST);
	return 0;
}

static int
digest_all(const struct header_text *text, struct message_header *ret)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct view v = {text->p, text->n};
	struct header_scan scan;
	int r = ctx ? digest(ctx, v, ret->digests[0], &scan) : -ENOMEM;

	ret->n = 0;
	if (r == 0 && scan.octets > 0 && text->whole)
		ret->n = 1;
	ret->size = r == 0 && scan.message_id_n > 0 ? UINT64_MAX : 0;
	while (r == 0 && ret->n > 0 && ret->size == UINT64_MAX &&
		ret->n <= HEADER_ADDED_MAX) {
		size_t n = added_field(v);
		if (n == 0)
			break;
		v = (struct view){v.p + n, v.n - n};
		r = digest(ctx, v, ret->digests[ret->n], &scan);
		/* Nothing but its Message-ID would be weak. */
		if (r < 0 || scan.message_id_n == 0 || scan.from_n == 0)
			break;
		ret->n++;
	}
	EVP_MD_CTX_free(ctx);
	return r;
}

/* Whether the text has a blank line; from: where to look on. */
static bool
has_end(const struct header_text *t, size_t from)
{
	for (size_t i = from; i < t->n; i++) {
		if (t->p[i] != '\n')
			continue;
		if (i == 0 || t->p[i - 1] == '\n' ||
			(t->p[i - 1] == '\r' && (i == 1 || t->p[i - 2] == '\n')))
			return true;
	}
	return false;
}

static int
read_header(int fd, struct header_text *t)
{
	size_t cap = 0;

	while (!t->whole && t->n <= HEADER_OCTETS_MAX) {
		if (cap - t->n < PIECE) {
			size_t more = cap ? 2 * cap : (size_t)2 * PIECE;
			uint8_t *p = realloc(t->p, more);
			if (!p)
				return -ENOMEM;
			t->p = p;
			cap = more;
		}
		/* Most headers are short. */
		size_t wanted = t->n == 0 ? 8192 : PIECE;
		ssize_t got = pread(fd, t->p + t->n, wanted, (off_t)t->n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		size_t from = t->n;
		t->n += (size_t)got;
		t->whole = got == 0 || has_end(t, from);
	}
	return 0;
}

/* With every line end as CRLF, as the server counts. */
static int
wire_size(int fd, uint64_t *ret)
{
	AUTO_FREE uint8_t *piece = malloc(PIECE);
	uint64_t at = 0, lone = 0;
	uint8_t last = 0;

	if (!piece)
		return -ENOMEM;
	for (;;) {
		ssize_t got = pread(fd, piece, PIECE, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		for (ssize_t i = 0; i < got; i++) {
			lone += piece[i] == '\n' && last != '\r';
			last = piece[i];
		}
		at += (uint64_t)got;
	}
	*ret = at + lone;
	return 0;
}

int
message_header_read(int fd, struct message_header *ret)
{
	struct header_text text = {0};
	int r = read_header(fd, &text);

	if (r == 0)
		r = digest_all(&text, ret);
	free(text.p);
	if (r == 0 && ret->n > 0 && ret->size != UINT64_MAX)
		r = wire_size(fd, &ret->size);
	return r;
}

/* ---- all of a Maildir ---- */

struct scanning {
	struct maildir_headers *m;
	int dir;
};

static int
take_file(void *arg, const char *name)
{
	struct scanning *s = arg;
	struct message_header h;
	struct stat st;

	if (name[0] == '.')
		return 0;
	AUTO_FD fd = openat(
		s->dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
	/* Renamed by another program meanwhile, or not ours to read. */
	if (fd < 0 || fstat(fd, &st) < 0) {
		s->m->unreadable++;
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return 0;
	int r = message_header_read(fd, &h);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		s->m->unreadable++;
		return 0;
	}
	s->m->files++;
	s->m->weak += h.n == 0;
	return h.n > 0 ? s->m->take(s->m, &h) : 0;
}

int
maildir_headers_read(const char *path, struct maildir_headers *m)
{
	static const char *const parts[] = {"cur", "new"};
	AUTO_FD top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = top < 0 ? -errno : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++) {
		AUTO_FD dir = openat(top, parts[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct scanning s = {m, dir};
		r = dir < 0 ? -errno : durable_scan(dir, take_file, &s);
	}
	return r;
}
