/* The Maildir store on real directories: what is a message, its size, its UIDL, its end.
 */
#include "store_help.h"

#include <sys/socket.h>
#include <sys/un.h>

static int
set_up(void **state)
{
	*state = office_open();
	return 0;
}

static int
tear_down(void **state)
{
	office_close(*state);
	return 0;
}

static void
order_is_by_time_then_name(void **state)
{
	struct office *o = *state;

	put(o, "new/10.b.h", "x\n");
	put(o, "cur/9.z.h:2,S", "x\n");
	put(o, "cur/10.a.h:2,", "x\r\n");
	put(o, "new/.hidden", "x\n");
	put(o, "tmp/1.tmp", "x\n");
	enter(o);
	assert_int_equal(o->table->count, 3);
	assert_true(uidl_is(o, 0, "9.z.h"));
	assert_true(uidl_is(o, 1, "10.a.h"));
	assert_true(uidl_is(o, 2, "10.b.h"));
	assert_true(o->table->messages[0].seen);
	assert_false(o->table->messages[1].seen);
	assert_int_equal(o->table->octets, 9);
	assert_false(o->table->messages[0].as_is);
	assert_true(o->table->messages[1].as_is);
	leave(o);
}

static void
sizes_are_those_of_the_wire(void **state)
{
	static const struct {
		const char *content;
		uint64_t wire;
	} rows[] = {
		{"", 0},
		{"a", 3},
		{"a\n", 3},
		{"a\r\n", 3},
		{".\n", 3},
		{"\n", 2},
		{"a\r", 4},
		{"a\rb\n", 5},
		{"\r\n", 2},
		{".a\n.b", 8},
		{"a\n\n", 5},
	};
	struct office *o = *state;
	char path[32];

	for (uint32_t i = 0; i < 11; i++) {
		(void)snprintf(path, sizeof(path), "new/%u.m", 100 + i);
		put(o, path, rows[i].content);
	}
	enter(o);
	assert_int_equal(o->table->count, 11);
	for (uint32_t i = 0; i < 11; i++) {
		struct store_slice slice;
		assert_int_equal(o->table->messages[i].wire, rows[i].wire);
		assert_int_equal(ops->slice(o->store, o->table, i, &slice), 0);
		assert_int_equal(slice.wire, rows[i].wire);
		assert_int_equal(slice.length, strlen(rows[i].content));
		assert_int_equal(close(slice.fd), 0);
	}
	leave(o);
}

