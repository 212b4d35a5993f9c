/* By what a message is known again: what counts in a header and what does not. */
#include "unit.h"

#include "move/header_marks.h"

#include <string.h>

static struct header_marks
marks(const char *header)
{
	struct header_marks m;

	assert_int_equal(
		header_marks_read(
			(struct view){(const uint8_t *)header, strlen(header)}, &m),
		0);
	return m;
}

/* Which digest of the copy is the original's whole one; -1: none. */
static int
found(const char *original, const char *copy)
{
	struct header_marks a = marks(original), b = marks(copy);

	for (int i = 0; i < b.n; i++)
		if (memcmp(a.digests[0], b.digests[i], MARKS_DIGEST) == 0)
			return i;
	return -1;
}

static void
what_counts(void **state)
{
	static const char one[] = "Received: a\n\tb\nFrom: x\nSubject: y\n\n";

	(void)state;
	assert_int_equal(found(one, one), 0);
	assert_int_equal(
		found(one, "Received: a\r\n\tb\r\nFrom: x\r\nSubject: y\r\n\r\n"), 0);
	assert_int_equal(
		found(one, "Received: a\n\tb\nFrom: x\nSubject: y\n\nbody\n"), 0);
	/* Case, folding and order are the message's own. */
	assert_int_equal(found(one, "Received: a\n\tb\nfrom: x\nSubject: y\n\n"), -1);
	assert_int_equal(found(one, "Received: a b\nFrom: x\nSubject: y\n\n"), -1);
	assert_int_equal(found(one, "Received: a\n\tb\nSubject: y\nFrom: x\n\n"), -1);
	assert_int_equal(found(one, "Received: a\n\tb\nFrom: x\nSubject: y \n\n"), -1);
}

static void
what_does_not(void **state)
{
	static const char one[] = "Received: a\nFrom: x\n\n";

	(void)state;
	assert_int_equal(found(one,
				 "From a b\nReturn-Path: <z>\nDelivered-To: q\n r\n"
				 "Received: a\nX-UIDL: 1\nstatus: RO\nFrom: x\nX-UID: 2\n"
				 "Content-Length: 5\n\n"),
		0);
	assert_int_equal(found(one, "Received: n\n by m\nReceived: a\nFrom: x\n\n"), 1);
	assert_int_equal(
		found(one,
			"Delivered-To: x\nReceived: n\nReceived: m\nReturn-Path: z\n"
			"Received: a\nFrom: x\n\n"),
		2);
	/* Only on top, and at most six. */
	assert_int_equal(found(one, "From: x\nReceived: a\n\n"), -1);
	assert_int_equal(
		found(one, "Subject: s\nReceived: n\nReceived: a\nFrom: x\n\n"), -1);
	assert_int_equal(found(one,
				 "Received: 1\nReceived: 2\nReceived: 3\nReceived: 4\n"
				 "Received: 5\nReceived: 6\nReceived: a\nFrom: x\n\n"),
		6);
	assert_int_equal(found(one,
				 "Received: 1\nReceived: 2\nReceived: 3\nReceived: 4\n"
				 "Received: 5\nReceived: 6\nReceived: 7\nReceived: a\n"
				 "From: x\n\n"),
		-1);
}

static void
ids_and_sizes(void **state)
{
	struct header_marks a = marks("From: x\nMessage-ID: <1@x> \n\nbody");
	struct header_marks b = marks("message-id:\n <1@x>\r\nFrom: y\n\n");
	struct header_marks c = marks("Message-ID: <2@x>\n\n");

	(void)state;
	assert_true(a.has_id && b.has_id && c.has_id);
	assert_memory_equal(a.id, b.id, MARKS_DIGEST);
	assert_memory_not_equal(a.id, c.id, MARKS_DIGEST);
	assert_false(marks("Message-ID:\n\n").has_id);
	assert_false(marks("From: x\n\nMessage-ID: <1@x>\n").has_id);
	assert_int_equal(a.stored, 28);
	assert_int_equal(a.wire, 31);
	/* A From_ line counts as octets alone; an empty header is one. */
	assert_int_equal(marks("From a b\nFrom: x\n\n").stored, 18);
	assert_int_equal(marks("From a b\nFrom: x\n\n").wire, 21);
	assert_int_equal(marks("").n, 1);
	assert_int_equal(header_marks_read((struct view){NULL, 0}, &a), 0);
	assert_int_equal(a.n, 0);
	assert_int_equal(marks("\n").n, 1);
	assert_int_equal(marks("From: x").wire, 9);
}

static void
ends(void **state)
{
	(void)state;
	assert_int_equal(header_marks_end(VIEW("a: b\n\nbody\n\n")), 6);
	assert_int_equal(header_marks_end(VIEW("a: b\r\n\r\nbody")), 8);
	assert_int_equal(header_marks_end(VIEW("a: b\n")), 0);
	assert_int_equal(header_marks_end(VIEW("a: b\n\r")), 0);
	assert_int_equal(header_marks_end(VIEW("")), 0);
	assert_int_equal(header_marks_end(VIEW("\n")), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_counts),
		cmocka_unit_test(what_does_not),
		cmocka_unit_test(ids_and_sizes),
		cmocka_unit_test(ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
