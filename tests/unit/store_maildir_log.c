/* The identity log of a Maildir: UIDLs taken over, twins, a restore, a damaged log. */
#include "store_help.h"

#include "os/clock.h"
#include "store/identity.h"

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

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
log_add(struct office *o, uint8_t source, uint32_t place, const char *key,
	const char *uidl)
{
	struct identity *log = NULL;
	struct identity_row row = {source, place, 0, text(key), text(uidl)};

	assert_int_equal(identity_open(o->top, IDENTITY_NAME, &log), 0);
	assert_int_equal(identity_add(log, &row), 0);
	assert_int_equal(identity_sync(log), 0);
	identity_close(&log);
}

static size_t
log_count(struct office *o)
{
	struct identity *log = NULL;

	assert_int_equal(identity_open(o->top, IDENTITY_NAME, &log), 0);
	size_t n = identity_count(log);
	identity_close(&log);
	return n;
}

/* A keeper that starts without an index. */
static void
lose_index(struct office *o)
{
	ops->close(&o->store);
	(void)unlinkat(o->top, "restante-index", 0);
	assert_int_equal(ops->open(o->root, "Maildir", &store_plain, &o->store), 0);
}

/* The same names and contents in other inodes, in another order of inodes. */
static void
restore(struct office *o, const char *const *names, size_t n)
{
	char path[300];
	uint8_t *octets[8];
	size_t sizes[8];

	assert_true(n <= 8);
	for (size_t i = 0; i < n; i++) {
		AUTO_FD fd = openat(o->top, names[i], O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(fd_read_file(fd, 1 << 20, &octets[i], &sizes[i]), 0);
	}
	for (size_t i = n; i > 0; i--) {
		(void)snprintf(path, sizeof(path), "tmp/restored%zu", i);
		put(o, path, (const char *)octets[i - 1]);
	}
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "tmp/restored%zu", i + 1);
		move(o, path, names[i]);
		free(octets[i]);
	}
	lose_index(o);
}

static void
no_need_no_file(void **state)
{
	struct office *o = *state;

	put(o, "new/1.a", "a\n");
	put(o, "cur/2.b\xC3\xA4r:2,S", "b\n");
	enter(o);
	assert_int_equal(drop(o, 1).removed, 1);
	leave(o);
	enter(o);
	leave(o);
	forget(o);
	assert_false(there(o, IDENTITY_NAME));
}

static void
uidls_of_another_server(void **state)
{
	struct office *o = *state;
	char longest[256];

	memset(longest, 'L', 255);
	longest[255] = '\0';
	put(o, "cur/10.a:2,S", "a\n");
	put(o, "cur/11.b:2,", "b\n");
	put(o, "cur/12.c,S=2:2,", "c\n");
	put(o, "new/5.old", "o\n");
	enter(o);
	assert_true(uidl_is(o, 1, "10.a"));
	leave(o);
	/* The import comes while the keeper lives. */
	log_add(o, IDENTITY_IMPORTED, 1, "10.a", "uid-1");
	log_add(o, IDENTITY_IMPORTED, 0, "12.c", longest);
	log_add(o, IDENTITY_IMPORTED, IDENTITY_NO_PLACE, "11.b", "uid-2");
	for (int round = 0; round < 3; round++) {
		enter(o);
		assert_int_equal(o->table->count, 4);
		assert_true(uidl_is(o, 0, longest));
		assert_true(uidl_is(o, 1, "uid-1"));
		assert_true(uidl_is(o, 2, "5.old"));
		assert_true(uidl_is(o, 3, "uid-2"));
		assert_int_equal(o->table->messages[0].wire, 3);
		leave(o);
		if (round == 0)
			forget(o);
		else
			lose_index(o);
	}
	/* Others move and mark; new mail comes behind. */
	move(o, "cur/12.c,S=2:2,", "cur/12.c,S=2,W=3:2,RS");
	put(o, "new/13.d", "d\n");
	enter(o);
	assert_int_equal(o->table->count, 5);
	assert_true(uidl_is(o, 0, longest));
	assert_true(uidl_is(o, 4, "13.d"));
	assert_int_equal(drop(o, 1 | 2).removed, 2);
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 3);
	assert_true(uidl_is(o, 0, "5.old"));
	leave(o);
	/* A UIDL that was given to one message is none for another. */
	log_add(o, IDENTITY_IMPORTED, IDENTITY_NO_PLACE, "99.gone", "20.e");
	put(o, "new/20.e", "e\n");
	enter(o);
	assert_int_equal(o->table->count, 4);
	assert_false(uidl_is(o, 3, "20.e"));
	assert_true(maildir_uidl_legal(o->table->messages[3].uidl));
	leave(o);
}

