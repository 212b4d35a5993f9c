/* The Maildir alone: what is synced when, names that are taken, marks, a full disk. */
#include "fetch_help.h"
#include "scratch.h"

#include "fetch/maildir_marks.h"
#include "fetch/target.h"
#include "store/maildir_name.h"

#include <sys/mount.h>
#include <sys/syscall.h>

/* The order of syncs and renames, as inodes. */
static struct {
	bool on;
	size_t n;
	struct {
		bool is_rename;
		ino_t inode;
	} calls[64];
} order;

static void
note(bool is_rename, const struct stat *st)
{
	if (!order.on)
		return;
	assert_true(order.n < 64);
	order.calls[order.n].is_rename = is_rename;
	order.calls[order.n++].inode = st->st_ino;
}

int
fsync(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	note(false, &st);
	return (int)syscall(SYS_fsync, fd);
}

int
renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
	struct stat st;

	if (fstatat(from, old, &st, 0) == 0)
		note(true, &st);
	return (int)syscall(SYS_renameat2, from, old, to, name, flags);
}

static size_t
first_call(bool is_rename, ino_t inode, size_t from)
{
	for (size_t i = from; i < order.n; i++)
		if (order.calls[i].is_rename == is_rename &&
			order.calls[i].inode == inode)
			return i;
	fail_msg("inode %llu was not %s", (unsigned long long)inode,
		is_rename ? "renamed" : "synced");
	return 0;
}

static ino_t
inode_of(const struct bench *b, const char *below)
{
	char path[200];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", b->root, below);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

/* Rule 7: file, tmp/, (journal,) rename, new/. */
static void
syncs_in_order(void **state)
{
	struct bench b;
	struct letter l;
	struct stat st;

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n"));
	assert_int_equal(fstat(l.fd, &st), 0);
	order.n = 0;
	order.on = true;
	OK(commit_one(&b, &l));
	order.on = false;
	size_t file = first_call(false, st.st_ino, 0);
	size_t tmp = first_call(false, inode_of(&b, "mail/tmp"), file);
	size_t renamed = first_call(true, st.st_ino, tmp);
	(void)first_call(false, inode_of(&b, "mail/new"), renamed);
	bench_end(&b);
}

static void
names(void **state)
{
	struct bench b;
	struct letter l;
	struct maildir_name parsed;
	char path[400];

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n\r\nx"));
	OK(commit_one(&b, &l));
	only_file(b.root, "mail/new", path, sizeof(path));
	const char *name = strrchr(path, '/') + 1;
	assert_true(maildir_name_parse(durable_view(name), &parsed));
	assert_true(parsed.time > 1700000000 && parsed.time != UINT64_MAX);
	assert_true(parsed.has_size && parsed.size == 7);
	assert_true(parsed.has_wire && parsed.wire == 11);
	/* It serves as a UIDL as it is. */
	assert_true(maildir_uidl_legal((struct view){parsed.key, parsed.key_n}));
	bench_end(&b);
}

static void
marks(void **state)
{
	uint8_t mark[MARK_OCTETS];
	struct mark_set set = {0};

	(void)state;
	assert_true(
		marks_of_name("17.R000102030405060708090a0b0c0d0e0f.h,S=1:2,S", mark));
	for (uint8_t i = 0; i < MARK_OCTETS; i++)
		assert_int_equal(mark[i], i);
	static const char *const none[] = {"", "17", "17.", "17.R", ".R", "17.M1P1.h",
		"17.R000102030405060708090a0b0c0d0e0f",
		"17.R000102030405060708090a0b0c0d0e0g.h",
		"17.R000102030405060708090A0B0C0D0E0F.h",
		"17.R000102030405060708090a0b0c0d0e0f0.h",
		"R000102030405060708090a0b0c0d0e0f.h"};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(marks_of_name(none[i], mark));
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t m[MARK_OCTETS] = {(uint8_t)(i * 7), (uint8_t)(i >> 8)};

		assert_false(marks_have(&set, m));
		OK(marks_add(&set, m));
		assert_true(marks_have(&set, m));
	}
	marks_free(&set);
}

/* In a daemon: what was delivered and moved away is not remembered for ever. */
static void
marks_do_not_grow_without_end(void **state)
{
	struct bench b;
	struct letter l, *one = &l;
	struct target *t;
	char names[1][LETTER_NAME_MAX], ids[1][TRACE_ID_MAX] = {""}, from[300], to[300];

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	struct target_context c = {.account = &b.a,
		.spec = &b.a.targets[0],
		.spool_dir = spool_directory(b.spool, &(int){0}),
		.is_spool = true,
		.mark = spool_mark(b.spool)};
	OK(target_maildir.open(&c, &t, b.why, sizeof(b.why)));
	letter_make(&b, &l, "1", VIEW("Subject: x\r\n\r\nx\r\n"));
	(void)snprintf(to, sizeof(to), "%s/mail/tmp/%s", b.root, l.tmp);
	for (unsigned i = 0; i <= MARKS_ADDED_MAX + 1; i++) {
		/* At the end the first one comes again: nobody knows it any more. */
		unsigned mark = i <= MARKS_ADDED_MAX ? i : 0;

		(void)snprintf(names[0], sizeof(names[0]), "17.R%032x.h", mark);
		(void)snprintf(from, sizeof(from), "%s/mail/new/%s", b.root, names[0]);
		target_maildir.hand_over(t, &one, names, ids, 1);
		assert_int_equal(l.fate, LETTER_DELIVERED);
		assert_int_equal(rename(from, to), 0);
	}
	target_maildir.close(&t);
	spool_abort(b.spool, &l);
	bench_end(&b);
}

