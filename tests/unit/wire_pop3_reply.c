#include "unit.h"

#include "base/buf.h"
#include "pop3/server.h"

#include <string.h>

static uint8_t storage[4096];

static void
assert_wrote(const struct buf *out, const char *want)
{
	assert_false(out->full);
	assert_int_equal(out->n, strlen(want));
	assert_memory_equal(out->p, want, out->n);
}

static void
foreign_octets_do_not_get_out(void **state)
{
	(void)state;
	struct buf out = buf_over(storage, sizeof(storage));
	struct pop3_line l;

	pop3_line_start(&l, POP3_OK, POP3_ENGLISH);
	pop3_line_view(&l, VIEW(" a\r\n-ERR b\x1b[2J\x7f\x80\xff\0z"));
	pop3_line_number(&l, UINT64_MAX);
	pop3_line_end(&l, &out);
	assert_wrote(&out,
		"+OK a?"
		"?-ERR b?[2J?"
		"???z18446744073709551615\r\n");
}

static void
line_is_cut_at_512(void **state)
{
	(void)state;
	struct buf out = buf_over(storage, sizeof(storage));
	struct pop3_line l;

	pop3_line_start(&l, POP3_OK, POP3_ENGLISH);
	for (int i = 0; i < 100; i++)
		pop3_line_text(&l, "0123456789");
	pop3_line_end(&l, &out);
	assert_int_equal(out.n, 512);
	assert_memory_equal(storage + 510, "\r\n", 2);
}

static void
line_goes_out_whole_or_not_at_all(void **state)
{
	(void)state;
	struct buf out = buf_over(storage, 6);

	pop3_put_reply(POP3_OK_BYE, POP3_ENGLISH, &out);
	assert_true(out.full);
	assert_int_equal(out.n, 0);
}

/* RFC 2449 s.8, RFC 3206: the codes that exist; -ERR and +OK in upper case. */
static void
every_row_is_a_reply(void **state)
{
	(void)state;
	static const char *const starts[] = {"+OK", "-ERR", "-ERR [AUTH] ",
		"-ERR [IN-USE] ", "-ERR [LOGIN-DELAY] ", "-ERR [SYS/TEMP] ",
		"-ERR [SYS/PERM] "};

	for (int i = 0; i < POP3_REPLIES * POP3_LANGUAGES; i++) {
		struct buf out = buf_over(storage, sizeof(storage));
		pop3_put_reply((enum pop3_reply)(i / POP3_LANGUAGES),
			(enum pop3_language)(i % POP3_LANGUAGES), &out);
		for (size_t k = 0; k + 2 < out.n; k++)
			assert_true(storage[k] != '?'); /* ASCII needs no UTF8 */
		assert_in_range(out.n, 5, 120);
		assert_memory_equal(storage + out.n - 2, "\r\n", 2);
		const uint8_t *bracket = memchr(storage, '[', out.n);
		bool known = false;
		for (size_t k = bracket ? 2 : 0; k < (bracket ? 7 : 2); k++)
			known = known ||
				memcmp(storage, starts[k], strlen(starts[k])) == 0;
		assert_true(known);
	}
}

static void
greeting_has_no_stamp(void **state)
{
	(void)state;
	struct pop3_server_options o = {.hostname = VIEW("<1.2@[host]>\r\n")};
	struct buf out = buf_over(storage, sizeof(storage));
	struct pop3_link link = {0};
	struct pop3_server s;

	pop3_server_init(&s, &o, &link);
	pop3_put_greeting(&s, (struct view){0}, &out);
	assert_wrote(&out,
		"+OK POP3 server ?1.2@?host??"
		"?? ready\r\n");
	o.hostname = (struct view){0};
	out = buf_over(storage, sizeof(storage));
	pop3_put_greeting(&s, (struct view){0}, &out);
	assert_wrote(&out, "+OK POP3 server ready\r\n");
}

