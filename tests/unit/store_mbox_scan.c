/* Where the messages of an mbox are: all formats, at every split, and what is none. */
#include "unit.h"

#include "pop3/dot.h"
#include "store/mbox_from.h"
#include "store/mbox_quote.h"
#include "store/mbox_scan.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOUND_MAX 16
#define F	  "From a@b Sat Jan  3 01:05:34 1996\n"

static XXH3_state_t *hash;
static uint32_t how_base = MBOX_HOW_LENGTHS;

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* Scans v fed in pieces that grow by `piece` octets; -1: it is no mbox. */
static int
scan(struct view v, size_t piece, bool unquote, struct mbox_found *ret)
{
	struct mbox_scan s;
	size_t at = 0, seen = piece < v.n ? piece : v.n;
	int n = 0;

	mbox_scan_begin(&s, hash, how_base | (unquote ? MBOX_HOW_UNQUOTE : 0), 0);
	for (;;) {
		size_t taken = 0;
		enum mbox_step step = mbox_scan_step(&s,
			(struct view){v.p + at, seen - at}, seen == v.n, &taken, &ret[n]);
		at += taken;
		assert_true(at <= seen);
		assert_int_equal(s.offset, at);
		switch (step) {
		case MBOX_MESSAGE:
			n++;
			assert_true(n < FOUND_MAX);
			break;
		case MBOX_LOOK: {
			uint64_t from = s.look_at - 1;
			size_t room = from < v.n ? v.n - (size_t)from : 0;
			if (room > MBOX_FROM_MAX + 3)
				room = MBOX_FROM_MAX + 3;
			mbox_scan_looked(
				&s, (struct view){v.p + (room ? from : 0), room});
			break;
		}
		case MBOX_END: assert_int_equal(at, v.n); return n;
		case MBOX_BAD: return -1;
		case MBOX_MORE:
			assert_true(seen < v.n);
			assert_true(seen - at < MBOX_WINDOW_MIN);
			seen = v.n - seen < piece ? v.n : seen + piece;
			break;
		}
	}
}

static uint64_t
wire_of(struct view v)
{
	struct dot_state s = {0};
	uint64_t n = dot_best()->count(&s, v.p, v.n);

	return n + dot_finish_count(&s);
}

/* The same at every split; each message is what is expected. */
static void
expect(struct view v, bool unquote, int count, const char *const *messages)
{
	struct mbox_found whole[FOUND_MAX], found[FOUND_MAX];
	int n = scan(v, v.n + 1, unquote, whole);

	assert_int_equal(n, count);
	for (int i = 0; i < n; i++) {
		struct view m = {v.p + whole[i].at, (size_t)whole[i].length};
		assert_int_equal(m.n, strlen(messages[i]));
		assert_memory_equal(m.p, messages[i], m.n);
		uint8_t *out = malloc(m.n + 1);
		size_t out_n = m.n;
		memcpy(out, m.p, m.n);
		if (unquote) {
			out_n = mbox_unquote(m, out);
			assert_int_equal(m.n - out_n, whole[i].quoted);
			assert_int_equal(mbox_count_quoted(m), whole[i].quoted);
		}
		assert_int_equal(whole[i].wire, wire_of((struct view){out, out_n}));
		free(out);
	}
	for (size_t piece = 1; piece < v.n && piece < 400; piece++) {
		memset(found, 0, sizeof(found));
		assert_int_equal(scan(v, piece, unquote, found), n);
		for (int i = 0; i < n; i++) {
			assert_int_equal(found[i].start, whole[i].start);
			assert_int_equal(found[i].at, whole[i].at);
			assert_int_equal(found[i].length, whole[i].length);
			assert_int_equal(found[i].wire, whole[i].wire);
			assert_int_equal(found[i].quoted, whole[i].quoted);
			assert_int_equal(found[i].as_is, whole[i].as_is);
			assert_int_equal(found[i].internal, whole[i].internal);
			assert_memory_equal(
				found[i].digest, whole[i].digest, MBOX_DIGEST);
		}
	}
}

