/* Mail put into a Maildir: its octets, its names, and what it leaves alone. */
#include "store_help.h"

#include "store/deposit_write.h"

#include <pthread.h>
#include <sys/mman.h>

static int
source_of(const void *p, size_t n)
{
	int fd = memfd_create("source", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, p, n), 0);
	return fd;
}

static struct store_deposit
letter(int fd, size_t n)
{
	return (struct store_deposit){
		.fd = fd, .length = n, .now_s = 1800000000, .result = 1};
}

/* The first name in the directory; false where it is empty. */
static bool
first_name(int top, const char *sub, char ret[256])
{
	int fd = openat(top, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	bool found = false;

	assert_non_null(d);
	for (struct dirent *e; !found && (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(ret, 256, "%.255s", e->d_name);
		found = true;
	}
	(void)closedir(d);
	return found;
}

/* The only message: what is stored, and that its name tells the truth. Then it goes. */
static void
check_only(const struct office *o, const void *expected, size_t n)
{
	static uint8_t octets[1 << 20], block[MAILDIR_BLOCK];
	struct maildir_name parsed;
	struct maildir_row row = {0};
	char name[256], path[300];

	assert_true(first_name(o->top, "new", name));
	(void)snprintf(path, sizeof(path), "new/%s", name);
	int fd = openat(o->top, path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, octets, sizeof(octets)), n);
	assert_memory_equal(octets, expected, n);
	assert_int_equal(maildir_count(fd, n, block, &row), 0);
	(void)close(fd);
	assert_true(maildir_name_parse(
		(struct view){(const uint8_t *)name, strlen(name)}, &parsed));
	assert_true(parsed.has_size);
	assert_true(parsed.has_wire);
	assert_int_equal(parsed.size, n);
	/* The end that a last line lacks is not in a name. */
	uint64_t missing = n > 0 && octets[n - 1] != '\n' ? 2 : 0;
	assert_int_equal(parsed.wire + missing, row.wire);
	assert_int_equal(parsed.time, 1800000000);
	assert_int_equal(unlinkat(o->top, path, 0), 0);
	assert_false(first_name(o->top, "new", name));
	assert_false(first_name(o->top, "tmp", name));
}

static void
line_ends_become_lf(void **state)
{
	static const struct {
		struct view in, out;
	} rows[] = {
		{VIEW("a\r\nb\r\n"), VIEW("a\nb\n")},
		{VIEW("a\nb\r\n"), VIEW("a\nb\n")},
		{VIEW("a\rb\r\n"), VIEW("a\rb\n")},
		{VIEW("a\r\r\nb"), VIEW("a\r\nb")},
		{VIEW("a\r"), VIEW("a\r")},
		{VIEW("a\r\r"), VIEW("a\r\r")},
		{VIEW("\r"), VIEW("\r")},
		{VIEW("\n"), VIEW("\n")},
		{VIEW("no line end"), VIEW("no line end")},
		{VIEW(".\r\n..\r\n.x"), VIEW(".\n..\n.x")},
		{VIEW("\0\xFF\r\n\0"), VIEW("\0\xFF\n\0")},
		{VIEW(""), VIEW("")},
	};
	struct office *o = office_open();
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = source_of(rows[i].in.p, rows[i].in.n);
		struct store_deposit d = letter(fd, rows[i].in.n);
		ops->deposit(o->store, &d, 1);
		assert_int_equal(d.result, 0);
		check_only(o, rows[i].out.p, rows[i].out.n);
		(void)close(fd);
	}
	office_close(o);
}

