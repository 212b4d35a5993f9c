/* Which message a row is: by name, by header and size, by Message-ID; and what is left
 * open because it is not clear. */
#include "unit.h"

#include "move/import.h"
#include "os/fd.h"

#include <stdio.h>
#include <string.h>

static struct view
text(struct import *im, const char *s)
{
	return import_keep(im, (struct view){(const uint8_t *)s, strlen(s)});
}

static struct header_marks *
marks(struct import *im, const char *header)
{
	struct header_marks *m = import_room(im, sizeof(*m));

	assert_non_null(m);
	assert_int_equal(
		header_marks_read(
			(struct view){(const uint8_t *)header, strlen(header)}, m),
		0);
	return m;
}

/* name NULL: none; header NULL: none. size is that of the body. */
static void
row(struct import *im, const char *uidl, const char *name, const char *header,
	uint64_t size)
{
	struct import_row *r = import_row_add(im);

	r->uidl = text(im, uidl);
	r->order = r->line = im->rows_n;
	r->size = UINT64_MAX;
	if (name)
		r->name = text(im, name);
	if (!header)
		return;
	r->marks = marks(im, header);
	r->size = size + r->marks->wire;
}

static void
message(struct import *im, const char *key, const char *header, uint64_t size)
{
	struct import_message *m = import_message_add(im);

	m->key = m->label = text(im, key);
	m->body_wire = size;
	m->body_stored = size > 2 ? size - 2 : 0;
	m->has_body = true;
	if (header)
		m->marks = marks(im, header);
}

static void
settle(struct import *im)
{
	assert_int_equal(import_match_marks(im), 0);
	assert_int_equal(import_match_names(im), 0);
	assert_int_equal(import_match_end(im), 0);
	assert_int_equal(import_check_uidls(im), 0);
	assert_int_equal(import_places(im), 0);
	import_count(im);
}

/* "UIDL>KEY" or "UIDL:fate" of each row. */
static void
check(struct import *im, const char *want)
{
	char storage[1024];
	struct buf b = buf_over(storage, sizeof(storage) - 1);

	settle(im);
	for (uint32_t i = 0; i < im->rows_n; i++) {
		const struct import_row *r = &im->rows[i];
		buf_put_view(&b, r->uidl);
		if (r->fate == IMPORT_OPEN) {
			buf_put_str(&b, ">");
			buf_put_view(&b, im->messages[r->message - 1].key);
			assert_int_equal(im->messages[r->message - 1].row, i + 1);
		} else {
			buf_put_str(&b, ":");
			buf_put_str(&b, import_fate_word((enum import_fate)r->fate));
		}
		buf_put_str(&b, " ");
	}
	storage[b.n] = '\0';
	assert_string_equal(storage, want);
	import_done(im);
}

static void
names(void **state)
{
	struct import im = {.rows_n = 0};

	(void)state;
	message(&im, "1.M1.a", NULL, 0);
	message(&im, "2.M1.a", NULL, 0);
	message(&im, "3.M1.a", NULL, 0);
	row(&im, "A", "2.M1.a,S=5,W=6", NULL, 0);
	row(&im, "B", "1.M1.a:2,S", NULL, 0);
	row(&im, "C", "9.M1.a", NULL, 0);
	row(&im, "D", "1.M1.a", NULL, 0); /* later: it is this one's now */
	import_rows_came(&im, 0, 0, true);
	check(&im, "A>2.M1.a B:gone C:gone D>1.M1.a ");
	message(&im, "x", NULL, 0);
	message(&im, "x", NULL, 0);
	row(&im, "A", "x", NULL, 0);
	row(&im, "B", "y", NULL, 0);
	check(&im, "A:unclear B:without match ");
}

