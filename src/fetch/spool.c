#include "fetch/spool_parts.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/mutex.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
open_maildir(const char *path, int *ret_tmp)
{
	static const char *const names[] = {"cur", "new", "tmp"};
	AUTO_FD root = -1;
	int fds[3];
	int r = durable_directory(path, &root);

	if (r == 0)
		r = durable_subdirectories(root, names, 3, fds);
	if (r < 0)
		return r;
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	*ret_tmp = fds[2];
	return 0;
}

static int
open_own(const char *state_dir, int *ret)
{
	AUTO_FD root = -1;
	int r = durable_directory(state_dir, &root);

	return r < 0 ? r : durable_subdirectory(root, "spool", ret);
}

static int
make_mark(struct spool *s)
{
	const struct fetch_account *a = s->account;
	uint8_t id[16], hash[DIGEST_OCTETS];
	char hex[17];
	int r = spool_id(s->state_dir, id);

	if (r < 0)
		return r;
	struct view fields[] = {VIEW("mark"), {id, sizeof(id)}, durable_view(a->name),
		durable_view(a->host), durable_view(a->user)};
	r = durable_hash(fields, 5, hash);
	if (r < 0)
		return r;
	durable_hex(hash, 8, hex);
	(void)snprintf(s->mark, sizeof(s->mark), "restante-fetch.%s.", hex);
	r = durable_random(id, 8);
	if (r < 0)
		return r;
	durable_hex(id, 8, hex);
	(void)snprintf(s->run, sizeof(s->run), "%ld.%s", (long)getpid(), hex);
	return 0;
}

int
spool_open(const struct fetch_account *a, const char *state_dir, struct spool **ret,
	char *why, size_t why_n)
{
	struct spool *s = calloc(1, sizeof(*s));
	const char *where = state_dir;
	int r = -ENOMEM;

	if (!s)
		goto failed;
	*s = (struct spool){.account = a, .dir = -1, .target = -1};
	mutex_init(&s->lock);
	s->state_dir = strdup(state_dir);
	if (!s->state_dir)
		goto failed;
	for (size_t i = 0; i < a->targets_n && s->target < 0; i++)
		if (a->targets[i].kind == FETCH_MAILDIR)
			s->target = (int)i;
	s->to_lf = s->target >= 0 && a->line_ends == FETCH_LINE_ENDS_LF;
	r = make_mark(s);
	if (r < 0)
		goto failed;
	if (s->target >= 0)
		where = a->targets[s->target].where;
	r = s->target >= 0 ? open_maildir(where, &s->dir) : open_own(where, &s->dir);
	if (r < 0)
		goto failed;
	*ret = s;
	return 0;
failed:
	(void)snprintf(why, why_n, "%s: cannot be made ready for mail: %s%s", where,
		strerrordesc_np(-r),
		r == -EBADMSG ? " (the file \"id\" in it is damaged; put the right one "
				"back, or remove it)"
			      : "");
	spool_close(&s);
	return r;
}

void
spool_close(struct spool **s)
{
	if (!*s)
		return;
	spool_stock_drop(*s);
	mutex_destroy(&(*s)->lock);
	while ((*s)->free) {
		struct writing *w = (*s)->free;

		(*s)->free = w->next;
		EVP_MD_CTX_free(w->all);
		EVP_MD_CTX_free(w->header);
		free(w);
	}
	fd_close(&(*s)->dir);
	free((*s)->state_dir);
	free(*s);
	*s = NULL;
}

int
spool_directory(const struct spool *s, int *ret_target)
{
	*ret_target = s->target;
	return s->dir;
}

const char *
spool_mark(const struct spool *s)
{
	return s->mark;
}

const char *
spool_state_directory(const struct spool *s)
{
	return s->state_dir;
}

static void
take_header(struct header_sink *sink, struct view octets)
{
	struct writing *w = (struct writing *)(void *)sink;

	if (EVP_DigestUpdate(w->header, octets.p, octets.n) != 1)
		w->error = -ENOMEM;
}