/* Line ends that lie across the pieces in which a source is read. */
static void
long_messages_are_whole(void **state)
{
	static const size_t lengths[] = {DEPOSIT_BLOCK - 1, DEPOSIT_BLOCK,
		DEPOSIT_BLOCK + 1, DEPOSIT_BLOCK + 2, 3 * DEPOSIT_BLOCK + 17};
	static uint8_t in[4 * DEPOSIT_BLOCK], out[4 * DEPOSIT_BLOCK];
	struct office *o = office_open();
	(void)state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t n = lengths[i], stored = 0;
		memset(in, 'x', n);
		for (size_t at = DEPOSIT_BLOCK - 1; at + 1 < n; at += DEPOSIT_BLOCK)
			memcpy(in + at, "\r\n", 2);
		for (size_t k = 0; k < n; k++)
			if (!(in[k] == '\r' && k + 1 < n && in[k + 1] == '\n'))
				out[stored++] = in[k];
		int fd = source_of(in, n);
		struct store_deposit d = letter(fd, n);
		ops->deposit(o->store, &d, 1);
		assert_int_equal(d.result, 0);
		check_only(o, out, stored);
		(void)close(fd);
	}
	/* Nothing but the CR that may belong to a line end. */
	memset(in, '\r', 2 * DEPOSIT_BLOCK);
	int fd = source_of(in, 2 * DEPOSIT_BLOCK);
	struct store_deposit d = letter(fd, 2 * DEPOSIT_BLOCK);
	ops->deposit(o->store, &d, 1);
	assert_int_equal(d.result, 0);
	check_only(o, in, 2 * DEPOSIT_BLOCK);
	(void)close(fd);
	office_close(o);
}

static void
the_envelope_stands_on_top(void **state)
{
	static const struct {
		struct view sender, recipient;
		const char *head;
	} rows[] = {
		{VIEW("a@b"), VIEW("c@d"), "Return-Path: <a@b>\nDelivered-To: c@d\n"},
		{VIEW(""), VIEW("c"), "Return-Path: <>\nDelivered-To: c\n"},
		{{NULL, 0}, {NULL, 0}, ""},
		{{NULL, 0}, VIEW("c"), "Delivered-To: c\n"},
		{VIEW("a\r\nBcc: x"), VIEW("c\0d"),
			"Return-Path: <a?"
			"?Bcc: x>\nDelivered-To: c?d\n"},
		{VIEW("\t\x7F\x1B"), VIEW("\n"),
			"Return-Path: <??"
			"?>\nDelivered-To: ?\n"},
		/* UTF-8 of two, three and four octets stays (RFC 6531); no other. */
		{VIEW("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x93\xAC"), VIEW("x"),
			"Return-Path: <\xC3\xA4\xE2\x82\xAC\xF0\x9F\x93\xAC>\n"
			"Delivered-To: x\n"},
		{VIEW("\xE4"), VIEW("\xC0\x80"), "Return-Path: <?>\nDelivered-To: ??\n"},
		{VIEW("\xED\xA0\x80"), VIEW("\xF4\x90\x80\x80"),
			"Return-Path: <??"
			"?>\nDelivered-To: ????\n"},
		{VIEW("\xE2\x82"), VIEW("\xC3("),
			"Return-Path: <?"
			"?>\nDelivered-To: ?(\n"},
	};
	struct office *o = office_open();
	char expected[256];
	(void)state;

	int fd = source_of("x\r\n", 3);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_deposit d = letter(fd, 3);
		d.sender = rows[i].sender;
		d.recipient = rows[i].recipient;
		ops->deposit(o->store, &d, 1);
		assert_int_equal(d.result, 0);
		int n = snprintf(expected, sizeof(expected), "%sx\n", rows[i].head);
		check_only(o, expected, (size_t)n);
	}
	/* The longest that can come. */
	static uint8_t octets[1024], out[DEPOSIT_HEAD_MAX];
	struct buf b = buf_over(out, sizeof(out));
	memset(octets, 1, sizeof(octets));
	struct store_deposit d = letter(fd, 3);
	d.sender = d.recipient = (struct view){octets, sizeof(octets)};
	deposit_head(&d, &b);
	assert_false(b.full);
	assert_true(b.n > 2048);
	(void)close(fd);
	office_close(o);
}

static void
names_are_uidls_in_order(void **state)
{
	enum { MANY = 100 };
	struct office *o = office_open();
	struct store_deposit list[MANY];
	struct store_slice slice;
	char text[16], other[16] = {0};
	(void)state;

	for (int i = 0; i < MANY; i++) {
		int n = snprintf(text, sizeof(text), "%d\n", i);
		list[i] = letter(source_of(text, (size_t)n), (size_t)n);
		list[i].now_s = (uint64_t)time(NULL);
	}
	ops->deposit(o->store, list, MANY);
	enter(o);
	assert_int_equal(o->table->count, MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		struct view uidl = o->table->messages[i].uidl;
		assert_int_equal(list[i].result, 0);
		/* The name itself, no hash of it. */
		assert_non_null(memmem(uidl.p, uidl.n, ".test.example", 13));
		assert_int_equal(ops->slice(o->store, o->table, i, &slice), 0);
		assert_true(pread(slice.fd, other, sizeof(other) - 1, 0) > 0);
		(void)snprintf(text, sizeof(text), "%d\n", (int)i);
		assert_memory_equal(other, text, strlen(text));
		(void)close(slice.fd);
		(void)close(list[i].fd);
	}
	leave(o);
	office_close(o);
}