/* The stamp is whole at any length that auth can send: the name of the host gives way. */
static void
stamp_is_never_cut(void **state)
{
	(void)state;
	static uint8_t name[255], stamp[320];
	struct pop3_server_options o = {.hostname = {name, sizeof(name)}};
	struct buf out = buf_over(storage, sizeof(storage));
	struct pop3_link link = {.apop = true};
	struct pop3_server s;

	memset(name, 'h', sizeof(name));
	memset(stamp, '1', sizeof(stamp));
	stamp[0] = '<';
	stamp[319] = '>';
	pop3_server_init(&s, &o, &link);
	pop3_put_greeting(&s, (struct view){stamp, sizeof(stamp)}, &out);
	assert_int_equal(out.n, 22 + 320 + 2);
	assert_memory_equal(storage + 22, stamp, sizeof(stamp));
}

static void
languages_by_range(void **state)
{
	(void)state;
	static const struct {
		const char *range;
		int want; /* -1: none */
	} ranges[] = {{"en", POP3_ENGLISH}, {"DE", POP3_GERMAN}, {"de-AT", POP3_GERMAN},
		{"de-1996-x", POP3_GERMAN}, {"en-GB", POP3_ENGLISH}, {"", -1}, {"d", -1},
		{"deu", -1}, {"-de", -1}, {"fr-de", -1}, {"-", -1}, {"de\xc3", -1}};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		enum pop3_language l = POP3_LANGUAGES;
		struct view v = {
			(const uint8_t *)ranges[i].range, strlen(ranges[i].range)};
		assert_int_equal(pop3_language_find(v, &l), ranges[i].want >= 0);
		assert_int_equal(
			l, ranges[i].want >= 0 ? ranges[i].want : POP3_LANGUAGES);
	}
}

static void
challenge_keeps_its_blank(void **state)
{
	(void)state;
	struct buf out = buf_over(storage, sizeof(storage));

	assert_true(pop3_put_challenge(&(struct pop3_challenge){0}, &out));
	assert_true(
		pop3_put_challenge(&(struct pop3_challenge){.left = VIEW("foo")}, &out));
	assert_wrote(&out, "+ \r\n+ Zm9v\r\n");
}

/* At every room, down to what a group of four needs, the pieces are the whole. */
static void
challenge_goes_in_pieces(void **state)
{
	(void)state;
	static uint8_t octets[1000], whole[1400];
	struct buf all = buf_over(whole, sizeof(whole));

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 7);
	assert_true(pop3_put_challenge(
		&(struct pop3_challenge){.left = {octets, sizeof(octets)}}, &all));
	for (size_t room = 8; room < 200; room++) {
		struct pop3_challenge c = {.left = {octets, sizeof(octets)}};
		size_t at = 0;
		bool done = false;
		while (!done) {
			struct buf out = buf_over(storage, room);
			done = pop3_put_challenge(&c, &out);
			assert_false(out.full);
			assert_true(out.n > 0);
			assert_true(at + out.n <= all.n);
			assert_memory_equal(storage, whole + at, out.n);
			at += out.n;
		}
		assert_int_equal(at, all.n);
	}
}

static void
rows(void **state)
{
	(void)state;
	struct buf out = buf_over(storage, sizeof(storage));

	pop3_put_size_row(1, UINT64_C(9000000000000000000), &out);
	pop3_put_uidl_row(4000000, VIEW("."), &out);
	pop3_put_end(&out);
	assert_wrote(&out, "1 9000000000000000000\r\n4000000 .\r\n.\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(foreign_octets_do_not_get_out),
		cmocka_unit_test(line_is_cut_at_512),
		cmocka_unit_test(line_goes_out_whole_or_not_at_all),
		cmocka_unit_test(every_row_is_a_reply),
		cmocka_unit_test(greeting_has_no_stamp),
		cmocka_unit_test(stamp_is_never_cut),
		cmocka_unit_test(languages_by_range),
		cmocka_unit_test(challenge_goes_in_pieces),
		cmocka_unit_test(challenge_keeps_its_blank),
		cmocka_unit_test(rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
