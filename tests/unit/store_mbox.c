/* The mbox store as its keeper uses it, and as other programs meet it. */
#include "store_mbox_help.h"

#include "base/ascii.h"

#include <sys/mount.h>

#define F FROM_LINE
#define A F "A: 1\n\none\n\n"
#define B F "B: 2\nX-UIDL: b-2\n\ntwo\n\n"
#define C F "C: 3\nStatus: RO\n\n>From three\n\n"

static void
messages_are_listed_and_sent(void **state)
{
	struct spool *o = spool_open();
	(void)state;

	put_mbox(o, A B C);
	enter(o);
	assert_int_equal(o->table->count, 3);
	assert_int_equal(o->table->messages[0].wire, 13);
	message_is(o, 0, "A: 1\n\none\n");
	message_is(o, 1, "B: 2\nX-UIDL: b-2\n\ntwo\n");
	message_is(o, 2, "C: 3\nStatus: RO\n\n>From three\n");
	uidl_is(o, 1, "b-2");
	assert_int_equal(o->table->messages[0].uidl.n, 32);
	assert_false(o->table->messages[0].seen);
	assert_true(o->table->messages[2].seen);
	leave(o);
	assert_null(ops->notice(o->store));
	assert_false(is_there(o, "anna.lock"));
	mbox_is(o, A B C);
	spool_close(o);
}

static void
a_missing_one_is_empty_and_made_by_mail(void **state)
{
	struct spool *o = spool_open();
	struct store *deep = NULL;
	const struct store_table *t;
	struct lock_holder me = {.since = 1}, other;
	struct stat st;
	(void)state;

	enter(o);
	assert_int_equal(o->table->count, 0);
	leave(o);
	assert_int_equal(deliver(o, "A: 1\r\n\r\nFrom x\r\n.\r\n"), 0);
	mbox_is(o, DELIVERED_FROM DELIVERED_HEAD "A: 1\n\n>From x\n.\n\n");
	assert_int_equal(fstatat(o->root, "anna", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	enter(o);
	assert_int_equal(o->table->count, 1);
	message_is(o, 0, DELIVERED_HEAD "A: 1\n\n>From x\n.\n");
	assert_int_equal(drop(o, 1).removed, 1);
	mbox_is(o, "");
	look(o);
	assert_int_equal(o->table->count, 0);
	leave(o);

	assert_int_equal(ops->open(o->root, "/a/b//c", &o->o, &deep), 0);
	assert_int_equal(ops->lock(deep, &me, &other), 0);
	assert_int_equal(ops->refresh(deep, &t), 0);
	assert_int_equal(t->count, 0);
	struct store_deposit d = {.fd = -1, .sender = {NULL, 0}, .now_s = 1};
	ops->deposit(deep, &d, 1);
	assert_int_equal(d.result, 0);
	assert_int_equal(ops->refresh(deep, &t), 0);
	assert_int_equal(t->count, 1);
	ops->unlock(deep);
	ops->close(&deep);
	spool_close(o);
}

static void
what_is_no_mbox_is_refused(void **state)
{
	static const char *const paths[] = {"dir", "link", "fifo", "..", "dir/..", ""};
	struct spool *o = spool_open();
	struct lock_holder me = {.since = 1}, other;
	const struct store_table *t;
	(void)state;

	put_mbox(o, "Dear Anna,\n");
	assert_int_equal(ops->lock(o->store, &me, &other), 0);
	assert_int_equal(ops->refresh(o->store, &t), -EINVAL);
	assert_non_null(strstr(ops->notice(o->store), "From "));
	assert_null(ops->notice(o->store));
	ops->unlock(o->store);
	assert_int_equal(deliver(o, "x"), -EINVAL);
	mbox_is(o, "Dear Anna,\n");

	assert_int_equal(mkdirat(o->root, "dir", 0700), 0);
	assert_int_equal(symlinkat("anna", o->root, "link"), 0);
	assert_int_equal(mkfifoat(o->root, "fifo", 0600), 0);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct store *s = NULL;
		assert_int_equal(ops->open(o->root, paths[i], &o->o, &s), 0);
		assert_true(ops->lock(s, &me, &other) < 0);
		struct store_deposit d = {.fd = -1, .now_s = 1};
		ops->deposit(s, &d, 1);
		assert_true(d.result < 0);
		ops->close(&s);
	}
	spool_close(o);
}

/* Each set of marks, in place and by rename: what is marked goes, all else stays as it
 * was. */
static void
marked_messages_go(void **state)
{
	static const char *const parts[] = {A, B, C, F "D: 4\n\nfour"};
	(void)state;

	for (unsigned marks = 1; marks < 32; marks++) {
		struct spool *o = spool_open();
		char left[512] = "", uidl[4][256];
		o->o.mbox_rename = marks & 16;
		put_mbox(o, A B C F "D: 4\n\nfour");
		enter(o);
		uint32_t kept = 0, removed = 0;
		for (uint32_t i = 0; i < 4; i++) {
			uidl_copy(o, i, uidl[i]);
			removed += marks >> i & 1;
			if (!(marks >> i & 1))
				(void)strncat(left, parts[i], 200);
		}
		struct store_removed got = drop(o, marks & 15);
		assert_int_equal(got.removed, removed);
		assert_int_equal(got.remain, 0);
		mbox_is(o, left);
		for (uint32_t i = 0; i < 4; i++)
			if (marks >> i & 1)
				assert_null(message(o, i));
		look(o);
		assert_int_equal(o->table->count, 4 - removed);
		for (uint32_t i = 0; i < 4; i++)
			if (!(marks >> i & 1))
				uidl_is(o, kept++, uidl[i]);
		leave(o);
		assert_false(is_there(o, ".anna.restante-intent"));
		assert_false(is_there(o, ".anna.restante-new"));
		assert_false(is_there(o, "anna.lock"));
		forget(o);
		enter(o);
		assert_int_equal(o->table->count, 4 - removed);
		leave(o);
		spool_close(o);
	}
}

/* ---- others write -------------------------------------------------------------------
 */

static void
append(const struct spool *o, const char *octets)
{
	int fd = openat(o->root, "anna", O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, octets, strlen(octets)), 0);
	(void)close(fd);
}

