/*
 * An mbox in the mboxrd form, appended to under both locks (mbox_lock.h). A batch is
 * staged first (mbox_stage.h), so that a replay can tell what became of it
 * (mbox_replay.h); whatever fails before the sync is taken back by ftruncate, so that an
 * mbox never keeps half a message of a run that lived to see it.
 *
 * The name in the journal is "mbox:MARK:NONCE": of the message, and of the batch.
 */
#include "fetch/target.h"

#include "fetch/durable.h"
#include "fetch/mbox_lock.h"
#include "fetch/mbox_replay.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_WAIT_MS 30000
#define NAME_PREFIX  "mbox:"
#define NONCE_HEX    (2 * STAGE_NONCE_OCTETS)

struct target {
	struct target_context c;
	int state_dir;
	char stage_name[64];
	uint8_t nonce[STAGE_NONCE_OCTETS]; /* of the batch being prepared */
	bool has_nonce;
	bool was_replayed; /* `replayed` says what became of the staged batch */
	struct stage replayed;
};

static void
mbox_close(struct target **t)
{
	if (!*t)
		return;
	stage_free(&(*t)->replayed);
	fd_close(&(*t)->state_dir);
	free(*t);
	*t = NULL;
}

static int
mbox_open(const struct target_context *c, struct target **ret, char *why, size_t why_n)
{
	struct target *t = calloc(1, sizeof(*t));
	struct view fields[] = {
		VIEW("mbox"), durable_view(c->mark), durable_view(c->spec->where)};
	uint8_t hash[DIGEST_OCTETS];
	int r = -ENOMEM;

	if (t) {
		*t = (struct target){.c = *c, .state_dir = -1};
		t->replayed.fd = -1;
		r = durable_hash(fields, 3, hash);
	}
	if (r == 0) {
		memcpy(t->stage_name, "mbox.", 5);
		durable_hex(hash, 16, t->stage_name + 5);
		r = durable_directory(c->state_dir, &t->state_dir);
	}
	if (r < 0) {
		(void)snprintf(why, why_n, "%s: this mbox cannot be used: %s",
			c->spec->where, strerrordesc_np(-r));
		mbox_close(&t);
		return r;
	}
	*ret = t;
	return 0;
}

static int
mbox_prepare(struct target *t, struct letter *l, const char *trace_id,
	char name[LETTER_NAME_MAX])
{
	char hex[NONCE_HEX + 1];

	(void)l;
	if (!t->has_nonce) {
		int r = durable_random(t->nonce, sizeof(t->nonce));

		if (r < 0)
			return r;
		t->has_nonce = true;
	}
	durable_hex(t->nonce, sizeof(t->nonce), hex);
	(void)snprintf(name, LETTER_NAME_MAX, NAME_PREFIX "%.*s:%s", TARGET_MARK_HEX,
		trace_id, hex);
	return 0;
}

static bool
parse_name(const char *name, uint8_t mark[STAGE_MARK_OCTETS],
	uint8_t nonce[STAGE_NONCE_OCTETS])
{
	const size_t at = sizeof(NAME_PREFIX) - 1;

	return strnlen(name, LETTER_NAME_MAX) == at + TARGET_MARK_HEX + 1 + NONCE_HEX &&
		memcmp(name, NAME_PREFIX, at) == 0 && name[at + TARGET_MARK_HEX] == ':' &&
		durable_unhex(name + at, TARGET_MARK_HEX, mark) &&
		durable_unhex(name + at + TARGET_MARK_HEX + 1, NONCE_HEX, nonce);
}

/* A batch on its way. */
struct append {
	struct target *t;
	struct mbox_lock lock;
	struct stage stage;
	struct letter **of_row; /* the letter of each row of the stage */
	uint64_t old_size;
	char prefix[3]; /* what the last message before lacks */
};

/* Others' last message may lack its line end or the blank line behind it. */
static int
look_at_end(struct append *a)
{
	char last[2] = {'\n', '\n'};
	struct stat st;

	if (fstat(a->lock.fd, &st) < 0)
		return -errno;
	a->old_size = (uint64_t)st.st_size;
	if (a->old_size == 0)
		return 0;
	size_t n = a->old_size < 2 ? 1 : 2;
	int r = fd_pread_all(a->lock.fd, last + 2 - n, n, a->old_size - n);
	if (r < 0)
		return r;
	size_t lacks = last[1] != '\n' ? 2 : last[0] != '\n' ? 1 : 0;
	memset(a->prefix, '\n', lacks);
	return 0;
}

static void
fail_all(struct letter *const *letters, size_t n, const char *where, const char *what,
	int error)
{
	for (size_t i = 0; i < n; i++)
		target_failed(letters[i], LETTER_TEMPORARY, where, what, error);
}

static void
stage_letters(struct append *a, struct letter *const *letters,
	char (*names)[LETTER_NAME_MAX], size_t n)
{
	const char *where = a->t->c.spec->where;

	for (size_t i = 0; i < n; i++) {
		uint8_t mark[STAGE_MARK_OCTETS], nonce[STAGE_NONCE_OCTETS];
		int r = parse_name(names[i], mark, nonce) ? 0 : -EINVAL;

		if (r == 0)
			r = stage_add(&a->stage, letters[i], mark,
				a->stage.n == 0 ? a->prefix : "", clock_unix_s());
		if (r < 0)
			target_failed(letters[i], LETTER_TEMPORARY, where,
				"cannot be staged in the state's directory", r);
		else
			a->of_row[a->stage.n - 1] = letters[i];
	}
}

