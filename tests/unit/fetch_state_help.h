/* fetch_state_help.h: a state in a temporary directory, with one account. */
#ifndef FETCH_STATE_HELP_H
#define FETCH_STATE_HELP_H

#include "scratch.h"
#include "unit.h"

#include "fetch/state_parts.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOW	  UINT64_C(1790000000)
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

struct home {
	char top[64], dir[96];
	int fd; /* of top */
	struct fetch_account account;
	struct state *s;
	struct remembered r;
};

[[maybe_unused]] static void
open_state(struct home *h)
{
	char why[512] = "";
	int r = state_open(h->dir, true, &h->s, why, sizeof(why));

	if (r < 0)
		print_message("# %s\n", why);
	assert_int_equal(r, 0);
	assert_int_equal(state_account(h->s, &h->account, &h->r), 0);
	free(h->r.tls_session);
	h->r.tls_session = NULL;
	h->r.tls_session_n = 0;
	assert_true(h->r.row > 0);
}

[[maybe_unused]] static void
close_state(struct home *h)
{
	state_close(&h->s);
	assert_null(h->s);
}

[[maybe_unused]] static void
refused(const struct home *h, int error, const char *word)
{
	struct state *s = NULL;
	char why[512] = "";

	for (int create = 0; create < 2; create++) {
		assert_int_equal(
			state_open(h->dir, create != 0, &s, why, sizeof(why)), error);
		assert_null(s);
		assert_non_null(strstr(why, word));
	}
}