static const struct mailbox {
	const char *octets;
	bool unquote;
	int count;
	const char *messages[4];
} mailboxes[] = {
	{"", false, 0, {NULL}},
	{F, false, 1, {""}},
	{F "\n", false, 1, {""}},
	{"From a 1:02", false, 1, {""}},
	{F "A: 1\n\nx\n", false, 1, {"A: 1\n\nx\n"}},
	{F "A: 1\n\nx\n\n", false, 1, {"A: 1\n\nx\n"}},
	{F "A: 1\n\nx\n\n\n", false, 1, {"A: 1\n\nx\n\n"}},
	{F "A: 1\n\nx", false, 1, {"A: 1\n\nx"}},
	{F "A: 1\n\nx\n\n" F "B: 2\n\ny\n\n", false, 2, {"A: 1\n\nx\n", "B: 2\n\ny\n"}},
	/* A header alone, an empty message, two empty ones. */
	{F "A: 1\n\n" F "B: 2\n", false, 2, {"A: 1\n", "B: 2\n"}},
	{F "\n" F "\n" F "B: 2\n\n", false, 3, {"", "", "B: 2\n"}},
	/* Not behind an empty line: text. */
	{F "A: 1\n\nx\n" F "y\n\n", false, 1, {"A: 1\n\nx\n" F "y\n"}},
	/* Behind one, but no From_ line. */
	{F "A: 1\n\nx\n\nFrom here to there\n\nFrom\n\nFrom \n\nFrom x 25:10\n\n"
	   "From 10:20\n",
		false, 1,
		{"A: 1\n\nx\n\nFrom here to there\n\nFrom\n\nFrom \n\nFrom x 25:10\n\n"
		 "From 10:20\n"}},
	/* Unlike dates. */
	{F "\nx\n\nFrom  Sat Jan  3 01:05:34 1996\n\ny\n\nFrom \"a b\"@c 3 Jan 1996 "
	   "1:05 MET remote from d\n\nz\n\n",
		false, 3, {"\nx\n", "\ny\n", "\nz\n"}},
	/* CRLF throughout. */
	{"From a@b Sat Jan  3 01:05:34 1996\r\nA: 1\r\n\r\n.x\r\n\r\n"
	 "From a@b Sat Jan  3 01:05:34 1996\r\nB: 2\r\n\r\ny\r\n\r\n",
		false, 2, {"A: 1\r\n\r\n.x\r\n", "B: 2\r\n\r\ny\r\n"}},
	/* mboxcl2: From_ lines within, believed where the length fits. */
	{F "Content-Length: 40\n\nabc\n\n" F "\n\n" F "B: 2\n\ny\n\n", false, 2,
		{"Content-Length: 40\n\nabc\n\n" F "\n", "B: 2\n\ny\n"}},
	{F "Content-length: 4\n\nabc\n", false, 1, {"Content-length: 4\n\nabc\n"}},
	{F "Content-Length: 0\n\n" F "\ny\n", false, 2,
		{"Content-Length: 0\n\n", "\ny\n"}},
	/* It fits without an empty line behind it, too. */
	{F "Content-Length: 4\n\nabc\n" F "\ny\n", false, 2,
		{"Content-Length: 4\n\nabc\n", "\ny\n"}},
	/* It does not fit: into a message, behind the end, no number. */
	{F "Content-Length: 2\n\nabc\n\n" F "\ny\n", false, 2,
		{"Content-Length: 2\n\nabc\n", "\ny\n"}},
	{F "Content-Length: 999\n\nabc\n\n" F "\ny\n", false, 2,
		{"Content-Length: 999\n\nabc\n", "\ny\n"}},
	{F "Content-Length: 18446744073709551615\n\nabc\n\n" F "\ny\n", false, 2,
		{"Content-Length: 18446744073709551615\n\nabc\n", "\ny\n"}},
	{F "Content-Length: -1\n\nabc\n\n" F "\ny\n", false, 2,
		{"Content-Length: -1\n\nabc\n", "\ny\n"}},
	/* mboxrd. */
	{F "A: 1\n\n>From x\n>>>From y\n> From z\n>From\na>From b\n>>From ", true, 1,
		{"A: 1\n\n>From x\n>>>From y\n> From z\n>From\na>From b\n>>From "}},
	{F ">From header\nA: 1\n\n>From x\n\n" F "\n\n\n>From\n\n>From >From x\n", true,
		2, {">From header\nA: 1\n\n>From x\n", "\n\n\n>From\n\n>From >From x\n"}},
	{"x\n" F, false, -1, {NULL}},
	{"Fro", false, -1, {NULL}},
	{"\n" F, false, -1, {NULL}},
};