static int
take_back(struct append *a, uint64_t size)
{
	if (ftruncate(a->lock.fd, (off_t)size) < 0)
		return -errno;
	return durable_sync(a->lock.fd);
}

/* The staged letters, one after the other; what no longer fits is taken back. */
static void
append_rows(struct append *a)
{
	const char *where = a->t->c.spec->where;
	size_t done = 0;
	int r = 0;

	for (; done < a->stage.n; done++) {
		const struct stage_row *row = &a->stage.rows[done];

		r = mbox_append(a->lock.fd, a->old_size + row->start, &a->stage,
			row->start, row->length);
		if (r < 0)
			break;
	}
	if (r < 0) {
		uint64_t good = a->old_size + a->stage.rows[done].start;
		int undone = take_back(a, good);

		fail_all(a->of_row + done, a->stage.n - done, where,
			undone < 0 ? "cannot be written, nor taken back"
				   : "cannot be written",
			r);
	}
	r = done > 0 ? durable_sync(a->lock.fd) : 0;
	if (r == 0 && a->old_size == 0)
		r = durable_sync(a->lock.dir);
	if (r < 0) {
		int undone = take_back(a, a->old_size);

		fail_all(a->of_row, done, where,
			undone < 0 ? "cannot be synced, nor taken back"
				   : "cannot be synced",
			r);
		done = 0;
	}
	for (size_t i = 0; i < done; i++)
		a->of_row[i]->fate = LETTER_DELIVERED;
}

static void
mbox_hand_over(struct target *t, struct letter *const *letters,
	char (*names)[LETTER_NAME_MAX], char (*trace_ids)[TRACE_ID_MAX], size_t n)
{
	struct append a = {.t = t, .lock = {.dir = -1, .fd = -1}, .stage = {.fd = -1}};
	const char *where = t->c.spec->where;
	AUTO_FREE struct letter **rows = calloc(n, sizeof(*rows));
	int r = rows ? 0 : -ENOMEM;

	(void)trace_ids;
	a.of_row = rows;
	/* The stage that the replay read is about to be overwritten. */
	t->was_replayed = false;
	stage_free(&t->replayed);
	if (r == 0)
		r = mbox_lock(where, clock_ms() + LOCK_WAIT_MS, &a.lock);
	if (r < 0) {
		t->has_nonce = false;
		fail_all(letters, n, where,
			r == -EWOULDBLOCK ? "is locked by another program"
					  : "cannot be opened and locked",
			r);
		return;
	}
	r = look_at_end(&a);
	if (r == 0)
		r = stage_begin(
			&a.stage, t->state_dir, t->stage_name, t->nonce, a.old_size);
	if (r == 0) {
		stage_letters(&a, letters, names, n);
		r = stage_seal(&a.stage, t->state_dir);
	}
	if (r < 0)
		fail_all(letters, n, where, "cannot be staged in the state's directory",
			r);
	else
		append_rows(&a);
	t->has_nonce = false;
	mbox_unlock(&a.lock);
	stage_free(&a.stage);
}

/* All was synced while the locks were held. */
static int
mbox_settle(struct target *t)
{
	(void)t;
	return 0;
}

static int
replay(struct target *t, const uint8_t nonce[STAGE_NONCE_OCTETS])
{
	struct mbox_lock lock;
	int r = stage_load(&t->replayed, t->state_dir, t->stage_name);

	/* Killed before the stage was whole: the mbox was not touched. */
	if (r == -ENOENT ||
		(r == 0 && memcmp(t->replayed.nonce, nonce, STAGE_NONCE_OCTETS) != 0)) {
		stage_free(&t->replayed);
		t->was_replayed = true;
		return 0;
	}
	if (r == 0)
		r = mbox_lock(t->c.spec->where, clock_ms() + LOCK_WAIT_MS, &lock);
	if (r == 0) {
		r = mbox_replay(lock.fd, &t->replayed);
		if (r == 0)
			r = durable_sync(lock.dir);
		mbox_unlock(&lock);
	}
	if (r < 0)
		stage_free(&t->replayed);
	t->was_replayed = r == 0;
	return r;
}

static int
mbox_find(struct target *t, const char *tmp, const char *name,
	const uint8_t digest[DIGEST_OCTETS], uint64_t stored, bool *ret_found)
{
	uint8_t mark[STAGE_MARK_OCTETS], nonce[STAGE_NONCE_OCTETS];

	(void)tmp;
	(void)digest;
	(void)stored;
	*ret_found = false;
	if (!parse_name(name, mark, nonce))
		return 0;
	int r = t->was_replayed ? 0 : replay(t, nonce);
	if (r < 0)
		return r;
	for (size_t i = 0; i < t->replayed.n; i++) {
		const struct stage_row *row = &t->replayed.rows[i];

		if (memcmp(t->replayed.nonce, nonce, sizeof(nonce)) == 0 &&
			memcmp(row->mark, mark, sizeof(mark)) == 0 && row->found)
			*ret_found = true;
	}
	return 0;
}

/* Nobody else is to wait for a lock that a power cut left. */
static int
mbox_sweep(struct target *t)
{
	return mbox_lock_sweep(t->c.spec->where);
}

const struct target_ops target_mbox = {
	.kind = FETCH_MBOX,
	.journalled = true,
	.open = mbox_open,
	.close = mbox_close,
	.prepare = mbox_prepare,
	.hand_over = mbox_hand_over,
	.settle = mbox_settle,
	.find = mbox_find,
	.sweep = mbox_sweep,
};
