/* Folders shown with the maildrop; and: what is read in part is what is read whole. */
#include "store_help.h"

static const char two[] = "Junk\0Lists.C";
static struct store_options with_two = {.hostname = "test.example"};
static const char *const dirs[] = {
	"new", "cur", ".Junk/new", ".Junk/cur", ".Lists.C/new", ".Lists.C/cur"};

static void
open_with(struct office *o, const struct store_options *with)
{
	ops->flush(o->store);
	ops->close(&o->store);
	assert_int_equal(ops->open(o->root, "Maildir", with, &o->store), 0);
}

static int
set_up(void **state)
{
	struct office *o = office_open();

	with_two.folders = (struct view){(const uint8_t *)two, sizeof(two)};
	open_with(o, &with_two);
	*state = o;
	return 0;
}

static int
tear_down(void **state)
{
	office_close(*state);
	return 0;
}

static void
make_folders(struct office *o)
{
	static const char *const tops[] = {".Junk", ".Lists.C"};

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(mkdirat(o->top, tops[i], 0700), 0);
	for (size_t i = 2; i < 6; i++)
		assert_int_equal(mkdirat(o->top, dirs[i], 0700), 0);
}

static void
one_view_of_all(void **state)
{
	struct office *o = *state;
	struct store_slice slice;

	put(o, "new/1.a", "a\n");
	/* Folders that are not there are empty. */
	enter(o);
	assert_int_equal(o->table->count, 1);
	leave(o);
	make_folders(o);
	put(o, ".Junk/new/2.b", "bb\n");
	put(o, ".Junk/cur/4.d:2,S", "d\n");
	put(o, ".Lists.C/new/3.c", "c\n");
	put(o, "cur/5.e:2,", "e\n");
	enter(o);
	assert_int_equal(o->table->count, 5);
	assert_true(uidl_is(o, 1, "2.b"));
	assert_true(uidl_is(o, 2, "3.c"));
	assert_true(o->table->messages[3].seen);
	assert_int_equal(ops->slice(o->store, o->table, 1, &slice), 0);
	assert_int_equal(slice.length, 3);
	(void)close(slice.fd);
	/* Seen stays in its folder. */
	assert_int_equal(ops->seen(o->store, o->table, 2), 0);
	assert_true(there(o, ".Lists.C/cur/3.c:2,S"));
	/* It is moved between folders while a session reads. */
	move(o, ".Junk/new/2.b", "cur/2.b:2,");
	assert_int_equal(ops->slice(o->store, o->table, 1, &slice), 0);
	(void)close(slice.fd);
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 5);
	assert_true(uidl_is(o, 1, "2.b"));
	assert_int_equal(drop(o, 1 << 1 | 1 << 2 | 1 << 3).removed, 3);
	assert_false(there(o, ".Lists.C/cur/3.c:2,S"));
	assert_false(there(o, ".Junk/cur/4.d:2,S"));
	leave(o);
	enter(o);
	assert_int_equal(o->table->count, 2);
	leave(o);
}

static void
other_folders_are_configured(void **state)
{
	struct store_options one = {
		.hostname = "test.example", .folders = {(const uint8_t *)"Lists.C", 8}};
	struct office *o = *state;

	make_folders(o);
	put(o, "new/1.a", "a\n");
	put(o, ".Junk/new/2.b", "b\n");
	put(o, ".Lists.C/cur/3.c:2,", "c\n");
	age(o);
	enter(o);
	assert_int_equal(o->table->count, 3);
	leave(o);
	open_with(o, &one);
	enter(o);
	assert_int_equal(o->table->count, 2);
	assert_true(uidl_is(o, 1, "3.c"));
	/* Its size was known still. */
	assert_false(o->table->messages[1].wire_believed);
	leave(o);
	open_with(o, &store_plain);
	enter(o);
	assert_int_equal(o->table->count, 1);
	leave(o);
	open_with(o, &with_two);
	enter(o);
	assert_int_equal(o->table->count, 3);
	leave(o);
}

static void
names_that_are_none(void **state)
{
	static const struct {
		const char *names;
		size_t n;
		int result;
	} rows[] = {
		{"", 1, -EINVAL},
		{".", 2, -EINVAL},
		{"a/b", 4, -EINVAL},
		{"unended", 7, -EINVAL},
		{"a\0a\0b", 6, 0},
	};
	struct office *o = *state;
	struct store *s = NULL;
	char many[64 * 2];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_options with = {
			.folders = {(const uint8_t *)rows[i].names, rows[i].n}};
		assert_int_equal(
			ops->open(o->root, "Maildir", &with, &s), rows[i].result);
		if (rows[i].result == 0)
			ops->close(&s);
	}
	for (size_t i = 0; i < 64; i++) {
		many[2 * i] = (char)('0' + i);
		many[2 * i + 1] = '\0';
		if (many[2 * i] == '.' || many[2 * i] == '/')
			many[2 * i] = 'z';
	}
	struct store_options with = {.folders = {(const uint8_t *)many, 62}};
	assert_int_equal(ops->open(o->root, "Maildir", &with, &s), 0);
	ops->close(&s);
	with.folders.n = 64;
	assert_int_equal(ops->open(o->root, "Maildir", &with, &s), -E2BIG);
	/* A folder that is a link out. */
	assert_int_equal(symlinkat("/tmp", o->top, ".Junk"), 0);
	assert_int_equal(mkdirat(o->top, ".Lists.C", 0700), 0);
	enter(o);
	assert_int_equal(o->table->count, 0);
	leave(o);
}