static void
every_format_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mailboxes) / sizeof(mailboxes[0]); i++) {
		const struct mailbox *m = &mailboxes[i];
		expect(text(m->octets), m->unquote, m->count, m->messages);
	}
}

/* A sender who foretells the size of the next mail must not hide it in his own. */
static void
lengths_count_only_where_they_are_asked_for(void **state)
{
	static const char mbox[] = F "Content-Length: 52\n\nabc\n\n" F "B: 2\n\nsecret\n";
	static const char *const hidden[] = {
		"Content-Length: 52\n\nabc\n\n" F "B: 2\n\nsecret\n"};
	static const char *const both[] = {
		"Content-Length: 52\n\nabc\n", "B: 2\n\nsecret\n"};

	(void)state;
	expect(text(mbox), false, 1, hidden);
	how_base = 0;
	expect(text(mbox), false, 2, both);
	expect(text(mbox), true, 2, both);
	how_base = MBOX_HOW_LENGTHS;
}

static void
digest_of(const char *mbox, uint8_t ret[MBOX_DIGEST])
{
	struct mbox_found found[FOUND_MAX];

	assert_true(scan(text(mbox), 7, false, found) >= 1);
	memcpy(ret, found[0].digest, MBOX_DIGEST);
}

static void
notes_do_not_count_in_the_digest(void **state)
{
	static const char *const same[] = {
		F "A: 1\nB: 2\n\nx\n\n",
		F "A: 1\nB: 2\n\nx\n",
		F "A: 1\nB: 2\n\nx",
		F "A: 1\nB: 2\n\nx\n\n\n\n",
		"From other Sun Feb  4 02:06:35 1997\nA: 1\nStatus: RO\nB: 2\n\nx\n\n",
		F "X-UIDL: 1\nA: 1\nX-Keywords: a\n\tb\n c\nB: 2\nX-Status:\n\nx\n",
		F "A: 1\nX-IMAPbase: 1 2\nB: 2\nX-UID: 17\nLines: 1\nContent-Length: "
		  "2\n\nx\n",
	};
	static const char *const other[] = {
		F "A: 1\nB: 2\n\ny\n",
		F "A: 1\nB: 2\nStatus-X: 1\n\nx\n",
		F "A: 1\nB: 2\n\nStatus: RO\nx\n",
		F "A: 1\n Status: 2\nB: 2\n\nx\n",
	};
	uint8_t first[MBOX_DIGEST], d[MBOX_DIGEST];
	(void)state;

	digest_of(same[0], first);
	for (size_t i = 1; i < sizeof(same) / sizeof(same[0]); i++) {
		digest_of(same[i], d);
		assert_memory_equal(d, first, MBOX_DIGEST);
	}
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		digest_of(other[i], d);
		assert_memory_not_equal(d, first, MBOX_DIGEST);
	}
}