static void
host_names_are_cleaned(void **state)
{
	static const struct {
		struct view in;
		const char *out;
	} rows[] = {
		{VIEW("mail.example.org"), "mail.example.org"},
		{VIEW(""), "localhost"},
		{VIEW("a/b:c d\n\xFF"), "a-b-c-d--"},
	};
	char host[DEPOSIT_HOST_MAX];
	uint8_t longest[300];
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		deposit_hostname(rows[i].in, host);
		assert_string_equal(host, rows[i].out);
	}
	memset(longest, 'h', sizeof(longest));
	deposit_hostname((struct view){longest, sizeof(longest)}, host);
	assert_int_equal(strlen(host), DEPOSIT_HOST_MAX - 1);
}

static void
a_source_that_shrank_is_not_stored(void **state)
{
	struct office *o = office_open();
	char name[256];
	(void)state;

	int whole = source_of("one\n", 4), cut = source_of("two\n", 3);
	struct store_deposit list[] = {
		letter(whole, 4), letter(cut, 4), letter(whole, 4), letter(-1, 1)};
	ops->deposit(o->store, list, 4);
	assert_int_equal(list[0].result, 0);
	assert_int_equal(list[1].result, -EIO);
	assert_int_equal(list[2].result, 0);
	assert_int_equal(list[3].result, -EBADF);
	enter(o);
	assert_int_equal(o->table->count, 2);
	leave(o);
	assert_false(first_name(o->top, "tmp", name));
	(void)close(whole);
	(void)close(cut);
	office_close(o);
}

static void
a_session_is_not_disturbed(void **state)
{
	struct office *o = office_open();
	(void)state;

	put(o, "new/1.a", "a\n");
	put(o, "new/2.b", "b\n");
	enter(o);
	int fd = source_of("c\n", 2);
	struct store_deposit d = letter(fd, 2);
	ops->deposit(o->store, &d, 1);
	assert_int_equal(d.result, 0);
	assert_int_equal(o->table->count, 2);
	assert_true(ops->lock_is_held(o->store));
	struct store_removed got = drop(o, 1);
	assert_int_equal(got.removed, 1);
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 2);
	assert_true(uidl_is(o, 0, "2.b"));
	leave(o);
	(void)close(fd);
	office_close(o);
}

