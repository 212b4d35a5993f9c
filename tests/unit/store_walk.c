/* Many messages: counted with a read alone, met again in the order of the directory, and
 * changed where they are in a table. */
#include "store_help.h"

#include "base/check.h"
#include "stat/stat.h"
#include "store/item_sort.h"

#define MANY   1400 /* above what a small table is */
#define ROUNDS 24
/* So that their names are no small text. */
#define LONG   ".and-so-on-and-so-on-and-so-on-and-so-on"
#define FIRST  "cur/1007.1" LONG ":2,"
#define SECOND "cur/1014.2" LONG ":2,"

static uint32_t state_of_dice = 1;

static uint32_t
roll(uint32_t n)
{
	state_of_dice = state_of_dice * 1664525U + 1013904223U;
	return (state_of_dice >> 8) % n;
}

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

/* ---- order ------------------------------------------------------------------ */

static void
sorts(size_t n, uint64_t keys)
{
	struct sort_item *list = calloc(2 * n + 1, sizeof(*list));

	assert_non_null(list);
	for (size_t i = 0; i < n; i++) {
		uint64_t key = roll(8) == 0 ? UINT64_MAX - roll(3) : roll(1 << 20) * keys;
		list[i] = (struct sort_item){key, (uint32_t)i};
	}
	item_sort(list, list + n, n);
	uint64_t seen = 0;
	for (size_t i = 0; i < n; i++) {
		seen += list[i].idx;
		if (i == 0)
			continue;
		assert_true(list[i - 1].key <= list[i].key);
		/* What has the same key keeps its order. */
		if (list[i - 1].key == list[i].key)
			assert_true(list[i - 1].idx < list[i].idx);
	}
	assert_int_equal(seen, n * (n - (n > 0)) / 2);
	free(list);
}

static void
items_are_sorted(void **state)
{
	static const size_t counts[] = {0, 1, 2, 47, 48, 49, 1000, 5000};
	static const uint64_t keys[] = {0, 1, 3, UINT64_C(0x100000001)};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			sorts(counts[i], keys[k]);
}

/* ---- counted with a read alone ------------------------------------------------- */

/* A file of n octets in lines of 64, without an end in the last where `open`. */
static void
put_octets(const struct office *o, const char *path, size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = i % 64 == 63 ? '\n' : 'x';
	p[n] = '\0';
	put(o, path, p);
	free(p);
}

static uint64_t
wire_of_octets(size_t n)
{
	return n + n / 64 + (n % 64 != 0 ? 2 : 0);
}

static void
put_many(const struct office *o, size_t n, const char *more)
{
	char path[96], content[96];

	for (size_t i = 0; i < n; i++) {
		size_t time = 1000 + i * 7 % 911;
		(void)snprintf(path, sizeof(path), "cur/%zu.%zu%s:2,", time, i, more);
		(void)snprintf(content, sizeof(content), "%zu.%zu%s\n", time, i, more);
		put(o, path, content);
	}
}

static void
what_is_read_at_once_is_counted_well(void **state)
{
	static const size_t sizes[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, 8192, 262143,
		262144, 262145, 300000, 524288};
	struct office *o = *state;
	char path[64];

	put_many(o, 100, "");
	assert_int_equal(mkfifoat(o->top, "cur/1.fifo:2,", 0600), 0);
	assert_int_equal(symlinkat("2.0:2,", o->top, "cur/1.link:2,"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		(void)snprintf(path, sizeof(path), "cur/%zu.size:2,", 5000 + i);
		put_octets(o, path, sizes[i]);
	}
	enter(o);
	assert_int_equal(o->table->count, 100 + ARRAY_SIZE(sizes));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct store_message *m = &o->table->messages[100 + i];
		assert_int_equal(m->stored, sizes[i]);
		assert_int_equal(m->wire, wire_of_octets(sizes[i]));
		assert_false(m->wire_believed);
	}
	leave(o);
}

static void
reading_for_the_count_is_no_access(void **state)
{
	struct office *o = *state;
	struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
	struct stat st;

	put_many(o, 100, "");
	assert_int_equal(utimensat(o->top, "cur/1000.0:2,", times, 0), 0);
	enter(o);
	assert_int_equal(fstatat(o->top, "cur/1000.0:2,", &st, 0), 0);
	assert_int_equal(st.st_atim.tv_sec, 1000);
	leave(o);
}