static void
fields_are_read(void **state)
{
	struct mbox_found f[FOUND_MAX];
	(void)state;

	assert_int_equal(scan(text(F "status: OR\nX-UIDL: \"x!y \nX-UIDL: z\nA: 1\n\n\n" F
				     "Status: O\nX-UIDL: a b\n\n"),
				 5, false, f),
		2);
	assert_true(f[0].seen);
	assert_int_equal(f[0].uidl_n, 4);
	assert_memory_equal(f[0].uidl, "\"x!y", 4);
	assert_false(f[1].seen);
	assert_int_equal(f[1].uidl_n, 0);

	/* A mail program's own first message is none; a real one may carry its field. */
	const char *internal = F "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL "
				 "DATA\nX-IMAP: 1 2\n\ntext\n\n";
	char both[512];
	(void)snprintf(both, sizeof(both), "%s%s", internal, internal);
	assert_int_equal(scan(text(both), 3, false, f), 2);
	assert_true(f[0].internal);
	assert_false(f[1].internal);
	assert_int_equal(
		scan(text(F "X-IMAPbase: 1 2\nSubject: hello\n\n"), 3, false, f), 1);
	assert_false(f[0].internal);
}

/* Long lines, and line ends in a row, across whatever a caller holds at once. */
static void
long_ones(void **state)
{
	size_t n = 60000;
	char *big = malloc(n + 1);
	struct mbox_found f[FOUND_MAX], g[FOUND_MAX];
	size_t at = (size_t)snprintf(big, n, F "A: ");
	(void)state;

	memset(big + at, 'x', 20000);
	at += 20000;
	at += (size_t)snprintf(big + at, n - at, "\nStatus: ");
	memset(big + at, 'R', 9000);
	at += 9000;
	at += (size_t)snprintf(big + at, n - at, "\n\n");
	memset(big + at, '\n', 20000);
	at += 20000;
	at += (size_t)snprintf(big + at, n - at, "end\n\nFrom ");
	memset(big + at, 'y', 2000);
	at += 2000;
	at += (size_t)snprintf(big + at, n - at, " 10:20\n");
	struct view v = {(const uint8_t *)big, at};
	assert_int_equal(scan(v, at + 1, true, f), 1);
	assert_int_equal(f[0].at + f[0].length, at);
	for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
		assert_int_equal(scan(v, piece, true, g), 1);
		assert_int_equal(g[0].wire, f[0].wire);
		assert_memory_equal(g[0].digest, f[0].digest, MBOX_DIGEST);
	}
	free(big);
}

/* ---- on the way in ------------------------------------------------------------------
 */

static size_t
quote(const char *in, size_t piece, char *out, size_t cap)
{
	struct mbox_quote q = {.at = 0};
	struct buf b = buf_over(out, cap);
	size_t n = strlen(in);

	for (size_t at = 0; at < n; at += piece)
		mbox_quote_add(&q,
			(struct view){(const uint8_t *)in + at,
				n - at < piece ? n - at : piece},
			&b);
	mbox_quote_end(&q, &b);
	assert_false(b.full);
	return b.n;
}

static void
what_comes_in_is_quoted(void **state)
{
	static const char *const cases[][2] = {
		{"", "\n\n"},
		{"A: 1\n\n", "A: 1\n\n\n"},
		{"A: 1\n\nx", "A: 1\n\nx\n\n"},
		{"A: 1\n", "A: 1\n\n\n"},
		{"A", "A\n\n\n"},
		{"A: 1\n\nFrom x\n>From y\n>>>From z\n> From\nFro\nFrom",
			"A: 1\n\n>From "
			"x\n>>From "
			"y\n>>>>From "
			"z\n> "
			"From\nFro\nFrom\n\n"},
		{"From x 10:20\nA: 1\n\n", ">From x 10:20\nA: 1\n\n\n"},
		{"Status: RO\nA: 1\nX-UID: 3\n 4\n\t5\nB: 2\nContent-Length: "
		 "7\n\nStatus: "
		 "1\n",
			"A: 1\nB: 2\n\nStatus: 1\n\n"},
		{"X-IMAPbase:\nSubject: x\nX-UIDL", "Subject: x\nX-UIDL\n\n\n"},
		{"a-very-long-field-name-indeed: 1\nStatus-Of: 2\n\n>>",
			"a-very-long-field-"
			"name-indeed: "
			"1\nStatus-Of: "
			"2\n\n>>\n\n"},
	};
	char out[2048];
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t piece = 1; piece < 60; piece++) {
			size_t n = quote(cases[i][0], piece, out, sizeof(out));
			assert_int_equal(n, strlen(cases[i][1]));
			assert_memory_equal(out, cases[i][1], n);
		}
}