static void
a_session_keeps_its_view_while_others_write(void **state)
{
	struct spool *o = spool_open();
	(void)state;

	for (int aged = 0; aged < 2; aged++) {
		put_mbox(o, A B C);
		if (aged)
			grow_old(o);
		enter(o);
		append(o, F "D: 4\n\nfour\n\n");
		message_is(o, 2, "C: 3\nStatus: RO\n\n>From three\n");
		message_is(o, 0, "A: 1\n\none\n");
		/* Somebody else removes the first, notes a flag and adds another. */
		put_mbox(o,
			F "B: 2\nX-UIDL: b-2\nStatus: RO\n\ntwo\n\n" C F
			  "E: 5\n\nfive\n\n");
		message_is(o, 1, "B: 2\nX-UIDL: b-2\nStatus: RO\n\ntwo\n");
		message_is(o, 2, "C: 3\nStatus: RO\n\n>From three\n");
		assert_null(message(o, 0));
		struct store_removed got = drop(o, 1 + 4);
		assert_int_equal(got.removed, 2);
		mbox_is(o,
			F "B: 2\nX-UIDL: b-2\nStatus: RO\n\ntwo\n\n" F
			  "E: 5\n\nfive\n\n");
		look(o);
		assert_int_equal(o->table->count, 2);
		uidl_is(o, 0, "b-2");
		leave(o);
	}
	spool_close(o);
}