static void
uidl_get(const struct office *o, uint32_t idx, char ret[80])
{
	struct view v = o->table->messages[idx].uidl;

	(void)snprintf(ret, 80, "%.*s", (int)v.n, (const char *)v.p);
}

static void
twins_are_told_apart_after_a_restore(void **state)
{
	static const char *const names[] = {"new/1.t", "cur/1.t:2,", "cur/1.t:2,S"};
	struct office *o = *state;
	char uidl[3][80];
	uint64_t wire[3];

	put(o, names[0], "a\n");
	put(o, names[1], "bb\n");
	put(o, names[2], "ccc\n");
	enter(o);
	assert_int_equal(o->table->count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		uidl_get(o, i, uidl[i]);
		wire[i] = o->table->messages[i].wire;
	}
	/* Logged before a client sees them. */
	assert_int_equal(log_count(o), 2);
	leave(o);
	restore(o, names, 3);
	enter(o);
	assert_int_equal(o->table->count, 3);
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t k = 0; k < 3; k++)
			if (o->table->messages[i].wire == wire[k])
				assert_true(uidl_is(o, i, uidl[k]));
	assert_int_equal(log_count(o), 2);
	/* The one with the plain UIDL goes; what comes under the name gets another. */
	uint32_t plain = 0;
	while (!uidl_is(o, plain, "1.t"))
		plain++;
	assert_int_equal(drop(o, UINT64_C(1) << plain).removed, 1);
	assert_int_equal(log_count(o), 3);
	leave(o);
	lose_index(o);
	for (size_t i = 0; i < 3; i++)
		if (!there(o, names[i]))
			put(o, names[i], "another one\n");
	enter(o);
	assert_int_equal(o->table->count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_false(uidl_is(o, i, "1.t"));
		for (uint32_t k = 0; k < 3; k++)
			if (o->table->messages[i].wire == wire[k])
				assert_true(uidl_is(o, i, uidl[k]));
	}
	leave(o);
}

static void
a_twin_that_others_remove(void **state)
{
	struct office *o = *state;

	put(o, "new/1.t", "a\n");
	put(o, "cur/1.t:2,S", "bb\n");
	enter(o);
	char plain[80];
	uidl_get(o, 0, plain);
	assert_string_equal(plain, "1.t");
	uint64_t first = o->table->messages[0].wire;
	leave(o);
	assert_int_equal(unlinkat(o->top, first == 3 ? "new/1.t" : "cur/1.t:2,S", 0), 0);
	enter(o);
	assert_int_equal(o->table->count, 1);
	assert_false(uidl_is(o, 0, "1.t"));
	assert_int_equal(log_count(o), 2);
	leave(o);
	lose_index(o);
	enter(o);
	assert_false(uidl_is(o, 0, "1.t"));
	leave(o);
}

static void
a_damaged_log_refuses(void **state)
{
	struct lock_holder me = {.since = 1}, other;
	struct office *o = *state;
	size_t kept;
	uint64_t lost;
	const char *damaged = NULL;

	put(o, "new/1.a", "a\n");
	log_add(o, IDENTITY_IMPORTED, 0, "1.a", "uid-1");
	log_add(o, IDENTITY_IMPORTED, 1, "2.b", "uid-2");
	int fd = openat(o->top, IDENTITY_NAME, O_RDWR | O_CLOEXEC);
	assert_int_equal(fd_pwrite_all(fd, "x", 1, 30), 0);
	(void)close(fd);
	assert_int_equal(ops->lock(o->store, &me, &other), 0);
	assert_int_equal(ops->refresh(o->store, &o->table), -EBADMSG);
	leave(o);
	assert_int_equal(
		identity_repair(o->top, IDENTITY_NAME, &kept, &lost, &damaged), 0);
	assert_int_equal(kept, 1);
	enter(o);
	assert_true(uidl_is(o, 0, "1.a"));
	leave(o);
	/* Gone as a whole, while a keeper knows it: not the log that it was. */
	assert_int_equal(unlinkat(o->top, IDENTITY_NAME, 0), 0);
	enter(o);
	assert_int_equal(o->table->count, 1);
	leave(o);
	assert_int_equal(mkdirat(o->top, IDENTITY_NAME, 0700), 0);
	assert_int_equal(ops->lock(o->store, &me, &other), 0);
	assert_true(ops->refresh(o->store, &o->table) < 0);
	leave(o);
}