/* Whatever body: quoted, scanned and unquoted it is the same again. */
static void
bodies_survive_the_way_in_and_out(void **state)
{
	static const char *const words[] = {
		"From ", ">", "\n", "x", "\r", F, "Fro", "m ", "\n\n", ">From ", "."};
	uint64_t seed = 1;
	(void)state;

	for (int round = 0; round < 3000; round++) {
		char body[512], out[4096], back[4096];
		size_t n = (size_t)snprintf(body, sizeof(body), "A: 1\n\n");
		for (int i = 0; i < 10; i++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			n += (size_t)snprintf(body + n, sizeof(body) - n, "%s",
				words[(seed >> 33) % 11]);
		}
		size_t at = (size_t)snprintf(out, sizeof(out), F);
		size_t first = at;
		at += quote(body, 1 + (size_t)round % 17, out + at, 1500);
		size_t second = at;
		at += (size_t)snprintf(out + at, sizeof(out) - at, F "\nother\n\n");
		struct mbox_found f[FOUND_MAX];
		assert_int_equal(scan((struct view){(uint8_t *)out, at}, 64, true, f), 2);
		assert_int_equal(f[0].at, first);
		assert_int_equal(f[1].start, second);
		struct view m = {(uint8_t *)out + f[0].at, (size_t)f[0].length};
		size_t got = mbox_unquote(m, (uint8_t *)back);
		if (body[n - 1] != '\n')
			body[n++] = '\n';
		assert_int_equal(got, n);
		assert_memory_equal(back, body, n);
	}
}

static void
from_lines_are_written(void **state)
{
	char out[MBOX_FROM_ROOM];
	struct buf b = buf_over(out, sizeof(out));
	(void)state;

	mbox_from_line_put(text("a b@c\n"), 1700000000, &b);
	assert_int_equal(b.n, strlen("From a_b@c_ Tue Nov 14 22:13:20 2023\n"));
	assert_memory_equal(out, "From a_b@c_ Tue Nov 14 22:13:20 2023\n", b.n);
	assert_true(mbox_from_line_is(buf_view(&b)));
	b.n = 0;
	mbox_from_line_put(text(""), UINT64_MAX, &b);
	assert_true(mbox_from_line_is(buf_view(&b)));
	assert_memory_equal(out, "From MAILER-DAEMON ", 19);
	uint8_t longest[2000];
	memset(longest, 'x', sizeof(longest));
	b.n = 0;
	mbox_from_line_put((struct view){longest, sizeof(longest)}, 0, &b);
	assert_false(b.full);
	assert_true(mbox_from_line_is(buf_view(&b)));
}

static int
start(void **state)
{
	(void)state;
	hash = XXH3_createState();
	return hash ? 0 : -1;
}

static int
stop(void **state)
{
	(void)state;
	(void)XXH3_freeState(hash);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_at_every_split),
		cmocka_unit_test(lengths_count_only_where_they_are_asked_for),
		cmocka_unit_test(notes_do_not_count_in_the_digest),
		cmocka_unit_test(fields_are_read),
		cmocka_unit_test(long_ones),
		cmocka_unit_test(what_comes_in_is_quoted),
		cmocka_unit_test(bodies_survive_the_way_in_and_out),
		cmocka_unit_test(from_lines_are_written),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