/* What the counter says grows by as many. */
static uint64_t
wire_now(struct office *o, uint32_t idx)
{
	struct store_slice slice;

	assert_int_equal(ops->slice(o->store, o->table, idx, &slice), 0);
	(void)close(slice.fd);
	return slice.wire;
}

static void
a_file_that_changes_after_the_count_is_seen(void **state)
{
	struct office *o = *state;
	struct timespec old[2] = {{.tv_sec = 3000}, {.tv_sec = 3000}};
	struct stat st;

	put_many(o, 100, "");
	put(o, "cur/1.same:2,", "abc\n");
	put(o, "cur/2.old:2,", "abc\n");
	assert_int_equal(utimensat(o->top, "cur/2.old:2,", old, 0), 0);
	enter(o);
	assert_int_equal(o->table->messages[0].wire, 5);
	/* In place, as long as before: only the time of the file tells. */
	put(o, "cur/1.same:2,", "\n\n\n\n");
	assert_int_equal(wire_now(o, 0), 8);
	assert_int_equal(wire_now(o, 1), 5);
	/* One that takes its time along is older than the count, and another file. */
	put(o, "tmp/x", "a\nb\n");
	assert_int_equal(utimensat(o->top, "tmp/x", old, 0), 0);
	move(o, "tmp/x", "cur/2.old:2,");
	assert_int_equal(wire_now(o, 1), 6);
	assert_int_equal(fstatat(o->top, "cur/2.old:2,", &st, 0), 0);
	leave(o);
	forget(o);
	enter(o);
	assert_int_equal(o->table->messages[0].wire, 8);
	assert_int_equal(o->table->messages[1].wire, 6);
	leave(o);
}

/* ---- met again --------------------------------------------------------------- */

struct names {
	char list[2 * MANY + ROUNDS * 8][96];
	size_t n;
};

static void
names_read(const struct office *o, const char *sub, struct names *ret)
{
	int fd = openat(o->top, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	struct dirent *e;

	ret->n = 0;
	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			assert_true(ret->n < ARRAY_SIZE(ret->list));
			(void)snprintf(
				ret->list[ret->n++], 64, "%s/%.56s", sub, e->d_name);
		}
	(void)closedir(d);
}

static void
change_flag(const struct office *o, const char *path)
{
	char to[112];
	const char *flags = strstr(path, ":2,");

	if (!flags)
		(void)snprintf(to, sizeof(to), "cur/%s:2,", path + 4);
	else
		(void)snprintf(to, sizeof(to), "%.*s:2,%s", (int)(flags - path), path,
			strchr(flags, 'F')     ? roll(2) ? "S" : ""
				: roll(3) == 0 ? "FS"
					       : "F");
	/* It may have another name already. */
	(void)renameat(o->top, path, o->top, to);
}

static void
deliver(const struct office *o, uint32_t round, uint32_t i)
{
	char path[64], content[64];
	uint32_t time = roll(3) == 0 ? 900 + roll(1000) : 5000 + round;

	(void)snprintf(path, sizeof(path), "new/%u.r%u_%u", time, round, i);
	(void)snprintf(content, sizeof(content), "%u.r%u_%u\n", time, round, i);
	put(o, path, content);
}

static void
others_work(struct office *o, uint32_t round, struct names *names)
{
	uint32_t what = roll(12);

	names_read(o, "cur", names);
	/* Neighbours in the directory too, which leave a gap in it. */
	uint32_t n = what == 0 ? 100 : what == 1 ? 0 : roll(20), first = roll(400);
	for (uint32_t i = 0; i < n && first + i < names->n; i++)
		change_flag(
			o, names->list[roll(2) ? first + i : roll((uint32_t)names->n)]);
	if (what == 2)
		for (uint32_t i = 0; i < 1 + roll(5); i++)
			deliver(o, round, i);
	names_read(o, "new", names);
	if (what == 3 && names->n > 0)
		change_flag(o, names->list[roll((uint32_t)names->n)]);
	names_read(o, "cur", names);
	if (what == 4)
		for (uint32_t i = 0; i < 1 + roll(3); i++)
			(void)unlinkat(o->top, names->list[roll((uint32_t)names->n)], 0);
	/* One goes and another comes to its place. */
	if (what == 5 && unlinkat(o->top, names->list[first], 0) == 0)
		deliver(o, round, 0);
}