static void
a_missing_maildrop_is_empty(void **state)
{
	struct office *o = *state;
	struct store *s;
	const struct store_table *t;
	struct lock_holder me = {.since = 1}, other;

	assert_int_equal(ops->open(o->root, "Later/Maildir", &store_plain, &s), 0);
	assert_int_equal(ops->lock(s, &me, &other), 0);
	assert_int_equal(ops->refresh(s, &t), 0);
	assert_int_equal(t->count, 0);
	assert_true(ops->lock_is_held(s));
	ops->unlock(s);
	/* It comes to be: the same store sees it. */
	assert_int_equal(mkdirat(o->root, "Later", 0700), 0);
	assert_int_equal(mkdirat(o->root, "Later/Maildir", 0700), 0);
	assert_int_equal(mkdirat(o->root, "Later/Maildir/new", 0700), 0);
	int fd = openat(
		o->root, "Later/Maildir/new/1.a", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(ops->lock(s, &me, &other), 0);
	assert_int_equal(ops->refresh(s, &t), 0);
	assert_int_equal(t->count, 1);
	ops->unlock(s);
	ops->close(&s);
}

static void
paths_that_lead_out_are_errors(void **state)
{
	struct office *o = *state;
	struct lock_holder me = {.since = 1}, other;
	static const char *const paths[] = {"link", "file", "../x", "Maildir/../../etc"};
	struct store *s;

	assert_int_equal(symlinkat("/etc", o->root, "link"), 0);
	int fd = openat(o->root, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(ops->open(o->root, paths[i], &store_plain, &s), 0);
		assert_true(ops->lock(s, &me, &other) < 0);
		ops->close(&s);
	}
	/* new is a link out: no empty maildrop, an error. */
	assert_int_equal(unlinkat(o->top, "new", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc", o->top, "new"), 0);
	assert_int_equal(ops->lock(o->store, &me, &other), 0);
	assert_int_equal(ops->refresh(o->store, &o->table), -ELOOP);
	ops->unlock(o->store);
	/* Only one of the two is there: fine. */
	assert_int_equal(unlinkat(o->top, "new", 0), 0);
	put(o, "cur/1.a:2,", "x\n");
	enter(o);
	assert_int_equal(o->table->count, 1);
	leave(o);
}

static void
only_plain_files_are_messages(void **state)
{
	struct office *o = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	put(o, "new/1.good", "x\n");
	assert_int_equal(mkfifoat(o->top, "new/2.fifo", 0600), 0);
	assert_int_equal(mkdirat(o->top, "new/3.dir", 0700), 0);
	assert_int_equal(symlinkat("/etc/passwd", o->top, "new/4.out"), 0);
	assert_int_equal(symlinkat("1.good", o->top, "new/5.in"), 0);
	assert_int_equal(symlinkat("nowhere", o->top, "new/6.dangling"), 0);
	(void)snprintf(
		addr.sun_path, sizeof(addr.sun_path), "%s/Maildir/new/7.sock", o->dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (void *)&addr, sizeof(addr)), 0);
	(void)close(fd);
	enter(o);
	assert_int_equal(o->table->count, 1);
	/* A message that is a FIFO by the time it is read blocks nobody. */
	assert_int_equal(unlinkat(o->top, "new/1.good", 0), 0);
	assert_int_equal(mkfifoat(o->top, "new/1.good", 0600), 0);
	struct store_slice slice;
	assert_true(ops->slice(o->store, o->table, 0, &slice) < 0);
	leave(o);
}

static void
a_name_that_lies_is_found_out(void **state)
{
	struct office *o = *state;
	struct store_slice slice;

	put(o, "cur/1.a,S=2,W=3:2,", "a\n");	 /* true */
	put(o, "cur/2.b,S=2,W=4:2,", "b\n");	 /* W lies */
	put(o, "cur/3.c,S=9,W=11:2,", "c\n");	 /* S lies, so W does not count */
	put(o, "cur/4.d,S=2,W=99999:2,", "d\n"); /* W cannot be */
	put(o, "cur/5.e,S=1,W=1:2,", "e");	 /* W tells of the line without its end */
	put(o, "cur/6.f,S=0,W=0:2,", "");
	enter(o);
	assert_true(uidl_is(o, 0, "1.a"));
	assert_true(o->table->messages[0].wire_believed);
	assert_int_equal(o->table->messages[1].wire, 4);
	assert_int_equal(o->table->messages[2].wire, 3);
	assert_false(o->table->messages[2].wire_believed);
	assert_int_equal(o->table->messages[3].wire, 3);
	assert_int_equal(o->table->messages[4].wire, 3);
	assert_true(o->table->messages[4].wire_believed);
	assert_int_equal(o->table->messages[5].wire, 0);
	assert_int_equal(ops->slice(o->store, o->table, 1, &slice), 0);
	assert_int_equal(slice.wire, 3);
	(void)close(slice.fd);
	/* This session's LIST keeps its figure; the next one is right, also after a
	 * restart. */
	assert_int_equal(o->table->messages[1].wire, 4);
	uint64_t generation = o->table->generation;
	leave(o);
	enter(o);
	assert_int_equal(o->table->messages[1].wire, 3);
	assert_int_not_equal(o->table->generation, generation);
	leave(o);
	forget(o);
	enter(o);
	assert_int_equal(o->table->messages[1].wire, 3);
	assert_false(o->table->messages[1].wire_believed);
	leave(o);
}

static void
uidls_are_legal_and_differ(void **state)
{
	struct office *o = *state;
	char name[300];

	put(o, "new/1.dup", "a\n");
	put(o, "cur/1.dup:2,", "bb\n"); /* another message under the same name */
	put(o, "cur/2.b\xC3\xA4r:2,S", "c\n");
	put(o, "cur/3. blank:2,", "c\n");
	put(o, "cur/,S=2:2,", "d\n");
	(void)snprintf(name, sizeof(name), "cur/4.%0120d:2,", 7);
	put(o, name, "c\n");
	enter(o);
	assert_int_equal(o->table->count, 6);
	for (uint32_t i = 0; i < 6; i++) {
		struct view a = o->table->messages[i].uidl;
		assert_true(maildir_uidl_legal(a));
		for (uint32_t k = 0; k < i; k++) {
			struct view b = o->table->messages[k].uidl;
			assert_false(a.n == b.n && memcmp(a.p, b.p, a.n) == 0);
		}
	}
	/* Which of the two twins keeps the name does not change with flags or a lost
	 * cache. */
	char first[80], second[80];
	(void)snprintf(first, sizeof(first), "%.*s", (int)o->table->messages[0].uidl.n,
		(const char *)o->table->messages[0].uidl.p);
	(void)snprintf(second, sizeof(second), "%.*s", (int)o->table->messages[1].uidl.n,
		(const char *)o->table->messages[1].uidl.p);
	assert_string_equal(first, "1.dup");
	uint64_t wire = o->table->messages[0].wire;
	leave(o);
	move(o, "cur/1.dup:2,", "cur/1.dup:2,S");
	ops->close(&o->store);
	(void)unlinkat(o->top, "restante-index", 0);
	assert_int_equal(ops->open(o->root, "Maildir", &store_plain, &o->store), 0);
	enter(o);
	assert_true(uidl_is(o, 0, first));
	assert_true(uidl_is(o, 1, second));
	assert_int_equal(o->table->messages[0].wire, wire);
	/* Only the marked twin goes, and the other does not inherit its UIDL. */
	assert_int_equal(drop(o, 1).removed, 1);
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 5);
	assert_true(uidl_is(o, 0, second));
	leave(o);
}

static void
a_uidl_survives_a_size_field(void **state)
{
	struct office *o = *state;

	put(o, "new/1.a", "x\n");
	enter(o);
	leave(o);
	move(o, "new/1.a", "cur/1.a,S=2,W=3:2,RS");
	enter(o);
	assert_true(uidl_is(o, 0, "1.a"));
	leave(o);
}

static void
a_hard_link_is_one_message(void **state)
{
	struct office *o = *state;

	put(o, "new/1.a", "x\n");
	assert_int_equal(linkat(o->top, "new/1.a", o->top, "cur/1.a:2,S", 0), 0);
	assert_int_equal(linkat(o->top, "new/1.a", o->top, "cur/5.other:2,", 0), 0);
	put(o, "new/2.b", "x\n");
	enter(o);
	assert_int_equal(o->table->count, 2);
	assert_true(uidl_is(o, 0, "1.a"));
	assert_true(o->table->messages[0].seen);
	assert_int_equal(drop(o, 1).removed, 1);
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 1);
	assert_true(uidl_is(o, 0, "2.b"));
	leave(o);
}

