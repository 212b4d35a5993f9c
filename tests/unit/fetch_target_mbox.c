/* The mbox: its form, its locks, and what a killed run leaves. */
#include "fetch_help.h"
#include "scratch.h"

#include "fetch/mbox_lock.h"
#include "fetch/mbox_stage.h"
#include "fetch/mboxrd.h"
#include "fetch/target.h"
#include "os/clock.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>

struct text {
	struct mboxrd_sink sink;
	size_t n;
	char p[4096];
};

static void
take(struct mboxrd_sink *sink, struct view octets)
{
	struct text *t = (struct text *)(void *)sink;

	assert_true(t->n + octets.n <= sizeof(t->p));
	memcpy(t->p + t->n, octets.p, octets.n);
	t->n += octets.n;
}

static void
check_form(struct view in, struct view expected)
{
	for (size_t cut = 0; cut <= in.n; cut++) {
		struct text t = {.sink = {take}};
		struct mboxrd m = {0};

		mboxrd_take(&m, (struct view){in.p, cut}, &t.sink);
		mboxrd_take(&m, (struct view){in.p + cut, in.n - cut}, &t.sink);
		mboxrd_finish(&m, &t.sink);
		assert_int_equal(t.n, expected.n);
		assert_memory_equal(t.p, expected.p, t.n);
	}
}

static void
form(void **state)
{
	(void)state;
	check_form(VIEW("A: b\r\n\r\nFrom x\r\n"), VIEW("A: b\n\n>From x\n\n"));
	check_form(VIEW("From x\n>From y\n>>From z\n"),
		VIEW(">From x\n>>From y\n>>>From z\n\n"));
	check_form(VIEW(">From\n From x\nfrom x\n>F\n>"),
		VIEW(">From\n From x\nfrom x\n>F\n>\n\n"));
	check_form(VIEW("Fro"), VIEW("Fro\n\n"));
	check_form(VIEW("From "), VIEW(">From \n\n"));
	check_form(VIEW("x\0y\rz\r"), VIEW("x\0y\rz\r\n\n"));
	check_form(VIEW(""), VIEW("\n"));
	check_form(VIEW("x\n\n\n"), VIEW("x\n\n\n\n"));
}

static void
from_line(void **state)
{
	char line[MBOXRD_FROM_MAX];
	static const struct {
		const char *head, *sender;
	} rows[] = {
		{"Return-Path: <a@b>\r\nX: y\r\n", "a@b"},
		{"X: y\nRETURN-PATH:<c@d>\n", "c@d"},
		{"Return-Path: <>\n", "MAILER-DAEMON"},
		{"Return-Path: <a b>\n", "MAILER-DAEMON"},
		{"Return-Path: <a\033b>\n", "MAILER-DAEMON"},
		{"Return-Path: <a@b", "MAILER-DAEMON"},
		{"Return-Path: a@b\nX: <e@f>\n", "MAILER-DAEMON"},
		{"X: y\n\nReturn-Path: <a@b>\n", "MAILER-DAEMON"},
		{"", "MAILER-DAEMON"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char expected[MBOXRD_FROM_MAX];
		size_t n = mboxrd_from_line(durable_view(rows[i].head), 1720000000, line);

		(void)snprintf(expected, sizeof(expected),
			"From %s Wed Jul  3 09:46:40 2024\n", rows[i].sender);
		assert_int_equal(n, strlen(expected));
		assert_string_equal(line, expected);
	}
}

#define FROM_N 44 /* octets of a From_ line of MAILER-DAEMON */

static void
box_of(const struct bench *b, char ret[100])
{
	(void)snprintf(ret, 100, "%s/box", b->root);
}

static off_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? -1 : st.st_size;
}

static void
box_start(struct bench *b, char path[100])
{
	bench_make(b, scratch());
	bench_target(b, FETCH_MBOX, "box");
	box_of(b, path);
	bench_start(b);
}

static void
deliver_one(struct bench *b, const char *uid, const char *text, enum letter_fate fate)
{
	struct letter l;

	letter_make(b, &l, uid, durable_view(text));
	OK(commit_one(b, &l));
	assert_int_equal(l.fate, fate);
	assert_int_equal(count_files(b->root, "state/spool"), 0);
}

