/* The digest of a header is the same however it came, and names what it should. */
#include "unit.h"

#include "base/check.h"
#include "fetch/header.h"

#include <string.h>

#define KEPT_MAX (HEADER_OCTETS_MAX + 4096)

struct kept {
	struct header_sink sink;
	size_t n;
	uint8_t octets[KEPT_MAX];
};

static void
take(struct header_sink *sink, struct view v)
{
	struct kept *k = (struct kept *)sink;

	assert_true(v.n > 0);
	assert_true(v.n <= KEPT_MAX - k->n);
	memcpy(k->octets + k->n, v.p, v.n);
	k->n += v.n;
}

static struct kept kept;

static struct view
scan_cut(struct view in, size_t cut, struct header_scan *h)
{
	kept.sink.take = take;
	kept.n = 0;
	header_init(h);
	header_take(h, (struct view){in.p, cut}, &kept.sink);
	header_take(h, (struct view){in.p + cut, 0}, &kept.sink);
	header_take(h, (struct view){in.p + cut, in.n - cut}, &kept.sink);
	assert_int_equal(h->octets, kept.n);
	return (struct view){kept.octets, kept.n};
}

static struct view
scan_bytewise(struct view in, struct header_scan *h)
{
	kept.sink.take = take;
	kept.n = 0;
	header_init(h);
	for (size_t i = 0; i < in.n; i++)
		header_take(h, (struct view){in.p + i, 1}, &kept.sink);
	return (struct view){kept.octets, kept.n};
}

static void
assert_texts(const struct header_scan *h, const struct header_scan *expected)
{
	assert_int_equal(h->subject_n, expected->subject_n);
	assert_int_equal(h->from_n, expected->from_n);
	assert_int_equal(h->message_id_n, expected->message_id_n);
	assert_memory_equal(h->subject, expected->subject, HEADER_FIELD_MAX);
	assert_memory_equal(h->from, expected->from, HEADER_FIELD_MAX);
	assert_memory_equal(h->message_id, expected->message_id, HEADER_FIELD_MAX);
	assert_int_equal(h->done, expected->done);
}

/* Whole, at every cut, and octet by octet. */
static void
digests_to(struct view in, struct view out)
{
	struct header_scan whole, h;
	struct view v = scan_cut(in, in.n, &whole);

	assert_int_equal(v.n, out.n);
	assert_memory_equal(v.p, out.p, out.n);
	for (size_t cut = 0; cut <= in.n; cut++) {
		v = scan_cut(in, cut, &h);
		assert_int_equal(v.n, out.n);
		assert_memory_equal(v.p, out.p, out.n);
		assert_texts(&h, &whole);
	}
	v = scan_bytewise(in, &h);
	assert_int_equal(v.n, out.n);
	assert_memory_equal(v.p, out.p, out.n);
	assert_texts(&h, &whole);
}

static void
line_ends_do_not_count(void **state)
{
	(void)state;
	digests_to(VIEW("A: b\r\nC: d\r\n\r\nbody: x\r\n"), VIEW("a: bc: d"));
	digests_to(VIEW("A: b\nC: d\n\nbody: x\n"), VIEW("a: bc: d"));
	digests_to(VIEW("A: b\r\r\nC: d\r\r\r\n\r\r\nbody"), VIEW("a: bc: d"));
	/* TOP without its blank line, a message without a body, or not even a line end.
	 */
	digests_to(VIEW("A: b\r\nC: d\r\n"), VIEW("a: bc: d"));
	digests_to(VIEW("A: b\r\nC: d"), VIEW("a: bc: d"));
	digests_to(VIEW(""), VIEW(""));
	digests_to(VIEW("\r\nA: b\r\n"), VIEW(""));
	digests_to(VIEW("\nA: b\r\n"), VIEW(""));
}

static void
bare_returns_and_nul_count(void **state)
{
	(void)state;
	digests_to(VIEW("A: b\rc\r\nD\r\rE: f\r\n\r\n"), VIEW("a: b\rcd\r\rE: f"));
	digests_to(VIEW("A: \0b\0\r\n\0: c\r\n\r\n"), VIEW("a: \0b\0\0: c"));
	digests_to(VIEW("\rA: b\r\n\r\r\n"), VIEW("\rA: b"));
	digests_to(VIEW("A: b\r\n\rC: d\r\n\r\n"), VIEW("a: b\rC: d"));
	digests_to(VIEW("A: \xe9\xff\r\n\r\n"), VIEW("a: \xe9\xff"));
}

static void
changing_fields_are_left_out(void **state)
{
	(void)state;
	digests_to(VIEW("Status: RO\r\nA: b\r\nX-Status: A\r\n\r\n"), VIEW("a: b"));
	digests_to(VIEW("A: b\r\nstatus: R\r\n O\r\n\tX\r\nC: d\r\n e\r\n\r\n"),
		VIEW("a: bc: d e"));
	digests_to(VIEW("X-UIDL: 1\nX-UIDL-Old: 2\nX-UID: 3\nX-UIDS: 4\n\n"),
		VIEW("x-uids: 4"));
	digests_to(VIEW("X-Keywords: a\nX-IMAP: 1\nX-IMAPbase: 2\nX-IMAPbases: 3\n\n"),
		VIEW("x-imapbases: 3"));
	digests_to(
		VIEW("X-Mozilla-Status: 1\nX-Mozilla-Status2: 2\nX-Mozilla-Keys: \n\n"),
		VIEW(""));
	digests_to(VIEW("Content-Length: 1\nLines: 2\nX-Evolution: "
			"3\nX-Evolution-Source: 4\n\n"),
		VIEW(""));
	/* A name that is longer than what is held back of it. */
	digests_to(VIEW("X-Evolution-0123456789012345678901234567890: a\nB: c\n\n"),
		VIEW("b: c"));
	digests_to(VIEW("Long-Names-Are-Kept-0123456789012345: a\n\n"),
		VIEW("long-names-are-kept-0123456789012345: a"));
	digests_to(VIEW("Status : RO\nStatus of x: y\n\n"), VIEW("status of x: y"));
	digests_to(VIEW("Status\n\n"), VIEW("status"));
}

