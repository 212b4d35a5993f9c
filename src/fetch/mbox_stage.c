#include "fetch/mbox_stage.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "fetch/durable.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK	   65536
#define HEAD	   8192 /* of the message, looked through for its Return-Path */
#define ROW_OCTETS (STAGE_MARK_OCTETS + 8 + 8 + DIGEST_OCTETS)
#define END_OCTETS (8 + STAGE_NONCE_OCTETS + 8 + 8 + 4 + 4 + DIGEST_OCTETS)

static const uint8_t magic[8] = {'R', 'e', 's', 'M', 'b', 'o', 'x', '1'};

void
stage_free(struct stage *s)
{
	fd_close(&s->fd);
	free(s->rows);
	*s = (struct stage){.fd = -1};
}

int
stage_begin(struct stage *s, int state_dir, const char *name,
	const uint8_t nonce[STAGE_NONCE_OCTETS], uint64_t old_size)
{
	*s = (struct stage){.fd = -1, .old_size = old_size};
	memcpy(s->nonce, nonce, STAGE_NONCE_OCTETS);
	s->fd = openat(state_dir, name,
		O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return s->fd < 0 ? -errno : 0;
}

/* The text on its way into the file. */
struct pen {
	struct mboxrd_sink sink; /* first: the sink is the pen */
	int fd, error;
	uint64_t at;
	EVP_MD_CTX *digest;
	size_t n;
	uint8_t in[BLOCK], out[BLOCK];
};

static void
flush(struct pen *p)
{
	if (p->error == 0 && EVP_DigestUpdate(p->digest, p->out, p->n) != 1)
		p->error = -ENOMEM;
	if (p->error == 0)
		p->error = fd_pwrite_all(p->fd, p->out, p->n, p->at);
	p->at += p->n;
	p->n = 0;
}

static void
write_text(struct mboxrd_sink *sink, struct view octets)
{
	struct pen *p = (struct pen *)(void *)sink;

	while (octets.n > 0) {
		size_t room = sizeof(p->out) - p->n;
		size_t n = octets.n < room ? octets.n : room;

		memcpy(p->out + p->n, octets.p, n);
		p->n += n;
		octets.p += n;
		octets.n -= n;
		if (p->n == sizeof(p->out))
			flush(p);
	}
}

static void
write_letter(struct pen *p, const struct letter *l, const char *prefix, uint64_t now_s)
{
	struct mboxrd quoting = {0};
	char from[MBOXRD_FROM_MAX];
	bool is_first = true;
	uint64_t done = 0;

	do {
		uint64_t left = l->stored - done;
		size_t n = left < sizeof(p->in) ? (size_t)left : sizeof(p->in);

		p->error = fd_pread_all(l->fd, p->in, n, done);
		if (p->error < 0)
			return;
		if (is_first) {
			struct view head = {p->in, n < HEAD ? n : HEAD};
			size_t from_n = mboxrd_from_line(head, now_s, from);

			write_text(&p->sink, durable_view(prefix));
			write_text(
				&p->sink, (struct view){(const uint8_t *)from, from_n});
		}
		is_first = false;
		mboxrd_take(&quoting, (struct view){p->in, n}, &p->sink);
		done += n;
	} while (done < l->stored && p->error == 0);
	mboxrd_finish(&quoting, &p->sink);
	flush(p);
}

int
stage_add(struct stage *s, const struct letter *l, const uint8_t mark[STAGE_MARK_OCTETS],
	const char *prefix, uint64_t now_s)
{
	unsigned n = 0;

	if (s->n == STAGE_LETTERS_MAX)
		return -E2BIG;
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		void *rows = reallocarray(s->rows, room, sizeof(*s->rows));

		if (!rows)
			return -ENOMEM;
		s->rows = rows;
		s->room = room;
	}
	struct pen *p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->sink.take = write_text;
	p->fd = s->fd;
	p->error = 0;
	p->at = s->text_n;
	p->n = 0;
	p->digest = EVP_MD_CTX_new();
	struct stage_row *row = &s->rows[s->n];
	*row = (struct stage_row){.start = s->text_n};
	memcpy(row->mark, mark, STAGE_MARK_OCTETS);
	if (!p->digest || EVP_DigestInit_ex(p->digest, EVP_sha256(), NULL) != 1)
		p->error = -ENOMEM;
	if (p->error == 0)
		write_letter(p, l, prefix, now_s);
	if (p->error == 0 && EVP_DigestFinal_ex(p->digest, row->digest, &n) != 1)
		p->error = -ENOMEM;
	int r = p->error;
	row->length = p->at - row->start;
	EVP_MD_CTX_free(p->digest);
	free(p);
	if (r < 0)
		return r; /* the next letter goes over it */
	s->text_n += row->length;
	s->n++;
	return 0;
}

static size_t
table_octets(size_t n)
{
	return n * ROW_OCTETS + END_OCTETS - DIGEST_OCTETS;
}