/* A writing at its start: from the free ones, or new. */
static struct writing *
start_writing(struct spool *s)
{
	struct writing *w = s->free;

	if (w)
		s->free = w->next;
	else
		w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->sink.take = take_header;
	w->ends = (struct line_ends){0};
	w->dot = (struct dot_state){0};
	w->error = 0;
	w->from_at = 0;
	w->from_done = !s->account->drop_from_line;
	w->drop = false;
	w->n = 0;
	if (!w->all)
		w->all = EVP_MD_CTX_new();
	if (!w->header)
		w->header = EVP_MD_CTX_new();
	if (!w->all || !w->header ||
		EVP_DigestInit_ex(w->all, durable_sha256(), NULL) != 1 ||
		EVP_DigestInit_ex(w->header, durable_sha256(), NULL) != 1)
		w->error = -ENOMEM;
	return w;
}

void
spool_release(struct spool *s, struct letter *l)
{
	struct writing *w = l->writing;

	if (!w)
		return;
	w->next = s->free;
	s->free = w;
	l->writing = NULL;
}

int
spool_flush(struct letter *l)
{
	struct writing *w = l->writing;

	if (w->error == 0 && w->n > 0) {
		l->wire += dot_best()->count(&w->dot, w->block, w->n);
		l->stored += w->n;
		w->error = fd_write_all(l->fd, w->block, w->n);
	}
	w->n = 0;
	return w->error;
}

/* Octets of the message as they are kept, into the block. */
static void
keep(struct spool *s, struct letter *l, struct view octets)
{
	struct writing *w = l->writing;

	while (octets.n > 0 && w->error == 0) {
		/* A CR that was held back needs room for one more. */
		size_t room = sizeof(w->block) - w->n - 1;
		size_t n = octets.n < room ? octets.n : room;

		if (s->to_lf) {
			w->n += line_ends_to_lf(&w->ends, octets.p, n, w->block + w->n);
		} else {
			memcpy(w->block + w->n, octets.p, n);
			w->n += n;
		}
		octets.p += n;
		octets.n -= n;
		if (w->n + 2 > sizeof(w->block))
			(void)spool_flush(l); /* w->error has it */
	}
}

/* drop_from_line: a first line that begins with "From " is not kept. */
static void
keep_after_from(struct spool *s, struct letter *l, struct view octets)
{
	static const char from[] = "From ";
	struct writing *w = l->writing;

	while (octets.n > 0 && !w->from_done && !w->drop) {
		if (octets.p[0] != (uint8_t)from[w->from_at]) {
			w->from_done = true;
			keep(s, l, (struct view){(const uint8_t *)from, w->from_at});
			break;
		}
		w->from_at++;
		w->drop = w->from_at == sizeof(from) - 1;
		octets.p++;
		octets.n--;
	}
	if (w->drop && !w->from_done) {
		const uint8_t *end = octets.n ? memchr(octets.p, '\n', octets.n) : NULL;

		if (!end)
			return;
		w->from_done = true;
		octets.n -= (size_t)(end + 1 - octets.p);
		octets.p = end + 1;
	}
	keep(s, l, octets);
}

/* ---- files ---- */

static void
name_of(const struct spool *s, uint64_t number, char ret[LETTER_NAME_MAX])
{
	(void)snprintf(ret, LETTER_NAME_MAX, "%s%s.%llu", s->mark, s->run,
		(unsigned long long)number);
}