static void
a_postmark_is_left_out(void **state)
{
	(void)state;
	digests_to(VIEW("From anna@x Mon Jan  1 00:00:00 2026\r\nA: b\r\n\r\n"),
		VIEW("a: b"));
	digests_to(VIEW(">From anna@x Mon: Jan\r\nA: b\r\n\r\n"), VIEW("a: b"));
	digests_to(VIEW("From: anna@x\r\nA: b\r\n\r\n"), VIEW("from: anna@xa: b"));
	digests_to(VIEW("From : anna@x\r\n\r\n"), VIEW("from : anna@x"));
	/* Only at the start. */
	digests_to(VIEW("A: b\r\nFrom anna@x\r\n\r\n"), VIEW("a: bfrom anna@x"));
	digests_to(VIEW(" folded\r\nFrom anna@x\r\n\r\n"), VIEW(" foldedfrom anna@x"));
}

static void
texts_are_kept_unfolded(void **state)
{
	struct header_scan h;
	struct view in =
		VIEW("SUBJECT:   one\r\n two\r\n\tthree\r\nFrom:\r\n  Anna <a@x>\r\n"
		     "Subject: other\r\nMessage-ID: <1\rx@y>\r\n\r\nSubject: body\r\n");

	(void)state;
	for (size_t cut = 0; cut <= in.n; cut++) {
		(void)scan_cut(in, cut, &h);
		assert_int_equal(h.subject_n, strlen("one two\tthree"));
		assert_memory_equal(h.subject, "one two\tthree", h.subject_n);
		assert_int_equal(h.from_n, strlen("Anna <a@x>"));
		assert_memory_equal(h.from, "Anna <a@x>", h.from_n);
		assert_int_equal(h.message_id_n, strlen("<1\rx@y>"));
		assert_memory_equal(h.message_id, "<1\rx@y>", h.message_id_n);
		assert_true(h.done);
	}
}

static void
some_headers_are_of_one_message_alone(void **state)
{
	static const struct {
		struct view in;
		bool names_one;
	} rows[] = {
		{VIEW("From: a\r\nMESSAGE-ID: <1@x>\r\n\r\n"), true},
		{VIEW("Received: from a\r\nFrom: a\r\n\r\n"), true},
		{VIEW("From: a\r\nSubject: b\r\n\r\nMessage-ID: <1@x>\r\n"), false},
		{VIEW("From: a\r\n Received: from a\r\n\r\n"), false},
		{VIEW("X-Received: a\r\nMessage-ID\r\n\r\n"), false},
		{VIEW("\r\n"), false},
	};
	struct header_scan h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t cut = 0; cut <= rows[i].in.n; cut++) {
			(void)scan_cut(rows[i].in, cut, &h);
			assert_int_equal(h.names_one, rows[i].names_one);
		}
}

static void
texts_have_a_limit(void **state)
{
	uint8_t in[1000];
	struct header_scan h;

	(void)state;
	memset(in, 'x', sizeof(in));
	memcpy(in, "Subject: ", 9);
	for (size_t cut = 0; cut <= sizeof(in); cut += 7) {
		(void)scan_cut((struct view){in, sizeof(in)}, cut, &h);
		assert_int_equal(h.subject_n, HEADER_FIELD_MAX);
		assert_int_equal(h.subject[HEADER_FIELD_MAX - 1], 'x');
		assert_int_equal(h.from_n, 0);
	}
}

static void
the_header_has_a_limit(void **state)
{
	static uint8_t in[HEADER_OCTETS_MAX + 1000];
	struct header_scan h;

	(void)state;
	memset(in, 'x', sizeof(in));
	in[1] = ':';
	assert_int_equal(
		scan_cut((struct view){in, sizeof(in)}, 5, &h).n, HEADER_OCTETS_MAX);
	assert_true(h.done);
	/* The limit falls on the same octet where the lines end otherwise. */
	in[5000] = '\r';
	in[5001] = '\n';
	in[5002] = ' ';
	assert_int_equal(
		scan_cut((struct view){in, sizeof(in)}, 5001, &h).n, HEADER_OCTETS_MAX);
	/* An endless line of CRs costs nothing. */
	memset(in, '\r', sizeof(in));
	assert_int_equal(scan_cut((struct view){in, sizeof(in)}, 9, &h).n, 0);
	assert_false(h.done);
	header_take(&h, VIEW("x"), &kept.sink);
	assert_int_equal(h.octets, HEADER_OCTETS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_ends_do_not_count),
		cmocka_unit_test(bare_returns_and_nul_count),
		cmocka_unit_test(changing_fields_are_left_out),
		cmocka_unit_test(a_postmark_is_left_out),
		cmocka_unit_test(texts_are_kept_unfolded),
		cmocka_unit_test(some_headers_are_of_one_message_alone),
		cmocka_unit_test(texts_have_a_limit),
		cmocka_unit_test(the_header_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
