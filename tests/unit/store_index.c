/* The cache file: whatever happens to it, the answers stay right. */
#include "store_help.h"

#include <xxhash.h>

static int
set_up(void **state)
{
	struct office *o = office_open();

	*state = o;
	put(o, "new/1.a", "a\r\n");
	put(o, "cur/2.b:2,S", "bb\n");
	put(o, "cur/3.\xC3\xA4:2,", "ccc\n");
	put(o, "cur/2.b:2,", "other\n");
	age(o);
	enter(o);
	leave(o);
	return 0;
}

static int
tear_down(void **state)
{
	office_close(*state);
	return 0;
}

static size_t
index_read(const struct office *o, uint8_t **ret)
{
	size_t n = 0;
	int fd = openat(o->top, "restante-index", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_read_file(fd, 1 << 20, ret, &n), 0);
	(void)close(fd);
	return n;
}

static void
index_write(const struct office *o, const uint8_t *p, size_t n)
{
	int fd = openat(
		o->top, "restante-index", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, p, n), 0);
	(void)close(fd);
}

/* A keeper that knows nothing but the file. */
static void
start_anew(struct office *o)
{
	ops->close(&o->store);
	assert_int_equal(ops->open(o->root, "Maildir", &o->store), 0);
}

static void
answers_are_right(struct office *o)
{
	static const uint64_t wire[] = {3, 4, 7, 5};

	enter(o);
	assert_int_equal(o->table->count, 4);
	assert_true(uidl_is(o, 0, "1.a"));
	assert_true(uidl_is(o, 1, "2.b"));
	assert_int_equal(o->table->messages[1].wire + o->table->messages[2].wire, 11);
	assert_int_equal(o->table->messages[0].wire, wire[0]);
	assert_int_equal(o->table->messages[3].wire, wire[3]);
	assert_true(maildir_uidl_legal(o->table->messages[2].uidl));
	assert_int_equal(o->table->octets, 19);
	leave(o);
}

static void
it_comes_back_as_it_was(void **state)
{
	struct office *o = *state;
	struct maildir_table *t = NULL;
	uint8_t *octets = NULL, *again = NULL;
	size_t n = index_read(o, &octets), again_n = 0;

	assert_int_equal(maildir_index_decode((struct view){octets, n}, &t), 0);
	assert_true(maildir_table_same(t, o->store->table));
	assert_int_equal(maildir_index_encode(t, &again, &again_n), 0);
	assert_int_equal(again_n, n);
	assert_memory_equal(again, octets, n);
	maildir_table_unref(&t);
	free(octets);
	free(again);
	/* And with it no directory is read. */
	start_anew(o);
	enter(o);
	assert_int_equal(o->store->sub[MAILDIR_NEW], -1);
	leave(o);
}

static void
every_octet_flipped(void **state)
{
	struct office *o = *state;
	uint8_t *octets = NULL;
	size_t n = index_read(o, &octets);

	for (size_t i = 0; i < n; i++) {
		octets[i] ^= 0x20;
		index_write(o, octets, n);
		octets[i] ^= 0x20;
		start_anew(o);
		answers_are_right(o);
	}
	for (size_t cut = 0; cut < n; cut += 7) {
		index_write(o, octets, cut);
		start_anew(o);
		answers_are_right(o);
	}
	free(octets);
}

/* With the checksum made good again: only a hostile owner does this, and gets no further.
 */
static void
every_octet_forged(void **state)
{
	struct office *o = *state;
	struct maildir_table *t = NULL;
	uint8_t *octets = NULL;
	size_t n = index_read(o, &octets), refused = 0;

	for (size_t i = 8; i < n * 2; i++) {
		uint8_t *at = &octets[i % n < 8 ? 8 : i % n], old = *at;
		*at = i < n ? 0xFF : (uint8_t)(old + 1);
		uint64_t sum = XXH3_64bits(octets + 8, n - 8);
		memcpy(octets, &sum, sizeof(sum));
		int r = maildir_index_decode((struct view){octets, n}, &t);
		*at = old;
		if (r < 0) {
			refused++;
			continue;
		}
		for (uint32_t m = 0; m < t->pub.count; m++)
			assert_in_range(t->messages[m].uidl.n, 1, 255);
		maildir_table_unref(&t);
	}
	assert_true(refused > n / 4);
	free(octets);
}

static void
foreign_things_in_its_place(void **state)
{
	struct office *o = *state;

	assert_int_equal(unlinkat(o->top, "restante-index", 0), 0);
	assert_int_equal(mkdirat(o->top, "restante-index", 0700), 0);
	start_anew(o);
	answers_are_right(o);
	assert_int_equal(unlinkat(o->top, "restante-index", AT_REMOVEDIR), 0);
	assert_int_equal(mkfifoat(o->top, "restante-index", 0600), 0);
	start_anew(o);
	answers_are_right(o);
	(void)unlinkat(o->top, "restante-index", 0);
	assert_int_equal(symlinkat("/dev/zero", o->top, "restante-index"), 0);
	start_anew(o);
	answers_are_right(o);
	/* A temporary one that a crash left behind. */
	put(o, "restante-index~", "half");
	(void)unlinkat(o->top, "restante-index", 0);
	start_anew(o);
	answers_are_right(o);
	assert_false(there(o, "restante-index~"));
	assert_true(there(o, "restante-index"));
}

static void
an_old_one_still_knows_sizes(void **state)
{
	struct office *o = *state;

	/* Names change, the cache is old: sizes come from it, the rest from the
	 * directories. */
	move(o, "new/1.a", "cur/1.a:2,S");
	put(o, "new/9.z", "z\n");
	start_anew(o);
	enter(o);
	assert_int_equal(o->table->count, 5);
	assert_int_equal(o->table->octets, 19 + 3);
	assert_false(o->table->messages[0].wire_believed);
	leave(o);
}

static void
copied_with_its_maildrop(void **state)
{
	struct office *o = *state;
	struct store_slice slice;
	uint8_t *octets = NULL;
	size_t n = index_read(o, &octets);
	struct stat st;

	/* As a restore does: the same names, sizes and times, another inode and content.
	 */
	assert_int_equal(fstatat(o->top, "new/1.a", &st, 0), 0);
	put(o, "tmp/x", "\n\n\n");
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(o->top, "tmp/x", times, 0), 0);
	move(o, "tmp/x", "new/1.a");
	index_write(o, octets, n);
	start_anew(o);
	enter(o);
	assert_true(o->table->messages[0].wire_believed);
	assert_int_equal(ops->slice(o->store, o->table, 0, &slice), 0);
	assert_int_equal(slice.wire, 6);
	(void)close(slice.fd);
	leave(o);
	enter(o);
	assert_int_equal(o->table->messages[0].wire, 6);
	leave(o);
	free(octets);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_comes_back_as_it_was),
		TEST(every_octet_flipped),
		TEST(every_octet_forged),
		TEST(foreign_things_in_its_place),
		TEST(an_old_one_still_knows_sizes),
		TEST(copied_with_its_maildrop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