static void
others_move_what_is_read(void **state)
{
	struct office *o = *state;
	struct store_slice slice;

	put(o, "new/1.a", "a\n");
	put(o, "new/2.b", "b\n");
	put(o, "new/3.c", "c\n");
	enter(o);
	move(o, "new/1.a", "cur/1.a:2,");
	assert_int_equal(ops->slice(o->store, o->table, 0, &slice), 0);
	(void)close(slice.fd);
	move(o, "cur/1.a:2,", "cur/1.a,S=2:2,FS");
	assert_int_equal(ops->slice(o->store, o->table, 0, &slice), 0);
	(void)close(slice.fd);
	assert_int_equal(unlinkat(o->top, "new/2.b", 0), 0);
	assert_int_equal(ops->slice(o->store, o->table, 1, &slice), -ENOENT);
	assert_int_equal(ops->slice(o->store, o->table, 1, &slice), -ENOENT);
	/* A file put in its place (an editor, a filter): the same message, counted again.
	 */
	put(o, "tmp/x", "cc\ncc\n");
	move(o, "tmp/x", "new/3.c");
	assert_int_equal(ops->slice(o->store, o->table, 2, &slice), 0);
	assert_int_equal(slice.wire, 8);
	assert_int_equal(slice.length, 6);
	(void)close(slice.fd);
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 2);
	assert_int_equal(o->table->messages[1].wire, 8);
	leave(o);
}

static void
removal_finds_what_moved(void **state)
{
	struct office *o = *state;

	put(o, "new/1.a", "a\n");
	put(o, "new/2.b", "b\n");
	put(o, "new/3.c", "c\n");
	put(o, "cur/4.d:2,", "d\n");
	enter(o);
	move(o, "new/1.a", "cur/1.a:2,RS");
	move(o, "cur/4.d:2,", "cur/4.d:2,S");
	assert_int_equal(unlinkat(o->top, "new/2.b", 0), 0);
	put(o, "new/5.late", "e\n");
	struct store_removed got = drop(o, 1 | 2 | 8);
	assert_int_equal(got.removed, 3);
	assert_int_equal(got.remain, 0);
	assert_false(there(o, "cur/1.a:2,RS"));
	assert_false(there(o, "cur/4.d:2,S"));
	assert_true(there(o, "new/3.c"));
	assert_true(there(o, "new/5.late"));
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 2);
	leave(o);
}

static void
what_cannot_be_removed_remains(void **state)
{
	struct office *o = *state;

	put(o, "new/1.a", "a\n");
	put(o, "new/2.b", "b\n");
	enter(o);
	/* A directory in its place cannot be unlinked, not even by root. */
	assert_int_equal(unlinkat(o->top, "new/1.a", 0), 0);
	assert_int_equal(mkdirat(o->top, "new/1.a", 0700), 0);
	struct store_removed got = drop(o, 3);
	assert_int_equal(got.removed, 1);
	assert_int_equal(got.remain, 1);
	leave(o);
}

