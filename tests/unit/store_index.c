/* The cache file: whatever happens to it, the answers stay right. */
#include "store_help.h"

#include "store/maildir_index.h"

#include <xxhash.h>

static const struct view no_folders = {NULL, 0};

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
	assert_int_equal(ops->open(o->root, "Maildir", &store_plain, &o->store), 0);
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

	assert_int_equal(
		maildir_index_decode((struct view){octets, n}, no_folders, &t), 0);
	assert_true(maildir_table_same(t, o->store->table));
	assert_int_equal(maildir_index_encode(t, no_folders, &again, &again_n), 0);
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
		int r = maildir_index_decode((struct view){octets, n}, no_folders, &t);
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

/* As version 1 wrote it: rows of 48 octets, and a UIDL that stands nowhere else. */
struct header_1 {
	uint64_t checksum, magic;
	uint32_t version, count;
	uint64_t names, uidls, racy;
	struct maildir_dir_id ids[2];
};
struct row_1 {
	uint64_t ino, stored, wire;
	int64_t mtime_ns;
	uint32_t name_at, uidl_at;
	uint8_t name_n, uidl_n, dir, flags;
	uint32_t zero;
};

static size_t
write_version_1(const struct office *o, uint8_t out[4096])
{
	const struct maildir_table *t = o->store->table;
	struct header_1 h = {.magic = MAILDIR_INDEX_MAGIC, .version = 1, .uidls = 5};
	struct row_1 rows[8];
	char names[1024];

	assert_int_equal(sizeof(h), 112);
	assert_int_equal(sizeof(rows[0]), 48);
	memcpy(h.ids, t->ids, sizeof(h.ids));
	for (; h.count < t->pub.count; h.count++) {
		const struct maildir_row *r = &t->rows[h.count];
		rows[h.count] = (struct row_1){r->ino, r->stored, r->wire, r->mtime_ns,
			(uint32_t)h.names, 0, r->name_n, h.count == 3 ? 5 : 0, r->dir,
			r->flags & (ROW_COUNTED | ROW_AS_IS | ROW_SEEN), 0};
		if (h.count == 1 || h.count == 2)
			rows[h.count].flags |= ROW_SHARED;
		/* Of two with one key, version 1 had the second's UIDL made. */
		if (h.count == 2)
			rows[h.count].uidl_n = 4;
		memcpy(names + h.names, maildir_row_name(t, r), r->name_n + 1U);
		h.names += r->name_n + 1U;
	}
	size_t rows_n = h.count * sizeof(rows[0]);
	memcpy(out + sizeof(h), rows, rows_n);
	memcpy(out + sizeof(h) + rows_n, names, h.names);
	memcpy(out + sizeof(h) + rows_n + h.names, "older", 5);
	size_t n = sizeof(h) + rows_n + h.names + 5;
	memcpy(out, &h, sizeof(h));
	h.checksum = XXH3_64bits(out + 8, n - 8);
	memcpy(out, &h, 8);
	return n;
}

static void
version_1_is_taken_over(void **state)
{
	struct office *o = *state;
	uint8_t octets[4096];
	size_t n = write_version_1(o, octets);

	index_write(o, octets, n);
	/* What it alone knows becomes a part of the log. */
	assert_int_equal(unlinkat(o->top, IDENTITY_NAME, 0), 0);
	start_anew(o);
	enter(o);
	assert_int_equal(o->table->count, 4);
	assert_true(uidl_is(o, 0, "1.a"));
	assert_true(uidl_is(o, 1, "2.b"));
	assert_true(uidl_is(o, 2, "olde"));
	assert_true(uidl_is(o, 3, "older"));
	assert_false(o->table->messages[2].wire_believed);
	assert_true(there(o, IDENTITY_NAME));
	leave(o);
	put(o, "new/9.z", "z\n");
	enter(o);
	leave(o);
	forget(o);
	uint8_t *now = NULL;
	size_t now_n = index_read(o, &now);
	assert_true(now_n > 24);
	assert_int_equal(now[16], 2);
	free(now);
	/* Cut or damaged it is none. */
	for (size_t cut = 0; cut < n; cut += 5) {
		struct maildir_table *t = NULL;
		assert_int_equal(
			maildir_index_decode((struct view){octets, cut}, no_folders, &t),
			-EINVAL);
	}
}

static void
a_newer_version_is_left_alone(void **state)
{
	struct office *o = *state;
	uint8_t *octets = NULL, *after = NULL;
	size_t n = index_read(o, &octets);

	octets[16] = 3;
	index_write(o, octets, n);
	start_anew(o);
	answers_are_right(o);
	put(o, "new/9.z", "z\n");
	enter(o);
	assert_int_equal(o->table->count, 5);
	leave(o);
	forget(o);
	assert_int_equal(index_read(o, &after), n);
	assert_memory_equal(after, octets, n);
	free(octets);
	free(after);
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
		TEST(version_1_is_taken_over),
		TEST(a_newer_version_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