/* A slice that was opened, and the file that is rewritten under it. */
static void
an_open_slice_tells_that_it_is_stale(void **state)
{
	struct spool *o = spool_open();
	struct store_slice s;
	(void)state;

	put_mbox(o, A B C);
	grow_old(o);
	enter(o);
	assert_int_equal(ops->slice(o->store, o->table, 1, &s), 0);
	assert_true(s.shared);
	append(o, A);
	assert_int_equal(ops->slice_is_current(o->store, o->table, 1, &s), 0);
	put_mbox(o, B C A);
	assert_int_equal(ops->slice_is_current(o->store, o->table, 1, &s), -ESTALE);
	(void)close(s.fd);
	assert_int_equal(ops->slice(o->store, o->table, 1, &s), 0);
	assert_int_equal(s.offset, strlen(F));
	assert_int_equal(ops->slice_is_current(o->store, o->table, 1, &s), 0);
	put_mbox(o, A);
	assert_int_equal(ops->slice_is_current(o->store, o->table, 1, &s), -ESTALE);
	(void)close(s.fd);
	assert_int_equal(ops->slice(o->store, o->table, 1, &s), -ENOENT);
	leave(o);
	spool_close(o);
}

/* Octets of a message that change while all sizes and times stay: never sent. */
static void
a_change_of_the_same_size_is_seen(void **state)
{
	struct spool *o = spool_open();
	(void)state;

	put_mbox(o, A B C);
	enter(o);
	put_mbox(o, F "A: 1\n\nONE\n\n" B C);
	assert_null(message(o, 0));
	message_is(o, 1, "B: 2\nX-UIDL: b-2\n\ntwo\n");
	leave(o);
	spool_close(o);
}