static void
seen_moves_and_marks(void **state)
{
	struct office *o = *state;
	struct store_slice slice;

	put(o, "new/1.a", "a\n");
	put(o, "cur/2.b:2,FT", "b\n");
	put(o, "cur/3.c:2,S", "c\n");
	put(o, "cur/4.d:1,x", "d\n");
	enter(o);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(ops->seen(o->store, o->table, i), 0);
	assert_true(ops->seen(o->store, o->table, 3) < 0);
	assert_true(there(o, "cur/1.a:2,S"));
	assert_true(there(o, "cur/2.b:2,FST"));
	assert_true(there(o, "cur/3.c:2,S"));
	assert_true(there(o, "cur/4.d:1,x"));
	assert_false(there(o, "new/1.a"));
	assert_int_equal(ops->slice(o->store, o->table, 0, &slice), 0);
	(void)close(slice.fd);
	assert_int_equal(drop(o, 3).removed, 2);
	assert_false(there(o, "cur/1.a:2,S"));
	leave(o);
}

static void
same_tick_is_not_trusted(void **state)
{
	struct office *o = *state;
	struct stat st;

	put(o, "new/1.a", "a\n");
	enter(o);
	leave(o);
	/* A delivery whose directory time cannot be told from the one just read. */
	assert_int_equal(fstatat(o->top, "new", &st, 0), 0);
	put(o, "new/2.b", "b\n");
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(o->top, "new", times, 0), 0);
	enter(o);
	assert_int_equal(o->table->count, 2);
	leave(o);
	/* Old enough: trusted, the same table with the same number. */
	age(o);
	enter(o);
	const struct store_table *t = o->table;
	leave(o);
	enter(o);
	assert_ptr_equal(o->table, t);
	leave(o);
	/* And a restored mtime does not hide a change from the ctime. */
	assert_int_equal(fstatat(o->top, "new", &st, 0), 0);
	put(o, "new/3.c", "c\n");
	struct timespec old[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(o->top, "new", old, 0), 0);
	enter(o);
	assert_int_equal(o->table->count, 3);
	leave(o);
}

static void
a_retained_table_stays(void **state)
{
	struct office *o = *state;
	struct store_slice slice;

	put(o, "new/1.a", "a\n");
	put(o, "new/2.b", "b\n");
	enter(o);
	const struct store_table *old = ops->retain(o->table);
	assert_int_equal(drop(o, 1).removed, 1);
	assert_int_equal(ops->refresh(o->store, &o->table), 0);
	assert_int_equal(o->table->count, 1);
	assert_int_equal(old->count, 2);
	assert_int_equal(ops->slice(o->store, old, 1, &slice), 0);
	(void)close(slice.fd);
	assert_int_equal(ops->slice(o->store, old, 0, &slice), -ENOENT);
	ops->release(&old);
	leave(o);
}

static void
a_replaced_maildrop_is_served(void **state)
{
	struct office *o = *state;

	put(o, "new/1.a", "a\n");
	enter(o);
	assert_int_equal(renameat(o->root, "Maildir", o->root, "Old"), 0);
	assert_false(!there(o, "restante-lock"));
	assert_int_equal(unlinkat(o->top, "restante-lock", 0), 0);
	assert_false(ops->lock_is_held(o->store));
	leave(o);
	assert_int_equal(mkdirat(o->root, "Maildir", 0700), 0);
	assert_int_equal(mkdirat(o->root, "Maildir/cur", 0700), 0);
	enter(o);
	assert_int_equal(o->table->count, 0);
	leave(o);
}

static void
ten_thousand(void **state)
{
	struct office *o = *state;
	char path[64];

	for (int i = 0; i < 10000; i++) {
		(void)snprintf(path, sizeof(path), "%s/%d.M%dP1.h%s",
			i % 2 ? "new" : "cur", 1000 + (i * 7919) % 10000, i,
			i % 2 ? "" : ":2,S");
		put(o, path, i % 3 ? "Subject: x\n\nbody\n" : "a\r\n");
	}
	enter(o);
	assert_int_equal(o->table->count, 10000);
	uint64_t octets = o->table->octets;
	assert_int_equal(octets, 6666 * 20 + 3334 * 3);
	leave(o);
	age(o);
	forget(o);
	enter(o);
	assert_int_equal(o->table->count, 10000);
	assert_int_equal(o->table->octets, octets);
	leave(o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(order_is_by_time_then_name),
		TEST(sizes_are_those_of_the_wire),
		TEST(a_missing_maildrop_is_empty),
		TEST(paths_that_lead_out_are_errors),
		TEST(only_plain_files_are_messages),
		TEST(a_name_that_lies_is_found_out),
		TEST(uidls_are_legal_and_differ),
		TEST(a_uidl_survives_a_size_field),
		TEST(a_hard_link_is_one_message),
		TEST(others_move_what_is_read),
		TEST(removal_finds_what_moved),
		TEST(what_cannot_be_removed_remains),
		TEST(seen_moves_and_marks),
		TEST(same_tick_is_not_trusted),
		TEST(a_retained_table_stays),
		TEST(a_replaced_maildrop_is_served),
		TEST(ten_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