/* Only of the list that lies beside the messages a file that is not there is gone. */
static void
several_lists(void **state)
{
	struct import im = {.rows_n = 0};

	(void)state;
	message(&im, "1.M1.a", NULL, 0);
	message(&im, "2.M1.a", NULL, 0);
	message(&im, "3.M1.a", NULL, 0);
	row(&im, "A", "1.M1.a", NULL, 0);
	row(&im, "B", "2.M1.a", NULL, 0);
	row(&im, "C", "8.M1.a", NULL, 0);
	import_rows_came(&im, 0, 0, true);
	row(&im, "D", "3.M1.a", NULL, 0);
	row(&im, "E", "9.M1.a", NULL, 0);
	row(&im, "B", "2.M1.a", NULL, 0); /* says the same */
	row(&im, "F", "1.M1.a", NULL, 0); /* says otherwise */
	import_rows_came(&im, 3, 1, false);
	check(&im,
		"A:without match B:gone C:gone D>3.M1.a E:without match B>2.M1.a "
		"F>1.M1.a ");
}

#define ONE "Received: a\nFrom: x\nMessage-ID: <1@x>\n\n"
#define TWO "Received: b\nFrom: x\nMessage-ID: <2@x>\n\n"

static void
contents(void **state)
{
	struct import im = {.is_mbox = false};

	(void)state;
	message(&im, "k1", "Received: new\n" TWO, 20);
	message(&im, "k2", ONE, 10);
	message(&im, "k3", ONE, 11);
	row(&im, "A", NULL, ONE, 10);
	row(&im, "B", NULL, TWO, 20);
	row(&im, "C", NULL, TWO, 99);
	row(&im, "D", NULL, ONE, 9); /* as k3 is stored */
	check(&im, "A>k2 B>k1 C:without match D>k3 ");
}

/* The same to the octet: as many of each are paired in order; else nobody knows. */
static void
same_messages(void **state)
{
	struct import im = {.is_mbox = false};

	(void)state;
	message(&im, "k1", ONE, 10);
	message(&im, "k2", ONE, 10);
	row(&im, "A", NULL, ONE, 10);
	row(&im, "B", NULL, ONE, 10);
	check(&im, "A>k1 B>k2 ");
	message(&im, "k1", ONE, 10);
	message(&im, "k2", ONE, 10);
	row(&im, "A", NULL, ONE, 10);
	check(&im, "A:unclear ");
	message(&im, "k1", ONE, 10);
	row(&im, "A", NULL, ONE, 10);
	row(&im, "B", NULL, ONE, 10);
	check(&im, "A:unclear B:unclear ");
	/* Another body: only names tell which is which. */
	message(&im, "1.", ONE, 10);
	message(&im, "2.", ONE, 10);
	im.messages[1].body = 1;
	row(&im, "A", NULL, ONE, 10);
	row(&im, "B", NULL, ONE, 10);
	check(&im, "A:unclear B:unclear ");
	message(&im, "1.", ONE, 10);
	message(&im, "2.", ONE, 10);
	im.messages[1].body = 1;
	row(&im, "A", "1.", ONE, 10);
	row(&im, "B", "2.", ONE, 10);
	check(&im, "A>1. B>2. ");
}

static void
ids(void **state)
{
	struct import im = {.is_mbox = false};

	(void)state;
	/* A header that was changed on the way: Message-ID and size, if only one has
	 * them. */
	message(&im, "k1", "X-Virus: no\n" ONE, 10);
	message(&im, "k2", "X-Virus: no\n" TWO, 10);
	message(&im, "k3", "X-Virus: yes\n" TWO, 10);
	row(&im, "A", NULL, ONE, 10);
	row(&im, "B", NULL, TWO, 10);
	check(&im, "A>k1 B:unclear ");
	message(&im, "k1", "X-Virus: no\n" ONE, 10);
	row(&im, "A", NULL, ONE, 30);
	row(&im, "B", NULL, "From: x\n\n", 10);
	check(&im, "A:without match B:without match ");
	/* What the contents say goes before a name. */
	message(&im, "1.", TWO, 10);
	row(&im, "A", "1.", ONE, 10);
	check(&im, "A:without match ");
	message(&im, "1.", TWO, 10);
	row(&im, "A", "1.", NULL, 10);
	check(&im, "A>1. ");
}