int
stage_seal(struct stage *s, int state_dir)
{
	size_t n = table_octets(s->n);
	AUTO_FREE uint8_t *table = malloc(n + DIGEST_OCTETS);

	if (!table)
		return -ENOMEM;
	struct buf b = {.p = table, .cap = n};
	for (size_t i = 0; i < s->n; i++) {
		buf_put(&b, s->rows[i].mark, STAGE_MARK_OCTETS);
		buf_put_u64(&b, s->rows[i].start);
		buf_put_u64(&b, s->rows[i].length);
		buf_put(&b, s->rows[i].digest, DIGEST_OCTETS);
	}
	buf_put(&b, magic, sizeof(magic));
	buf_put(&b, s->nonce, sizeof(s->nonce));
	buf_put_u64(&b, s->old_size);
	buf_put_u64(&b, s->text_n);
	buf_put_u32(&b, (uint32_t)s->n);
	buf_put_u32(&b, 0);
	struct view all = {table, n};
	int r = durable_hash(&all, 1, table + n);
	if (r == 0)
		r = fd_pwrite_all(s->fd, table, n + DIGEST_OCTETS, s->text_n);
	/* A letter that failed may have written more than the last one. */
	if (r == 0 && ftruncate(s->fd, (off_t)(s->text_n + n + DIGEST_OCTETS)) < 0)
		r = -errno;
	if (r == 0)
		r = durable_sync(s->fd);
	return r < 0 ? r : durable_sync(state_dir);
}

/*
 * Whether the text is what the rows say. A crash before the seal's sync may have left the
 * end of the file without what lies before it.
 */
static int
check_text(const struct stage *s)
{
	AUTO_FREE uint8_t *block = malloc(BLOCK);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	int r = block && c ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		const struct stage_row *row = &s->rows[i];
		uint8_t digest[EVP_MAX_MD_SIZE];

		if (EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
			r = -ENOMEM;
		for (uint64_t done = 0; r == 0 && done < row->length;) {
			uint64_t left = row->length - done;
			size_t n = left < BLOCK ? (size_t)left : BLOCK;

			r = fd_pread_all(s->fd, block, n, row->start + done);
			if (r == 0 && EVP_DigestUpdate(c, block, n) != 1)
				r = -ENOMEM;
			done += n;
		}
		if (r == 0 && EVP_DigestFinal_ex(c, digest, NULL) != 1)
			r = -ENOMEM;
		if (r == 0 && memcmp(digest, row->digest, DIGEST_OCTETS) != 0)
			r = -ENOENT;
	}
	EVP_MD_CTX_free(c);
	return r;
}

static int
load_rows(struct stage *s, uint64_t file_n)
{
	uint8_t end[END_OCTETS], digest[DIGEST_OCTETS];
	int r = file_n < END_OCTETS
		? -ENOENT
		: fd_pread_all(s->fd, end, sizeof(end), file_n - END_OCTETS);

	if (r < 0)
		return r;
	struct cursor c = cursor_over((struct view){end, sizeof(end)});
	if (memcmp(cursor_take(&c, sizeof(magic)).p, magic, sizeof(magic)) != 0)
		return -ENOENT;
	memcpy(s->nonce, cursor_take(&c, sizeof(s->nonce)).p, sizeof(s->nonce));
	s->old_size = cursor_u64(&c);
	s->text_n = cursor_u64(&c);
	uint32_t n = cursor_u32(&c);
	if (n > STAGE_LETTERS_MAX || s->text_n > file_n ||
		file_n - s->text_n != table_octets(n) + DIGEST_OCTETS)
		return -ENOENT;
	AUTO_FREE uint8_t *table = malloc(table_octets(n));
	s->rows = calloc((size_t)n + 1, sizeof(*s->rows));
	if (!table || !s->rows)
		return -ENOMEM;
	r = fd_pread_all(s->fd, table, table_octets(n), s->text_n);
	if (r < 0)
		return r;
	struct view all = {table, table_octets(n)};
	r = durable_hash(&all, 1, digest);
	if (r < 0)
		return r;
	if (memcmp(digest, end + sizeof(end) - DIGEST_OCTETS, DIGEST_OCTETS) != 0)
		return -ENOENT;
	c = cursor_over(all);
	uint64_t at = 0;
	for (s->n = 0; s->n < n; s->n++) {
		struct stage_row *row = &s->rows[s->n];

		memcpy(row->mark, cursor_take(&c, STAGE_MARK_OCTETS).p,
			STAGE_MARK_OCTETS);
		row->start = cursor_u64(&c);
		row->length = cursor_u64(&c);
		memcpy(row->digest, cursor_take(&c, DIGEST_OCTETS).p, DIGEST_OCTETS);
		if (row->start != at || row->length > s->text_n - at)
			return -ENOENT;
		at += row->length;
	}
	return at == s->text_n ? check_text(s) : -ENOENT;
}

int
stage_load(struct stage *s, int state_dir, const char *name)
{
	struct stat st;

	*s = (struct stage){.fd = -1};
	s->fd = openat(state_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int r = s->fd < 0 || fstat(s->fd, &st) < 0 ? -errno
						   : load_rows(s, (uint64_t)st.st_size);
	if (r < 0)
		stage_free(s);
	return r;
}