/* Records were lost, and the index still knows what clients were told: it stays so, also
 * when the index is gone in its turn. */
static void
what_a_repair_lost_is_kept(void **state)
{
	struct office *o = *state;
	size_t kept;
	uint64_t lost;
	const char *damaged = NULL;

	put(o, "cur/1.a:2,S", "a\n");
	put(o, "cur/2.b:2,S", "b\n");
	put(o, "cur/3.c:2,S", "c\n");
	log_add(o, IDENTITY_IMPORTED, 1, "1.a", "uid-1");
	log_add(o, IDENTITY_IMPORTED, 0, "3.c", "3.c");
	enter(o);
	assert_true(uidl_is(o, 0, "3.c"));
	assert_true(uidl_is(o, 1, "uid-1"));
	assert_true(uidl_is(o, 2, "2.b"));
	leave(o);
	put(o, IDENTITY_NAME, "nothing of it is left");
	assert_int_equal(
		identity_repair(o->top, IDENTITY_NAME, &kept, &lost, &damaged), 0);
	assert_int_equal(kept, 0);
	for (int i = 0; i < 2; i++) {
		enter(o);
		assert_int_equal(o->table->count, 3);
		assert_true(uidl_is(o, 0, "3.c"));
		assert_true(uidl_is(o, 1, "uid-1"));
		assert_true(uidl_is(o, 2, "2.b"));
		leave(o);
		assert_int_equal(log_count(o), 2);
		lose_index(o);
	}
}

#define MANY 20000

static int
add_numbered(struct identity *log, uint8_t source, const char *key, unsigned i)
{
	char uidl[32];

	(void)snprintf(uidl, sizeof(uidl), "uid-%u", i);
	struct identity_row row = {source, i, 0, text(key), text(uidl)};
	return identity_add(log, &row);
}

/* One key was imported again and again: each is looked at once, and by its UIDL. */
static void
many_used_up_under_one_key(void **state)
{
	struct office *o = *state;
	struct identity *log = NULL;

	put(o, "cur/1.a:2,S", "a\n");
	assert_int_equal(identity_open(o->top, IDENTITY_NAME, &log), 0);
	for (unsigned i = 0; i <= MANY; i++)
		assert_int_equal(add_numbered(log, IDENTITY_IMPORTED, "1.a", i), 0);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(add_numbered(log, IDENTITY_USED_UP, "1.a", i), 0);
	assert_int_equal(identity_sync(log), 0);
	identity_close(&log);
	uint64_t start = clock_ms();
	enter(o);
	assert_true(clock_ms() - start < 1000);
	assert_true(uidl_is(o, 0, "uid-20000"));
	leave(o);
}

/* Others write the log anew while a keeper holds the old one: UIDLs stay. */
static void
a_log_written_anew_by_others(void **state)
{
	struct office *o = *state;
	struct identity *log = NULL;
	char twin[80];

	put(o, "new/1.t", "a\n");
	put(o, "cur/1.t:2,S", "b\n");
	log_add(o, IDENTITY_IMPORTED, 0, "2.i", "uid-2");
	put(o, "new/2.i", "i\n");
	enter(o);
	assert_int_equal(o->table->count, 3);
	uint32_t at = uidl_is(o, 1, "1.t") ? 2 : 1;
	assert_true(uidl_is(o, 0, "uid-2"));
	uidl_get(o, at, twin);
	leave(o);
	assert_int_equal(identity_open(o->top, IDENTITY_NAME, &log), 0);
	for (unsigned i = 0; i < 70000; i++)
		assert_int_equal(add_numbered(log, IDENTITY_USED_UP, "gone", i), 0);
	assert_int_equal(identity_sync(log), 0);
	identity_close(&log);
	assert_in_range(log_count(o), 32770, 32772);
	for (int round = 0; round < 2; round++) {
		enter(o);
		assert_int_equal(o->table->count, 3);
		assert_true(uidl_is(o, 0, "uid-2"));
		assert_true(uidl_is(o, at, twin));
		assert_true(uidl_is(o, 3 - at, "1.t"));
		leave(o);
		lose_index(o);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_need_no_file),
		TEST(uidls_of_another_server),
		TEST(twins_are_told_apart_after_a_restore),
		TEST(a_twin_that_others_remove),
		TEST(a_damaged_log_refuses),
		TEST(many_used_up_under_one_key),
		TEST(what_a_repair_lost_is_kept),
		TEST(a_log_written_anew_by_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