/* ---- a part is the whole ------------------------------------------------------ */

#define STEPS  200
#define FILES  60
#define ALWAYS 8

static uint64_t seed = 4711;
static bool links; /* of two names either one may be the message's */

static uint32_t
roll(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % n;
}

/* A name below any of the directories; "" where there is none. */
static void
pick(struct office *o, char ret[300])
{
	ret[0] = '\0';
	for (int tries = 0; tries < 12 && !ret[0]; tries++) {
		const char *dir = dirs[roll(6)];
		int fd = openat(o->top, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fdopendir(fd);
		struct dirent *e;
		uint32_t seen = 0;
		while ((e = readdir(d)))
			if (e->d_name[0] != '.' && roll(++seen) == 0)
				(void)snprintf(ret, 300, "%s/%s", dir, e->d_name);
		(void)closedir(d);
	}
}

static void
do_something(struct office *o, unsigned step)
{
	char from[300], to[300], content[64];

	pick(o, from);
	uint32_t what = roll(10);
	if (what < 3 || !from[0]) {
		(void)snprintf(to, sizeof(to), "%s/%u.f%u", dirs[roll(6)],
			1000 + roll(500), roll(FILES));
		(void)snprintf(
			content, sizeof(content), "%*u\n", 1 + (int)roll(30), step);
		if (!there(o, to))
			put(o, to, content);
		return;
	}
	const char *name = strrchr(from, '/') + 1;
	size_t n = strcspn(name, ":");
	if (what < 6) {
		static const char *const flags[] = {":2,", ":2,S", ":2,FS", ""};
		(void)snprintf(to, sizeof(to), "%s/%.*s%s", dirs[roll(6)], (int)n, name,
			flags[roll(4)]);
		(void)!renameat(o->top, from, o->top, to);
	} else if (what < 8) {
		(void)!unlinkat(o->top, from, 0);
	} else if (what == 8 && links) {
		(void)snprintf(to, sizeof(to), "%s/%.*s", dirs[roll(6)], (int)n, name);
		(void)!linkat(o->top, from, o->top, to, 0);
	} else {
		/* The same in another inode, as a restore does. */
		size_t size = 0;
		AUTO_FREE uint8_t *octets = NULL;
		AUTO_FD fd = openat(o->top, from, O_RDONLY | O_CLOEXEC);
		assert_int_equal(fd_read_file(fd, 1 << 16, &octets, &size), 0);
		put(o, "tmp/x", (const char *)octets);
		(void)!renameat(o->top, "tmp/x", o->top, from);
	}
}

/* What the long-lived store shows, one shows that reads everything. */
static void
compare(struct office *o)
{
	struct store *fresh = NULL;
	const struct store_table *t;
	int dup = openat(o->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dup >= 0);
	assert_int_equal(ops->open(o->root, "Maildir", &with_two, &fresh), 0);
	assert_int_equal(renameat(o->top, "restante-index", o->top, "aside"), 0);
	assert_int_equal(ops->refresh(fresh, &t), 0);
	assert_int_equal(t->count, o->table->count);
	assert_int_equal(t->octets, o->table->octets);
	for (uint32_t i = 0; i < t->count; i++) {
		const struct store_message *a = &t->messages[i];
		const struct store_message *b = &o->table->messages[i];
		assert_int_equal(a->wire, b->wire);
		if (!links)
			assert_int_equal(a->seen, b->seen);
		/* Two of one content may have changed their UIDLs, and nobody sees it. */
		bool same = false;
		for (uint32_t k = 0; k < t->count && !same; k++) {
			struct view u = o->table->messages[k].uidl;
			same = o->table->messages[k].wire == a->wire &&
				u.n == a->uidl.n && memcmp(u.p, a->uidl.p, u.n) == 0;
		}
		assert_true(same);
		for (uint32_t k = 0; k < i; k++) {
			struct view u = o->table->messages[k].uidl;
			assert_false(
				u.n == b->uidl.n && memcmp(u.p, b->uidl.p, u.n) == 0);
		}
		struct store_slice slice;
		assert_int_equal(ops->slice(o->store, o->table, i, &slice), 0);
		assert_int_equal(slice.wire, b->wire);
		(void)close(slice.fd);
	}
	ops->close(&fresh);
	assert_int_equal(renameat(o->top, "aside", o->top, "restante-index"), 0);
	(void)close(dup);
}

static void
many_steps(struct office *o)
{
	make_folders(o);
	for (unsigned step = 0; step < STEPS; step++) {
		uint32_t things = roll(ALWAYS);
		for (uint32_t i = 0; i < things; i++)
			do_something(o, step);
		if (roll(4) == 0)
			age(o);
		enter(o);
		if (o->table->count > 0 && roll(6) == 0)
			(void)drop(o, UINT64_C(1) << roll(o->table->count % 60 + 1));
		if (o->table->count > 0 && roll(6) == 0)
			(void)!ops->seen(o->store, o->table, roll(o->table->count));
		leave(o);
		if (roll(5) == 0)
			open_with(o, &with_two);
		/* Two tables of one state: nothing was changed since. */
		enter(o);
		if (there(o, "restante-index"))
			compare(o);
		leave(o);
	}
}

static void
a_part_is_the_whole(void **state)
{
	links = false;
	many_steps(*state);
}

static void
also_with_links(void **state)
{
	links = true;
	many_steps(*state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_view_of_all),
		TEST(other_folders_are_configured),
		TEST(names_that_are_none),
		TEST(a_part_is_the_whole),
		TEST(also_with_links),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