/* -errno. */
static int
make_file(const struct spool *s, const char *name)
{
	int fd = openat(
		s->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

void
spool_stock(struct spool *s, uint32_t most)
{
	CHECK(most <= SPOOL_STOCK_MAX);
	mutex_lock(&s->lock);
	while (s->stock_n < most) {
		char name[LETTER_NAME_MAX];
		uint64_t number = ++s->counter;

		mutex_unlock(&s->lock);
		name_of(s, number, name);
		int fd = make_file(s, name);
		mutex_lock(&s->lock);
		if (fd < 0)
			break;
		uint32_t at = (s->stock_first + s->stock_n++) % SPOOL_STOCK_MAX;
		s->stock[at].fd = fd;
		s->stock[at].number = number;
	}
	mutex_unlock(&s->lock);
}

uint32_t
spool_stocked(struct spool *s)
{
	mutex_lock(&s->lock);
	uint32_t n = s->stock_n;
	mutex_unlock(&s->lock);
	return n;
}

/* The next file, -1 where it has to be made yet. */
static int
take_file(struct spool *s, char ret_name[LETTER_NAME_MAX])
{
	uint64_t number;
	int fd = -1;

	mutex_lock(&s->lock);
	if (s->stock_n > 0) {
		fd = s->stock[s->stock_first].fd;
		number = s->stock[s->stock_first].number;
		s->stock_first = (s->stock_first + 1) % SPOOL_STOCK_MAX;
		s->stock_n--;
	} else {
		number = ++s->counter;
	}
	mutex_unlock(&s->lock);
	name_of(s, number, ret_name);
	return fd;
}

void
spool_stock_drop(struct spool *s)
{
	while (spool_stocked(s) > 0) {
		char name[LETTER_NAME_MAX];
		int fd = take_file(s, name);

		(void)unlinkat(s->dir, name, 0); /* what stays, the replay removes */
		fd_close(&fd);
	}
}

int
spool_begin(struct spool *s, struct letter *l)
{
	char line[512];
	int r;

	l->fd = -1;
	l->fate = LETTER_COMING;
	l->why[0] = 0;
	l->octets = l->stored = l->wire = 0;
	l->was_synced = false;
	l->wanted = 0;
	l->names = NULL;
	header_init(&l->scan);
	l->tmp[0] = 0;
	struct writing *w = start_writing(s);
	if (!w)
		return -ENOMEM;
	l->writing = w;
	l->fd = take_file(s, l->tmp);
	if (l->fd < 0)
		l->fd = make_file(s, l->tmp);
	r = l->fd < 0 ? l->fd : w->error;
	if (r < 0) {
		spool_abort(s, l);
		return r;
	}
	if (s->account->trace == FETCH_TRACE_YES) {
		size_t n = spool_received(s->account, clock_unix_s(), line, sizeof(line));

		keep(s, l, (struct view){(const uint8_t *)line, n});
	}
	return 0;
}

int
spool_write(struct spool *s, struct letter *l, struct view octets)
{
	struct writing *w = l->writing;

	if (!w)
		return -EBADF;
	if (w->error < 0 || octets.n == 0)
		return w->error;
	l->octets += octets.n;
	if (EVP_DigestUpdate(w->all, octets.p, octets.n) != 1)
		w->error = -ENOMEM;
	header_take(&l->scan, octets, &w->sink);
	if (w->from_done)
		keep(s, l, octets);
	else
		keep_after_from(s, l, octets);
	return w->error;
}

int
spool_finish(struct spool *s, struct letter *l)
{
	struct writing *w = l->writing;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!w)
		return -EBADF;
	if (!w->from_done && !w->drop) {
		/* A message that is no more than the beginning of "From ". */
		w->from_done = true;
		keep(s, l, (struct view){(const uint8_t *)"From ", w->from_at});
	}
	if (w->error == 0 && s->to_lf)
		w->n += line_ends_finish(&w->ends, w->block + w->n);
	int r = spool_flush(l);
	if (r == 0 &&
		(EVP_DigestFinal_ex(w->all, l->digest, &n) != 1 ||
			EVP_DigestFinal_ex(w->header, digest, &n) != 1))
		r = -ENOMEM;
	if (r < 0)
		return w->error = r;
	memcpy(l->header, digest, HEADER_DIGEST);
	l->wire += dot_finish_count(&w->dot);
	spool_release(s, l);
	return 0;
}

void
spool_abort(struct spool *s, struct letter *l)
{
	spool_release(s, l);
	if (l->tmp[0])
		(void)unlinkat(s->dir, l->tmp, 0); /* what stays, the replay removes */
	l->tmp[0] = 0;
	fd_close(&l->fd);
}