/* Several messages of an mbox may have one key: all get rows, or none. */
static void
twins(void **state)
{
	struct import im = {.is_mbox = true};

	(void)state;
	message(&im, "k", ONE, 10);
	message(&im, "k", ONE, 10);
	message(&im, "l", TWO, 10);
	row(&im, "A", NULL, ONE, 10);
	row(&im, "B", NULL, ONE, 10);
	row(&im, "C", NULL, TWO, 10);
	check(&im, "A>k B>k C>l ");
	im = (struct import){.is_mbox = true};
	message(&im, "k", ONE, 10);
	message(&im, "k", ONE, 12);
	row(&im, "A", NULL, ONE, 12);
	check(&im, "A:unclear ");
	im = (struct import){.is_mbox = false};
	message(&im, "k", ONE, 10);
	message(&im, "k", TWO, 12);
	row(&im, "A", NULL, ONE, 10);
	row(&im, "B", NULL, TWO, 12);
	check(&im, "A:unclear B:unclear ");
}

static void
uidls(void **state)
{
	char long_one[300];
	struct import im = {.rows_n = 0};

	(void)state;
	memset(long_one, 'x', sizeof(long_one));
	long_one[255] = '\0';
	for (char c = 'a'; c < 'h'; c++)
		message(&im, (char[]){c, '\0'}, NULL, 0);
	row(&im, "same", "a", NULL, 0);
	row(&im, "two words", "b", NULL, 0);
	row(&im, "same", "c", NULL, 0);
	row(&im, "", "d", NULL, 0);
	row(&im, "same", "z", NULL, 0);
	row(&im, "\x7f", "e", NULL, 0);
	row(&im, long_one, "f", NULL, 0);
	import_rows_came(&im, 0, 0, true);
	settle(&im);
	static const uint8_t want[] = {IMPORT_OPEN, IMPORT_ILLEGAL, IMPORT_DUPLICATE,
		IMPORT_ILLEGAL, IMPORT_GONE, IMPORT_ILLEGAL, IMPORT_OPEN};
	for (uint32_t i = 0; i < sizeof(want); i++)
		assert_int_equal(im.rows[i].fate, want[i]);
	assert_int_equal(im.strangers, 1);
	import_done(&im);
	long_one[255] = 'x';
	long_one[256] = '\0';
	message(&im, "f", NULL, 0);
	row(&im, long_one, "f", NULL, 0);
	settle(&im);
	assert_int_equal(im.rows[0].fate, IMPORT_ILLEGAL);
	import_done(&im);
}

/* Rows with an order first, then those without; the same order as they came. */
static void
places(void **state)
{
	static const uint32_t order[] = {5, UINT32_MAX, 1, 5, 0, UINT32_MAX};
	static const uint32_t want[] = {2, 4, 1, 3, 0, 5};
	struct import im = {.rows_n = 0};

	(void)state;
	for (size_t i = 0; i < 6; i++)
		import_row_add(&im)->order = order[i];
	assert_int_equal(import_places(&im), 0);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(im.rows[i].place, want[i]);
	import_done(&im);
}

/* As Dovecot 2.3 renames: seen with this very list. */
static void
renames(void **state)
{
	static const char *const before[] = {"0", "gone", "0", "0-2", "0", "0"};
	static const char *const after[] = {"0", "gone", "0-2", "0-2-2", "0-3", "0-4"};
	struct import im = {.rows_n = 0};

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "m%zu", i);
		if (i != 1)
			message(&im, name, NULL, 0);
		row(&im, before[i], name, NULL, 0);
	}
	assert_int_equal(import_match_names(&im), 0);
	assert_int_equal(import_rename(&im), 0);
	assert_int_equal(im.renamed, 4);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(im.rows[i].uidl.n, strlen(after[i]));
		assert_memory_equal(im.rows[i].uidl.p, after[i], strlen(after[i]));
	}
	import_done(&im);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(several_lists),
		cmocka_unit_test(contents),
		cmocka_unit_test(same_messages),
		cmocka_unit_test(ids),
		cmocka_unit_test(twins),
		cmocka_unit_test(uidls),
		cmocka_unit_test(places),
		cmocka_unit_test(renames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