static void
stands_where_its_path_leads(void **state)
{
	static const char *const parts[] = {"", "/tmp", "/new", "/cur"};
	struct bench b;
	char path[200], away[200];

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_PROGRAM, "cat");
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_target(&b, FETCH_MAILDIR, "copy");
	bench_start(&b);
	(void)snprintf(away, sizeof(away), "%s/away", b.root);
	for (size_t i = 0; i < 8; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s%s", b.root,
			i < 4 ? "mail" : "copy", parts[i % 4]);
		assert_true(deliver_stands(b.deliver));
		assert_int_equal(rename(path, away), 0);
		assert_false(deliver_stands(b.deliver));
		/* Another one in its place. */
		assert_int_equal(mkdir(path, 0700), 0);
		assert_false(deliver_stands(b.deliver));
		assert_int_equal(rmdir(path), 0);
		assert_int_equal(rename(away, path), 0);
	}
	assert_true(deliver_stands(b.deliver));
	bench_end(&b);
}

/* A name that is taken since the marks were read: the message's, nothing is replaced. */
static void
taken(void **state)
{
	struct bench b;
	struct letter l, *lp = &l;
	struct target *t;
	char name[1][LETTER_NAME_MAX], id[1][TRACE_ID_MAX], path[500];
	int own;

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	struct target_context c = {.account = &b.a,
		.spec = &b.a.targets[0],
		.state_dir = b.state_dir,
		.spool_dir = spool_directory(b.spool, &own),
		.is_spool = true,
		.mark = spool_mark(b.spool)};
	OK(target_maildir.open(&c, &t, b.why, sizeof(b.why)));
	letter_make(&b, &l, "u0", VIEW("x\r\n"));
	OK(target_trace_id(&b.a, &l, id[0]));
	OK(target_maildir.prepare(t, &l, id[0], name[0]));
	target_maildir.hand_over(t, &lp, name, id, 1);
	assert_int_equal(l.fate, LETTER_DELIVERED);
	OK(target_maildir.settle(t));
	fd_close(&l.fd);
	letter_make(&b, &l, "u1", VIEW("ours\r\n"));
	OK(target_trace_id(&b.a, &l, id[0]));
	OK(target_maildir.prepare(t, &l, id[0], name[0]));
	(void)snprintf(path, sizeof(path), "%s/mail/new/%s", b.root, name[0]);
	put_file(path, VIEW("there before"));
	l.fate = LETTER_COMING;
	target_maildir.hand_over(t, &lp, name, id, 1);
	assert_int_equal(l.fate, LETTER_KNOWN);
	assert_file(path, VIEW("there before"));
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	OK(target_maildir.settle(t));
	fd_close(&l.fd);
	target_maildir.close(&t);
	bench_end(&b);
}

/* The second Maildir is on a small file system of its own: copied; full: only there
 * delivered later. */
static void
another_file_system(void **state)
{
	struct bench b;
	struct letter l;
	char path[200], file[500];
	const size_t n = 400000;
	uint8_t *big = calloc(1, n);

	(void)state;
	assert_non_null(big);
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_target(&b, FETCH_MAILDIR, "small/copy");
	(void)snprintf(path, sizeof(path), "%s/small", b.root);
	assert_int_equal(mkdir(path, 0700), 0);
	if (mount("none", path, "tmpfs", 0, "size=256k") < 0) {
		free(big);
		bench_end(&b);
		skip();
	}
	bench_start(&b);
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n"));
	OK(commit_one(&b, &l));
	assert_int_equal(l.fate, LETTER_DELIVERED);
	only_file(b.root, "small/copy/new", file, sizeof(file));
	assert_file(file, VIEW("A: 1\n"));
	for (int i = 0; i < 2; i++) {
		letter_make(&b, &l, "u2", (struct view){big, n});
		OK(commit_one(&b, &l));
		assert_int_equal(l.fate, LETTER_TEMPORARY);
		assert_non_null(strstr(l.why, strerror(ENOSPC)));
		assert_non_null(strstr(l.why, "small/copy"));
	}
	assert_int_equal(count_files(b.root, "mail/new"), 2);
	assert_int_equal(count_files(b.root, "small/copy/new"), 1);
	assert_int_equal(count_files(b.root, "small/copy/tmp"), 0);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	bench_stop(&b);
	assert_int_equal(umount(path), 0);
	free(big);
	bench_end(&b);
}

static void
no_directory(void **state)
{
	struct bench b;
	char path[200];

	(void)state;
	bench_make(&b, scratch());
	(void)snprintf(path, sizeof(path), "%s/file", b.root);
	put_file(path, VIEW("x"));
	bench_target(&b, FETCH_MAILDIR, "file/mail");
	assert_int_equal(
		spool_open(&b.a, b.state_dir, &b.spool, b.why, sizeof(b.why)), -ENOTDIR);
	assert_non_null(strstr(b.why, "file/mail"));
	bench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syncs_in_order),
		cmocka_unit_test(names),
		cmocka_unit_test(marks),
		cmocka_unit_test(marks_do_not_grow_without_end),
		cmocka_unit_test(stands_where_its_path_leads),
		cmocka_unit_test(taken),
		cmocka_unit_test(another_file_system),
		cmocka_unit_test(no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