static int
set_up(void **state)
{
	struct home *h = calloc(1, sizeof(*h));

	(void)snprintf(h->top, sizeof(h->top), "%s/fetch-state-XXXXXX", scratch());
	if (!mkdtemp(h->top))
		return -1;
	(void)snprintf(h->dir, sizeof(h->dir), "%s/a/b/state", h->top);
	h->fd = open(h->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	h->account = (struct fetch_account){
		.name = "work",
		.host = "mail.example.org",
		.user = "anna",
		.keep = true,
		.delete_after_ms = 100000,
		.targets_n = 2,
		.targets = {{FETCH_MAILDIR, "/a", "maildir:/a"},
			{FETCH_LMTP, "h:24", "lmtp:h:24"}},
	};
	*state = h;
	open_state(h);
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct home *h = *state;
	int r;

	state_close(&h->s);
	(void)close(h->fd);
	r = nftw(h->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(h);
	return r;
}

[[maybe_unused]] static void
put(const struct home *h, const char *path, const char *content)
{
	int fd = openat(h->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, content, strlen(content)), 0);
	(void)close(fd);
}

[[maybe_unused]] static int64_t
pragma(sqlite3 *db, const char *text)
{
	sqlite3_stmt *q = NULL;
	int64_t v = -1;

	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	v = sqlite3_column_int64(q, 0);
	assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
	return v;
}

/* By another program, while the state is closed. */
[[maybe_unused]] static void
sql(const struct home *h, const char *text)
{
	char path[128];
	sqlite3 *db = NULL;

	(void)snprintf(path, sizeof(path), "%s/state.db", h->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

[[maybe_unused]] static void
damage(const struct home *h, unsigned int kind)
{
	int fd = openat(h->fd, "a/b/state/state.db", O_RDWR | O_CLOEXEC);
	uint8_t page[4096];

	assert_true(fd >= 0);
	memset(page, 0xA5, sizeof(page));
	switch (kind) {
	case 0: assert_int_equal(ftruncate(fd, 0), 0); break;
	case 1: assert_int_equal(ftruncate(fd, 4096), 0); break;
	case 2:
		assert_int_equal(fd_pwrite_all(fd, "no database at all", 18, 0), 0);
		break;
	case 3: assert_int_equal(fd_pwrite_all(fd, page, 3900, 100), 0); break;
	default:
		(void)close(fd);
		sql(h, kind == 4 ? "DROP TABLE delivery" : "PRAGMA application_id = 1");
		return;
	}
	(void)close(fd);
}

/* Every page that holds the text. */
[[maybe_unused]] static void
damage_pages_of(const struct home *h, const char *text)
{
	int fd = openat(h->fd, "a/b/state/state.db", O_RDWR | O_CLOEXEC);
	uint8_t page[4096];
	unsigned int found = 0;

	assert_true(fd >= 0);
	for (uint64_t at = 0; fd_pread_all(fd, page, sizeof(page), at) == 0; at += 4096) {
		if (!memmem(page, sizeof(page), text, strlen(text)))
			continue;
		memset(page, 0xA5, sizeof(page));
		assert_int_equal(fd_pwrite_all(fd, page, sizeof(page), at), 0);
		found++;
	}
	assert_true(found > 0);
	(void)close(fd);
}

[[maybe_unused]] static void
see(const struct home *h, struct view uid, uint64_t size)
{
	struct mark mark = {.kind = MARK_SEEN, .uid = uid, .size = size};

	assert_int_equal(state_mark(h->s, h->r.row, &mark, 1, NOW), 0);
}

[[maybe_unused]] static size_t
rows(const struct home *h)
{
	struct known_table t;

	assert_int_equal(state_load(h->s, h->r.row, &t), 0);
	size_t n = t.n;
	for (size_t i = 1; i < n; i++)
		assert_ptr_equal(
			t.rows[i - 1].uid.p + t.rows[i - 1].uid.n, t.rows[i].uid.p);
	known_free(&t);
	return n;
}

/* Without its uid. row 0: not known. */
[[maybe_unused]] static struct known
known(const struct home *h, struct view uid)
{
	struct known_table t;
	struct known k = {.row = 0};

	assert_int_equal(state_load(h->s, h->r.row, &t), 0);
	const struct known *found = known_find(&t, uid);
	if (found)
		k = *found;
	k.uid = (struct view){NULL, 0};
	known_free(&t);
	return k;
}

/* A letter as spool.c leaves it; digests follow the seed. */
[[maybe_unused]] static void
make_letter(struct letter *l, struct view uid, uint8_t seed)
{
	memset(l, 0, sizeof(*l));
	l->uid = uid;
	l->listed = 100;
	l->octets = 101;
	l->stored = 102 + (uint64_t)seed;
	memset(l->digest, seed, sizeof(l->digest));
	memset(l->header, seed, sizeof(l->header));
	(void)snprintf(l->tmp, sizeof(l->tmp), "tmp-%u", seed);
	l->wanted = 3;
}

/* Through the journal at all targets. */
[[maybe_unused]] static void
deliver(const struct home *h, struct view uid, uint8_t seed)
{
	struct letter *l = calloc(1, sizeof(*l));

	make_letter(l, uid, seed);
	assert_int_equal(state_intend(h->s, h->r.row, &l, 1, &h->account), 0);
	struct settled done[] = {{l, 0, true}, {l, 1, true}};
	assert_int_equal(state_settle(h->s, h->r.row, done, 2, NOW), 0);
	free(l);
}

[[maybe_unused]] static void
fill_remembered(struct remembered *r)
{
	int64_t row = r->row;

	memset(r, 0, sizeof(*r));
	r->row = row;
	r->tls_seen = r->has_capabilities = r->unstuffed = r->has_no_top = true;
	r->before.has = 7;
	r->before.login_delay_s = UINT32_MAX;
	r->after.has = UINT32_MAX;
	(void)snprintf(r->after.mechanisms, sizeof(r->after.mechanisms), "PLAIN LOGIN");
	(void)snprintf(r->mechanism, sizeof(r->mechanism), "PLAIN");
	r->count = 20000;
	r->octets = UINT64_MAX - 5;
	r->probes_n = PROBES_MAX;
	for (size_t i = 0; i < PROBES_MAX; i++) {
		r->probes[i].msgno = (uint32_t)(1000000000 * (i % 4) + i);
		r->probes[i].uid_n = (uint8_t)(i * 128 / 15);
		memset(r->probes[i].uid, (int)i, r->probes[i].uid_n);
	}
	r->next_delete_s = 1;
	r->last_success_s = NOW;
	r->next_poll_s = FETCH_NEVER;
	r->last_try_s = 4;
	r->failures = 5;
	r->refusals = 9;
	r->uidl_refusals = 10;
	(void)snprintf(r->last_error, sizeof(r->last_error), "no route to host");
	r->collected = 6;
	r->collected_octets = 7;
	r->interval_ms = 8;
	r->tls_session_n = 3000;
	r->tls_session = calloc(1, r->tls_session_n);
	assert_non_null(r->tls_session);
	r->tls_session[17] = 42;
}

#endif