static mode_t
mode_of(const struct office *o, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(o->root, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static void
a_missing_maildrop_is_made(void **state)
{
	static const char *const made[] = {
		"a", "a/b", "a/b/M", "a/b/M/tmp", "a/b/M/new", "a/b/M/cur"};
	struct office *o = office_open();
	struct store *s;
	char name[256];
	(void)state;

	int fd = source_of("c\n", 2);
	assert_int_equal(ops->open(o->root, "/a//b/M/", &store_plain, &s), 0);
	struct store_deposit d = letter(fd, 2);
	for (int i = 0; i < 2; i++) {
		ops->deposit(s, &d, 1);
		assert_int_equal(d.result, 0);
		for (size_t k = 0; k < sizeof(made) / sizeof(made[0]); k++)
			assert_int_equal(mode_of(o, made[k]), 0700);
		int top = openat(o->root, "a/b/M", O_PATH | O_CLOEXEC);
		assert_true(first_name(top, "new", name));
		(void)close(top);
		/* And again, where it was removed meanwhile. */
		remove_tree(o->root, "a");
	}
	ops->close(&s);
	(void)close(fd);
	office_close(o);
}

static void
ways_out_are_errors(void **state)
{
	static const struct {
		const char *path;
		int error;
	} rows[] = {{"../M", -EXDEV}, {"link/M", -ELOOP}, {"file/M", -ENOTDIR},
		{"Maildir/linked", -ELOOP}};
	struct office *o = office_open();
	struct store *s;
	(void)state;

	assert_int_equal(symlinkat("/tmp", o->root, "link"), 0);
	int file = openat(o->root, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	(void)close(file);
	assert_int_equal(mkdirat(o->top, "linked", 0700), 0);
	assert_int_equal(symlinkat("/tmp", o->top, "linked/tmp"), 0);
	int fd = source_of("c\n", 2);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_deposit d = letter(fd, 2);
		assert_int_equal(ops->open(o->root, rows[i].path, &store_plain, &s), 0);
		ops->deposit(s, &d, 1);
		assert_int_equal(d.result, rows[i].error);
		ops->close(&s);
	}
	(void)close(fd);
	office_close(o);
}

struct maker {
	pthread_t thread;
	const struct office *o;
	int result;
};

static void *
make_and_deposit(void *arg)
{
	struct maker *m = arg;
	struct store *s;
	int fd = memfd_create("source", MFD_CLOEXEC);

	m->result = ops->open(m->o->root, "x/y/z", &store_plain, &s);
	for (int i = 0; i < 20 && m->result == 0; i++) {
		struct store_deposit d = letter(fd, 0);
		ops->deposit(s, &d, 1);
		m->result = d.result;
	}
	if (s)
		ops->close(&s);
	(void)close(fd);
	return NULL;
}

static void
many_makers_agree(void **state)
{
	struct office *o = office_open();
	struct maker makers[4];
	struct store *s;
	struct lock_holder me = {.since = 1}, other;
	(void)state;

	for (size_t i = 0; i < 4; i++) {
		makers[i] = (struct maker){.o = o, .result = 1};
		assert_int_equal(pthread_create(&makers[i].thread, NULL, make_and_deposit,
					 &makers[i]),
			0);
	}
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(makers[i].thread, NULL), 0);
		assert_int_equal(makers[i].result, 0);
	}
	assert_int_equal(ops->open(o->root, "x/y/z", &store_plain, &s), 0);
	assert_int_equal(ops->lock(s, &me, &other), 0);
	assert_int_equal(ops->refresh(s, &o->table), 0);
	assert_int_equal(o->table->count, 80);
	ops->unlock(s);
	ops->close(&s);
	office_close(o);
}

static void
grow_old(const struct office *o, const char *path, time_t seconds)
{
	struct timespec t[2] = {{.tv_sec = time(NULL) - seconds}};

	t[1] = t[0];
	assert_int_equal(utimensat(o->top, path, t, 0), 0);
}

static void
stale_files_are_removed_now_and_then(void **state)
{
	struct office *o = office_open();
	(void)state;

	int fd = source_of("c\n", 2);
	struct store_deposit d = letter(fd, 2);
	for (int round = 0; round < 3; round++) {
		put(o, "tmp/stale", "x");
		put(o, "tmp/recent", "x");
		put(o, "tmp/.hidden", "x");
		grow_old(o, "tmp/stale", 37 * 3600);
		grow_old(o, "tmp/recent", 35 * 3600);
		grow_old(o, "tmp/.hidden", 37 * 3600);
		/* The second comes too soon; by the third a day has passed. */
		if (round == 2)
			grow_old(o, "restante-swept", 25 * 3600);
		forget(o);
		ops->deposit(o->store, &d, 1);
		assert_int_equal(d.result, 0);
		assert_int_equal(there(o, "tmp/stale"), round == 1);
		assert_true(there(o, "tmp/recent"));
		assert_true(there(o, "tmp/.hidden"));
	}
	(void)close(fd);
	office_close(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_ends_become_lf),
		cmocka_unit_test(long_messages_are_whole),
		cmocka_unit_test(the_envelope_stands_on_top),
		cmocka_unit_test(names_are_uidls_in_order),
		cmocka_unit_test(host_names_are_cleaned),
		cmocka_unit_test(a_source_that_shrank_is_not_stored),
		cmocka_unit_test(a_session_is_not_disturbed),
		cmocka_unit_test(a_missing_maildrop_is_made),
		cmocka_unit_test(ways_out_are_errors),
		cmocka_unit_test(many_makers_agree),
		cmocka_unit_test(stale_files_are_removed_now_and_then),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