static void
appends(void **state)
{
	static const struct {
		const char *before;
		size_t lacks;
	} rows[] = {{"", 0}, {"From x\n\nend\n\n", 0}, {"From x\n\nend\n", 1},
		{"From x\n\nend", 2}, {"\n", 0}, {"x", 2}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench b;
		char path[100];
		size_t n = strlen(rows[i].before);

		box_start(&b, path);
		put_file(path, durable_view(rows[i].before));
		deliver_one(&b, "u1", "A: 1\r\n\r\nx", LETTER_DELIVERED);
		assert_int_equal(size_of(path), n + rows[i].lacks + FROM_N + 5 + 1 + 3);
		assert_int_equal(count_files(b.root, ""), 2);
		bench_end(&b);
	}
}

/* old_n, new_n: octets in the mbox and in the second letter. */
static void
full_at(size_t old_n, size_t new_n)
{
	struct bench b;
	struct letter l[2], *both[] = {&l[0], &l[1]};
	struct rlimit old, small = {.rlim_cur = 3000};
	char path[100], big[3100];

	(void)sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	box_start(&b, path);
	memset(big, '\n', sizeof(big));
	put_file(path, (struct view){(const uint8_t *)big, old_n});
	letter_make(&b, &l[0], "u1", VIEW("A: 1\r\n"));
	letter_make(&b, &l[1], "u2", (struct view){(const uint8_t *)big, new_n});
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	struct target *t;
	int own;
	struct target_context c = {.account = &b.a,
		.spec = &b.a.targets[0],
		.state_dir = b.state_dir,
		.spool_dir = spool_directory(b.spool, &own),
		.mark = spool_mark(b.spool)};
	char names[2][LETTER_NAME_MAX], ids[2][TRACE_ID_MAX];
	OK(target_mbox.open(&c, &t, b.why, sizeof(b.why)));
	for (size_t i = 0; i < 2; i++) {
		OK(target_trace_id(&b.a, both[i], ids[i]));
		OK(target_mbox.prepare(t, both[i], ids[i], names[i]));
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	target_mbox.hand_over(t, both, names, ids, 2);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(l[1].fate, LETTER_TEMPORARY);
	assert_non_null(strstr(l[1].why, strerror(EFBIG)));
	assert_int_equal(l[0].fate, LETTER_DELIVERED);
	assert_int_equal(size_of(path), old_n + FROM_N + 6);
	target_mbox.close(&t);
	spool_abort(b.spool, &l[0]);
	spool_abort(b.spool, &l[1]);
	bench_end(&b);
}

/* The stage has no room; the stage has, the mbox has not. */
static void
full_disk(void **state)
{
	(void)state;
	full_at(100, 2990);
	full_at(2500, 1500);
}

/* A batch of two, killed at every octet of the append, with other programs' doings. */
enum meanwhile { NOTHING, APPENDED, ZEROED, EMPTIED, MEANWHILES };

static void
killed_at(size_t at, enum meanwhile meanwhile)
{
	struct bench b;
	struct letter l[2], *both[] = {&l[0], &l[1]};
	static const char *const texts[] = {"A: 1\r\n\r\none\r\n", "A: 2\r\n\r\ntwo\r\n"};
	char path[100], names[2][LETTER_NAME_MAX], ids[2][TRACE_ID_MAX];
	struct target *t;
	int own;
	const off_t one = FROM_N + 5 + 1 + 4 + 1;

	box_start(&b, path);
	deliver_one(&b, "u0", "A: 0\r\n\r\nxxx\r\n", LETTER_DELIVERED);
	assert_int_equal(size_of(path), one);
	struct target_context c = {.account = &b.a,
		.spec = &b.a.targets[0],
		.state_dir = b.state_dir,
		.spool_dir = spool_directory(b.spool, &own),
		.mark = spool_mark(b.spool)};
	OK(target_mbox.open(&c, &t, b.why, sizeof(b.why)));
	for (size_t i = 0; i < 2; i++) {
		letter_make(&b, &l[i], i ? "u2" : "u1", durable_view(texts[i]));
		OK(target_trace_id(&b.a, both[i], ids[i]));
		OK(target_mbox.prepare(t, both[i], ids[i], names[i]));
		l[i].names = &names[i];
		l[i].wanted = 1;
	}
	OK(state_intend(b.state, b.r.row, both, 2, &b.a));
	target_mbox.hand_over(t, both, names, ids, 2);
	target_mbox.close(&t);
	assert_int_equal(size_of(path), 3 * one);
	assert_int_equal(truncate(path, one + (off_t)at), 0);
	static const char other[] = "From other\n\nmail\n\n";
	if (meanwhile == ZEROED)
		assert_int_equal(truncate(path, 3 * one), 0);
	if (meanwhile == EMPTIED)
		assert_int_equal(truncate(path, 0), 0);
	if (meanwhile == APPENDED) {
		int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

		OK(fd_write_all(fd, other, sizeof(other) - 1));
		close(fd);
	}
	spool_abort(b.spool, &l[0]);
	spool_abort(b.spool, &l[1]);
	bench_stop(&b);
	bench_start(&b);
	OK(deliver_replay(b.deliver, b.why, sizeof(b.why)));
	for (size_t i = 0; i < 2; i++) {
		letter_make(&b, &l[i], i ? "u2" : "u1", durable_view(texts[i]));
		OK(commit_one(&b, &l[i]));
		assert_true(l[i].fate == LETTER_KNOWN || l[i].fate == LETTER_DELIVERED);
	}
	uint8_t *all;
	size_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	OK(fd_read_file(fd, 1 << 20, &all, &n));
	close(fd);
	static const char *const bodies[] = {"\nA: 1\n\none\n\n", "\nA: 2\n\ntwo\n\n"};
	for (size_t i = 0; i < 2; i++) {
		size_t body_n = strlen(bodies[i]);
		uint8_t *hit = memmem(all, n, bodies[i], body_n);

		assert_non_null(hit);
		assert_null(
			memmem(hit + 1, n - (size_t)(hit + 1 - all), bodies[i], body_n));
	}
	if (meanwhile == NOTHING || meanwhile == ZEROED)
		assert_int_equal(n, 3 * one);
	if (meanwhile == APPENDED)
		assert_non_null(memmem(all, n, other, sizeof(other) - 1));
	free(all);
	bench_end(&b);
}

static void
killed(void **state)
{
	(void)state;
	for (enum meanwhile m = 0; m < MEANWHILES; m++)
		for (size_t at = 0; at <= 110; at += 5)
			killed_at(at, m);
}

static void
stage_is_checked(void **state)
{
	struct bench b;
	struct letter l;
	struct stage s, back;
	char path[200];
	static const uint8_t nonce[STAGE_NONCE_OCTETS] = {7},
			     mark[STAGE_MARK_OCTETS] = {9};

	(void)state;
	box_start(&b, path);
	int dir = open(b.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(stage_load(&back, dir, "s"), -ENOENT);
	letter_make(&b, &l, "u", VIEW("A: 1\r\n"));
	OK(stage_begin(&s, dir, "s", nonce, 17));
	OK(stage_add(&s, &l, mark, "\n", 1720000000));
	assert_int_equal(stage_load(&back, dir, "s"), -ENOENT);
	OK(stage_seal(&s, dir));
	OK(stage_load(&back, dir, "s"));
	assert_int_equal(back.n, 1);
	assert_int_equal(back.old_size, 17);
	assert_int_equal(back.rows[0].length, 1 + FROM_N + 6);
	assert_memory_equal(back.rows[0].mark, mark, sizeof(mark));
	stage_free(&back);
	stage_free(&s);
	/* Any octet turned, or a piece missing: as if it were not there. */
	(void)snprintf(path, sizeof(path), "%.90s/s", b.state_dir);
	off_t n = size_of(path);
	for (off_t at = 0; at < n; at++) {
		uint8_t octet;
		int fd = open(path, O_RDWR | O_CLOEXEC);

		assert_int_equal(pread(fd, &octet, 1, at), 1);
		octet ^= 0x10;
		assert_int_equal(pwrite(fd, &octet, 1, at), 1);
		assert_int_equal(stage_load(&back, dir, "s"), -ENOENT);
		octet ^= 0x10;
		assert_int_equal(pwrite(fd, &octet, 1, at), 1);
		close(fd);
	}
	assert_int_equal(truncate(path, n - 1), 0);
	assert_int_equal(stage_load(&back, dir, "s"), -ENOENT);
	close(dir);
	spool_abort(b.spool, &l);
	bench_end(&b);
}

static void
locks(void **state)
{
	struct bench b;
	struct mbox_lock first, second;
	char path[100], dot[120], text[200], host[DURABLE_HOST_MAX];

	(void)state;
	box_start(&b, path);
	(void)snprintf(dot, sizeof(dot), "%s.lock", path);
	OK(mbox_lock(path, clock_ms() + 1000, &first));
	assert_true(size_of(dot) > 0);
	assert_int_equal(mbox_lock(path, clock_ms() + 50, &second), -EWOULDBLOCK);
	/* The kernel's lock alone: what a program without dot locks sees, and shows. */
	assert_int_equal(unlink(dot), 0);
	assert_int_equal(mbox_lock(path, clock_ms() + 50, &second), -EWOULDBLOCK);
	assert_int_equal(size_of(dot), -1);
	mbox_unlock(&first);
	/* Another program's, fresh: respected. Old: removed. */
	put_file(dot, VIEW("0\n"));
	assert_int_equal(mbox_lock(path, clock_ms() + 50, &second), -EWOULDBLOCK);
	assert_int_equal(size_of(dot), 2);
	struct timespec old[2] = {{.tv_sec = time(NULL) - MBOX_LOCK_STALE_S - 5},
		{.tv_sec = time(NULL) - MBOX_LOCK_STALE_S - 5}};
	assert_int_equal(utimensat(AT_FDCWD, dot, old, 0), 0);
	OK(mbox_lock(path, clock_ms() + 1000, &first));
	mbox_unlock(&first);
	assert_int_equal(size_of(dot), -1);
	/* Ours, of a process that is gone: removed at once; of one that lives: not. */
	durable_hostname(host);
	(void)snprintf(text, sizeof(text), "2147483647 restante-fetch %s\n", host);
	put_file(dot, durable_view(text));
	OK(mbox_lock(path, clock_ms() + 1000, &first));
	mbox_unlock(&first);
	(void)snprintf(
		text, sizeof(text), "%ld restante-fetch %s\n", (long)getpid(), host);
	put_file(dot, durable_view(text));
	assert_int_equal(mbox_lock(path, clock_ms() + 50, &first), -EWOULDBLOCK);
	OK(mbox_lock_sweep(path));
	assert_true(size_of(dot) > 0);
	/* Of another start of the machine: whatever runs under that number now, gone. */
	(void)snprintf(
		text, sizeof(text), "%ld restante-fetch %s x\n", (long)getpid(), host);
	put_file(dot, durable_view(text));
	OK(mbox_lock_sweep(path));
	assert_int_equal(size_of(dot), -1);
	put_file(dot, durable_view(text));
	OK(mbox_lock(path, clock_ms() + 1000, &first));
	/* Our own says which start it is of; and another program's is not swept. */
	OK(mbox_lock_sweep(path));
	assert_true(size_of(dot) > (off_t)strlen(text));
	mbox_unlock(&first);
	put_file(dot, VIEW("0\n"));
	assert_int_equal(utimensat(AT_FDCWD, dot, old, 0), 0);
	OK(mbox_lock_sweep(path));
	assert_int_equal(size_of(dot), 2);
	assert_int_equal(unlink(dot), 0);
	OK(mbox_lock_sweep("/nowhere/at/all"));
	assert_int_equal(mbox_lock("/dev/null", clock_ms() + 50, &first), -EINVAL);
	bench_end(&b);
}

/* A lock says since when its process runs: another has its number, perhaps, but not since
 * then. */
static void
a_number_used_again(void **state)
{
	struct bench b;
	struct mbox_lock lock;
	char path[100], dot[120], text[200];

	(void)state;
	box_start(&b, path);
	(void)snprintf(dot, sizeof(dot), "%s.lock", path);
	OK(mbox_lock(path, clock_ms() + 1000, &lock));
	AUTO_FD own = open(dot, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(own, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = 0;
	mbox_unlock(&lock);
	/* And when its process began: another has that number, perhaps, but not since
	 * then. */
	put_file(dot, durable_view(text));
	OK(mbox_lock_sweep(path));
	assert_int_equal(size_of(dot), n);
	assert_int_equal(mbox_lock(path, clock_ms() + 50, &lock), -EWOULDBLOCK);
	(void)snprintf(strrchr(text, ' '), 4, " 1\n");
	put_file(dot, durable_view(text));
	OK(mbox_lock_sweep(path));
	assert_int_equal(size_of(dot), -1);
	bench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(form),
		cmocka_unit_test(from_line),
		cmocka_unit_test(appends),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(killed),
		cmocka_unit_test(stage_is_checked),
		cmocka_unit_test(locks),
		cmocka_unit_test(a_number_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