static uint64_t
file_size(const struct spool *o, const char *name)
{
	struct stat st;

	return fstatat(o->root, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

/* ---- UIDLs --------------------------------------------------------------------------
 */

static void
uidls_stay(void **state)
{
	struct spool *o = spool_open();
	char first[3][256];
	(void)state;

	put_mbox(o, A B C);
	enter(o);
	for (uint32_t i = 0; i < 3; i++)
		uidl_copy(o, i, first[i]);
	leave(o);
	/* Another program puts X-UIDL into all, takes one away, and the cache is lost. */
	put_mbox(o, F "X-UIDL: new-1\nA: 1\n\none\n\n" F "B: 2\n\ntwo\n\n" C);
	enter(o);
	for (uint32_t i = 0; i < 3; i++)
		uidl_is(o, i, first[i]);
	leave(o);
	for (int lost = 0; lost < 2; lost++) {
		forget(o);
		if (lost)
			assert_int_equal(unlinkat(o->root, ".anna.restante-index", 0), 0);
		enter(o);
		for (uint32_t i = 0; i < 3; i++)
			uidl_is(o, i, first[i]);
		leave(o);
	}
	spool_close(o);
}

static void
no_uidl_comes_twice(void **state)
{
	struct spool *o = spool_open();
	char first[4][256], second[256];
	(void)state;

	/* Twins, and two with one X-UIDL. */
	put_mbox(o, A A B F "Z: 9\nX-UIDL: b-2\n\ntwo\n\n");
	enter(o);
	for (uint32_t i = 0; i < 4; i++) {
		uidl_copy(o, i, first[i]);
		for (uint32_t j = 0; j < i; j++)
			assert_string_not_equal(first[i], first[j]);
	}
	assert_int_equal(drop(o, 1 + 4).removed, 2);
	leave(o);
	for (int lost = 0; lost < 2; lost++) {
		forget(o);
		if (lost)
			(void)unlinkat(o->root, ".anna.restante-index", 0);
		enter(o);
		assert_int_equal(o->table->count, 2);
		uidl_is(o, 0, first[1]);
		uidl_is(o, 1, first[3]);
		leave(o);
	}
	/* The same mail again: another one for a client. */
	append(o, A B);
	enter(o);
	assert_int_equal(o->table->count, 4);
	for (uint32_t i = 2; i < 4; i++) {
		uidl_copy(o, i, second);
		for (uint32_t j = 0; j < 4; j++)
			assert_string_not_equal(second, first[j]);
	}
	leave(o);
	/* Removed by others, and there again. */
	put_mbox(o, "");
	enter(o);
	leave(o);
	put_mbox(o, A);
	enter(o);
	uidl_copy(o, 0, second);
	assert_string_not_equal(second, first[0]);
	assert_string_not_equal(second, first[1]);
	leave(o);
	spool_close(o);
}

/* The same mail over and over: no two alike, and no time that grows with its square. */
static void
twins_by_the_thousand(void **state)
{
	const size_t count = 20000, n = strlen(A);
	struct spool *o = spool_open();
	char *octets = malloc(count * n), last[256];
	(void)state;

	assert_non_null(octets);
	for (size_t i = 0; i < count; i++)
		memcpy(octets + i * n, A, n);
	put_file(o->root, "anna", octets, count * n);
	free(octets);
	enter(o);
	assert_int_equal(o->table->count, count);
	uidl_copy(o, (uint32_t)count - 1, last);
	leave(o);
	forget(o);
	assert_int_equal(unlinkat(o->root, ".anna.restante-index", 0), 0);
	enter(o);
	assert_int_equal(o->table->count, count);
	uidl_is(o, (uint32_t)count - 1, last);
	leave(o);
	spool_close(o);
}

static void
imported_uidls_go_first(void **state)
{
	struct spool *o = spool_open();
	struct identity *log = NULL;
	char uidl[256];
	(void)state;

	put_mbox(o, A B C);
	enter(o);
	uidl_copy(o, 0, uidl);
	const struct mbox_row *rows = mbox_table_of(o->table)->rows;
	assert_int_equal(identity_open(o->root, ".anna.restante-identity", &log), 0);
	for (int i = 0; i < 2; i++) {
		struct identity_row row = {.source = IDENTITY_IMPORTED,
			.place = (uint32_t)i,
			.key = {rows[i].digest, MBOX_DIGEST},
			.uidl = i == 0 ? VIEW("old-a") : VIEW("old-b")};
		assert_int_equal(identity_add(log, &row), 0);
	}
	leave(o);
	assert_int_equal(identity_sync(log), 0);
	identity_close(&log);
	for (int round = 0; round < 3; round++) {
		enter(o);
		uidl_is(o, 0, "old-a");
		uidl_is(o, 1, "old-b");
		leave(o);
		forget(o);
		if (round == 1)
			(void)unlinkat(o->root, ".anna.restante-index", 0);
	}
	spool_close(o);
}

/* What goes in the session is used up in the new log. */
static void
others_write_the_log_anew(void **state)
{
	struct spool *o = spool_open();
	struct identity *log = NULL;
	char uidl[3][256], text[32];
	(void)state;

	put_mbox(o, A B A);
	enter(o);
	for (uint32_t i = 0; i < 3; i++)
		uidl_copy(o, i, uidl[i]);
	assert_int_equal(identity_open(o->root, ".anna.restante-identity", &log), 0);
	for (unsigned i = 0; i < 70000; i++) {
		int n = snprintf(text, sizeof(text), "gone-%u", i);
		struct identity_row row = {.source = IDENTITY_USED_UP,
			.key = VIEW("gone"),
			.uidl = {(const uint8_t *)text, (size_t)n}};
		assert_int_equal(identity_add(log, &row), 0);
	}
	assert_int_equal(identity_sync(log), 0);
	assert_in_range(identity_count(log), 32768, 32772);
	identity_close(&log);
	assert_int_equal(drop(o, 2).removed, 1);
	leave(o);
	put_mbox(o, A A B);
	for (int round = 0; round < 3; round++) {
		enter(o);
		assert_int_equal(o->table->count, 3);
		uidl_is(o, 0, uidl[0]);
		uidl_is(o, 1, uidl[2]);
		assert_false(view_equal(o->table->messages[2].uidl,
			(struct view){(const uint8_t *)uidl[1], strlen(uidl[1])}));
		leave(o);
		forget(o);
		if (round == 1)
			(void)unlinkat(o->root, ".anna.restante-index", 0);
	}
	spool_close(o);
}

static void
a_damaged_log_is_refused(void **state)
{
	struct spool *o = spool_open();
	struct lock_holder me = {.since = 1}, other;
	const struct store_table *t;
	(void)state;

	put_mbox(o, A A);
	enter(o);
	leave(o);
	ops->close(&o->store);
	int fd = openat(o->root, ".anna.restante-identity", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, 0), 8);
	(void)close(fd);
	assert_int_equal(ops->open(o->root, "anna", &o->o, &o->store), 0);
	assert_int_equal(ops->lock(o->store, &me, &other), 0);
	assert_int_equal(ops->refresh(o->store, &t), -EBADMSG);
	ops->unlock(o->store);
	spool_close(o);
}

/* ---- the cache -----------------------------------------------------------------------
 */

static void
a_damaged_cache_is_made_anew(void **state)
{
	struct spool *o = spool_open();
	char uidl[2][256];
	(void)state;

	put_mbox(o, A B);
	grow_old(o);
	enter(o);
	for (uint32_t i = 0; i < 2; i++)
		uidl_copy(o, i, uidl[i]);
	leave(o);
	ops->flush(o->store);
	uint64_t n = file_size(o, ".anna.restante-index");
	assert_true(n > 0);
	for (uint64_t at = 0; at < n; at += 3) {
		uint8_t octet;
		ops->close(&o->store);
		int fd = openat(o->root, ".anna.restante-index", O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(pread(fd, &octet, 1, (off_t)at), 1);
		octet ^= 0x55;
		assert_int_equal(pwrite(fd, &octet, 1, (off_t)at), 1);
		assert_int_equal(ops->open(o->root, "anna", &o->o, &o->store), 0);
		enter(o);
		assert_int_equal(o->table->count, 2);
		message_is(o, 0, "A: 1\n\none\n");
		for (uint32_t i = 0; i < 2; i++)
			uidl_is(o, i, uidl[i]);
		leave(o);
		octet ^= 0x55;
		assert_int_equal(pwrite(fd, &octet, 1, (off_t)at), 1);
		(void)close(fd);
	}
	spool_close(o);
}

/* Its owner can write one, checksum and all. */
static void
a_forged_index_is_no_index(void **state)
{
	enum { ROW = 88, LENGTH = ROW + 16, QUOTED = ROW + 32, OCTETS_MAX = 4096 };
	static _Alignas(8) uint8_t octets[OCTETS_MAX];
	struct spool *o = spool_open();
	struct mbox_table *t = NULL;
	uint64_t length, sum;
	uint32_t quoted;
	(void)state;

	put_mbox(o, A B);
	grow_old(o);
	enter(o);
	leave(o);
	ops->flush(o->store);
	size_t n = file_size(o, ".anna.restante-index");
	assert_in_range(n, ROW + 64, OCTETS_MAX);
	int fd = openat(o->root, ".anna.restante-index", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_pread_all(fd, octets, n, 0), 0);
	(void)close(fd);
	assert_int_equal(mbox_index_decode((struct view){octets, n}, &t), 0);
	mbox_table_unref(&t);
	memcpy(&length, octets + LENGTH, sizeof(length));
	for (quoted = (uint32_t)length - 1; quoted <= length; quoted++) {
		memcpy(octets + QUOTED, &quoted, sizeof(quoted));
		sum = XXH3_64bits(octets + sizeof(sum), n - sizeof(sum));
		memcpy(octets, &sum, sizeof(sum));
		int r = mbox_index_decode((struct view){octets, n}, &t);
		assert_int_equal(r, quoted < length ? 0 : -EINVAL);
		mbox_table_unref(&t);
	}
	spool_close(o);
}

static void
an_unchanged_one_is_not_read(void **state)
{
	struct spool *o = spool_open();
	(void)state;

	put_mbox(o, A B);
	grow_old(o);
	enter(o);
	mbox_of(o->store)->scanned = 0;
	leave(o);
	enter(o);
	assert_int_equal(mbox_of(o->store)->scanned, 0);
	leave(o);
	forget(o);
	enter(o);
	assert_int_equal(o->table->count, 2);
	assert_int_equal(mbox_of(o->store)->scanned, 0);
	append(o, C);
	look(o);
	/* The last known message and what came behind it. */
	assert_int_equal(mbox_of(o->store)->scanned, strlen(B C));
	assert_int_equal(o->table->count, 3);
	leave(o);
	spool_close(o);
}

static void
seen_stays_in_the_cache(void **state)
{
	struct spool *o = spool_open();
	(void)state;

	put_mbox(o, A B);
	enter(o);
	uint64_t generation = o->table->generation;
	assert_int_equal(ops->seen(o->store, o->table, 0), 0);
	leave(o);
	mbox_is(o, A B);
	enter(o);
	assert_true(o->table->messages[0].seen);
	assert_false(o->table->messages[1].seen);
	assert_true(o->table->generation > generation);
	leave(o);
	forget(o);
	append(o, C);
	enter(o);
	assert_true(o->table->messages[0].seen);
	leave(o);
	spool_close(o);
}

/* ---- options
 * ---------------------------------------------------------------------------- */

static void
quotes_are_undone_on_request(void **state)
{
	struct spool *o = spool_open();
	(void)state;

	put_mbox(o, A C);
	enter(o);
	assert_int_equal(o->table->messages[1].wire, 33);
	leave(o);
	o->o.mbox_unquote = true;
	enter(o);
	assert_int_equal(o->table->messages[1].wire, 32);
	message_is(o, 0, "A: 1\n\none\n");
	message_is(o, 1, "C: 3\nStatus: RO\n\nFrom three\n");
	struct store_slice s;
	assert_int_equal(ops->slice(o->store, o->table, 1, &s), 0);
	assert_int_equal(s.wire, 32);
	assert_false(s.shared);
	(void)close(s.fd);
	leave(o);
	mbox_is(o, A C);
	spool_close(o);
}

/* ---- deliveries -----------------------------------------------------------------------
 */

static void
deliveries_complete_what_lies_before_them(void **state)
{
	static const char *const ends[] = {"", "\n", "\n\n", "\n\n\n"};
	static const char *const completed[] = {"\n\n", "\n\n", "\n\n", "\n\n\n"};
	(void)state;

	for (size_t i = 0; i < 4; i++) {
		struct spool *o = spool_open();
		char before[128], after[512];
		(void)snprintf(before, sizeof(before), F "A: 1\n\nx%s", ends[i]);
		(void)snprintf(after, sizeof(after),
			F "A: 1\n\nx%s" DELIVERED_FROM DELIVERED_HEAD
			  "B: 2\n\nFro\n\n" DELIVERED_FROM DELIVERED_HEAD "D: 4\n\n\n",
			completed[i]);
		put_mbox(o, before);
		assert_int_equal(deliver(o, "B: 2\n\nFro"), 0);
		assert_int_equal(
			deliver(o, "X-UIDL: mine\r\nD: 4\r\nStatus: RO\r\n\r\n"), 0);
		mbox_is(o, after);
		enter(o);
		assert_int_equal(o->table->count, 3);
		leave(o);
		spool_close(o);
	}
}

static void
deliveries_do_not_wait_for_a_session(void **state)
{
	struct spool *o = spool_open();
	struct store *other = NULL;
	struct lock_holder me = {.since = 7}, holder;
	const struct store_table *t;
	(void)state;

	put_mbox(o, A);
	enter(o);
	assert_int_equal(ops->open(o->root, "anna", &o->o, &other), 0);
	assert_int_equal(ops->lock(other, &me, &holder), -EBUSY);
	assert_int_equal(holder.since, 1);
	struct store_deposit d = {.fd = -1, .sender = VIEW(""), .now_s = 1};
	ops->deposit(other, &d, 1);
	assert_int_equal(d.result, 0);
	look(o);
	assert_int_equal(o->table->count, 2);
	assert_true(ops->lock_is_held(o->store));
	leave(o);
	assert_int_equal(ops->lock(other, &me, &holder), 0);
	assert_int_equal(ops->refresh(other, &t), 0);
	assert_int_equal(t->count, 2);
	assert_int_equal(unlinkat(o->root, ".anna.restante-lock", 0), 0);
	assert_false(ops->lock_is_held(other));
	ops->unlock(other);
	ops->close(&other);
	spool_close(o);
}

/* A mail program's own first message is never shown and never goes. */
static void
internal_data_stays(void **state)
{
#define INTERNAL                                                                         \
	F "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"                 \
	  "X-IMAP: 0001 0002\n\ntext\n\n"
	struct spool *o = spool_open();
	(void)state;

	put_mbox(o, INTERNAL A B);
	enter(o);
	assert_int_equal(o->table->count, 2);
	message_is(o, 0, "A: 1\n\none\n");
	assert_int_equal(drop(o, 3).removed, 2);
	mbox_is(o, INTERNAL);
	look(o);
	assert_int_equal(o->table->count, 0);
	leave(o);
	spool_close(o);
}

/* ---- /var/mail without its group ----------------------------------------- */

static void
a_directory_that_cannot_be_written(void **state)
{
	struct spool *o = spool_open();
	struct store *other = NULL;
	struct lock_holder me = {.since = 2}, holder;
	char uidl[3][256];
	const char *text;
	(void)state;

	if (geteuid() != 0)
		skip();
	put_mbox(o, A A B);
	assert_int_equal(fchownat(o->root, "anna", 65534, 65534, 0), 0);
	assert_int_equal(fchmod(o->root, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	enter(o);
	for (uint32_t i = 0; i < 3; i++)
		uidl_copy(o, i, uidl[i]);
	int told = 0;
	while ((text = ops->notice(o->store))) {
		assert_non_null(strstr(text, "mail_groups"));
		told++;
	}
	assert_int_equal(told, 3);
	/* Another session is kept out all the same; mail is not. */
	assert_int_equal(ops->open(o->root, "anna", &o->o, &other), 0);
	assert_int_equal(ops->lock(other, &me, &holder), -EBUSY);
	assert_int_equal(deliver(o, "D: 4\n\n"), 0);
	look(o);
	assert_int_equal(o->table->count, 4);
	/* In the middle: it would need an intent. What lies at the end goes. */
	struct store_removed got = drop(o, 1);
	assert_int_equal(got.removed, 0);
	assert_int_equal(got.remain, 1);
	assert_non_null(strstr(ops->notice(o->store), "not deleted"));
	got = drop(o, 8);
	assert_int_equal(got.removed, 1);
	leave(o);
	mbox_is(o, A A B);
	forget(o);
	enter(o);
	for (uint32_t i = 0; i < 3; i++)
		uidl_is(o, i, uidl[i]);
	assert_true(ops->lock_is_held(o->store));
	leave(o);
	ops->close(&other);
	assert_int_equal(seteuid(0), 0);
	spool_close(o);
}

/* ---- dot locks
 * -------------------------------------------------------------------------- */

static void
no_inode_is_left([[maybe_unused]] void **state)
{
	static const char mail[] =
		FROM_LINE "Subject: 1\n\none\n\n" FROM_LINE "Subject: 2\n\ntwo\n\n";
	struct spool *o = spool_open();
	char at[128], name[160];

	(void)snprintf(at, sizeof(at), "%s/box", o->dir);
	assert_int_equal(mkdir(at, 0700), 0);
	if (mount("tmpfs", at, "tmpfs", 0, "nr_inodes=30,size=1m,mode=700") < 0)
		skip(); /* needs root */
	ops->close(&o->store);
	assert_int_equal(ops->open(o->root, "box/anna", &o->o, &o->store), 0);
	int dir = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_file(dir, "anna", mail, strlen(mail));
	for (int i = 0, fd = 0; fd >= 0; i++) {
		(void)snprintf(name, sizeof(name), "filler%d", i);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0)
			(void)close(fd);
	}
	(void)close(dir);
	enter(o);
	assert_int_equal(o->table->count, 2);
	/* What is to be removed safely needs a file beside it: that is said, and all
	 * stays. */
	struct store_removed got = drop(o, 1);
	assert_int_equal(got.removed, 0);
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 2);
	leave(o);
	ops->close(&o->store);
	(void)umount2(at, MNT_DETACH);
	spool_close(o);
}

static void
dot_locks_of_the_dead_are_removed(void **state)
{
	struct spool *o = spool_open();
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct mailbox_lock l;
	(void)state;

	/* Ours, of a process that is gone: nobody holds the lock on it. */
	put_mbox(o, A);
	put_file(o->root, "anna.lock", "1 restante\n", 11);
	enter(o);
	leave(o);
	assert_false(is_there(o, "anna.lock"));
	/* Another's, not touched for long. */
	put_file(o->root, "anna.lock", "0", 1);
	assert_int_equal(utimensat(o->root, "anna.lock", old, 0), 0);
	assert_int_equal(mailbox_lock_take(&l, o->root, "anna", MAILBOX_WRITE, 0), 0);
	/* While it is held nobody else has it, nor removes it. */
	struct mailbox_lock m;
	assert_int_equal(
		mailbox_lock_take(&m, o->root, "anna", MAILBOX_READ, 50), -EAGAIN);
	assert_true(is_there(o, "anna.lock"));
	mailbox_lock_release(&l);
	assert_false(is_there(o, "anna.lock"));
	/* Another's, alive. */
	put_file(o->root, "anna.lock", "0", 1);
	assert_int_equal(
		mailbox_lock_take(&m, o->root, "anna", MAILBOX_READ, 50), -EAGAIN);
	assert_true(is_there(o, "anna.lock"));
	assert_int_equal(unlinkat(o->root, "anna.lock", 0), 0);
	/* A replaced file is no mailbox any more. */
	assert_int_equal(
		mailbox_lock_take(&m, o->root, "nobody", MAILBOX_WRITE, 0), -ENOENT);
	spool_close(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_listed_and_sent),
		cmocka_unit_test(a_missing_one_is_empty_and_made_by_mail),
		cmocka_unit_test(what_is_no_mbox_is_refused),
		cmocka_unit_test(marked_messages_go),
		cmocka_unit_test(a_session_keeps_its_view_while_others_write),
		cmocka_unit_test(an_open_slice_tells_that_it_is_stale),
		cmocka_unit_test(a_change_of_the_same_size_is_seen),
		cmocka_unit_test(uidls_stay),
		cmocka_unit_test(no_uidl_comes_twice),
		cmocka_unit_test(twins_by_the_thousand),
		cmocka_unit_test(imported_uidls_go_first),
		cmocka_unit_test(others_write_the_log_anew),
		cmocka_unit_test(a_damaged_log_is_refused),
		cmocka_unit_test(a_damaged_cache_is_made_anew),
		cmocka_unit_test(a_forged_index_is_no_index),
		cmocka_unit_test(an_unchanged_one_is_not_read),
		cmocka_unit_test(seen_stays_in_the_cache),
		cmocka_unit_test(quotes_are_undone_on_request),
		cmocka_unit_test(deliveries_complete_what_lies_before_them),
		cmocka_unit_test(deliveries_do_not_wait_for_a_session),
		cmocka_unit_test(internal_data_stays),
		cmocka_unit_test(a_directory_that_cannot_be_written),
		cmocka_unit_test(no_inode_is_left),
		cmocka_unit_test(dot_locks_of_the_dead_are_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