/* The file that the row leads to holds what it is called. */
static void
leads_to_its_file(struct office *o, uint32_t idx)
{
	struct store_slice slice;
	char content[96] = "";
	struct view uidl = o->table->messages[idx].uidl;

	assert_int_equal(ops->slice(o->store, o->table, idx, &slice), 0);
	ssize_t n = pread(slice.fd, content, sizeof(content), 0);
	(void)close(slice.fd);
	assert_int_equal(n, uidl.n + 1);
	assert_memory_equal(content, uidl.p, uidl.n);
}

/* As a store shows it that knows nothing. */
static void
shows_the_same(struct office *o)
{
	struct office other = *o;
	const struct store_table *t = o->table;

	(void)unlinkat(o->top, "restante-index", 0);
	assert_int_equal(ops->open(o->root, "Maildir", &store_plain, &other.store), 0);
	enter(&other);
	assert_int_equal(other.table->count, t->count);
	assert_int_equal(other.table->octets, t->octets);
	for (uint32_t i = 0; i < t->count; i++) {
		const struct store_message *x = &t->messages[i];
		const struct store_message *y = &other.table->messages[i];
		assert_int_equal(x->uidl.n, y->uidl.n);
		assert_memory_equal(x->uidl.p, y->uidl.p, x->uidl.n);
		assert_int_equal(x->wire, y->wire);
		assert_int_equal(x->stored, y->stored);
		assert_int_equal(x->seen, y->seen);
	}
	ops->unlock(other.store);
	ops->close(&other.store);
	(void)unlinkat(o->top, "restante-index", 0);
}

static void
a_known_maildrop_is_as_one_read_anew(void **state)
{
	struct office *o = *state;
	struct names *names = calloc(1, sizeof(*names));
	const struct store_message *before = NULL;
	uint32_t in_place = 0;

	assert_non_null(names);
	put_many(o, MANY, LONG);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		age(o);
		enter(o);
		in_place += o->table->messages == before;
		before = o->table->messages;
		const struct store_table *t = o->table;
		/* Reading a message makes its table one that is not patched. */
		for (uint32_t i = 0; i < t->count && round % 4 == 0; i++)
			leads_to_its_file(o, i);
		/* Each where its row said: nobody had to look for it. */
		assert_null(((const struct maildir_table *)(const void *)t)->names.p);
		leave(o);
		o->table = t;
		shows_the_same(o);
		others_work(o, round, names);
	}
	/* Tables were patched; and some could not be. */
	assert_in_range(in_place, ROUNDS / 5, ROUNDS - 4);
	free(names);
}

static void
flags_alone_change_nothing_for_a_client(void **state)
{
	struct office *o = *state;
	uint64_t generation = 0;

	put_many(o, MANY, LONG);
	for (int i = 0; i < 4; i++) {
		age(o);
		enter(o);
		assert_true(i == 0 || o->table->generation == generation);
		generation = o->table->generation;
		leave(o);
		move(o, i % 2 ? FIRST "F" : FIRST, i % 2 ? FIRST : FIRST "F");
	}
	move(o, SECOND, SECOND "S");
	age(o);
	enter(o);
	assert_int_not_equal(o->table->generation, generation);
	leave(o);
}

/* A session that still looks at a table keeps it, whatever the next one finds. */
static void
a_table_in_use_is_not_patched(void **state)
{
	struct office *o = *state;

	put_many(o, MANY, LONG);
	age(o);
	enter(o);
	const struct store_table *held = ops->retain(o->table);
	uint32_t count = held->count;
	leave(o);
	move(o, SECOND, SECOND "S");
	age(o);
	enter(o);
	assert_ptr_not_equal(o->table, held);
	assert_int_equal(held->count, count);
	uint32_t seen = 0, seen_now = 0;
	for (uint32_t i = 0; i < count; i++) {
		seen += held->messages[i].seen;
		seen_now += o->table->messages[i].seen;
	}
	assert_int_equal(seen, 0);
	assert_int_equal(seen_now, 1);
	leave(o);
	ops->release(&held);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_are_sorted),
		TEST(what_is_read_at_once_is_counted_well),
		TEST(reading_for_the_count_is_no_access),
		TEST(a_file_that_changes_after_the_count_is_seen),
		TEST(a_known_maildrop_is_as_one_read_anew),
		TEST(flags_alone_change_nothing_for_a_client),
		TEST(a_table_in_use_is_not_patched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
