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

	pop3_line_start(&l, POP3_OK);
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

	pop3_line_start(&l, POP3_OK);
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

	pop3_put_reply(POP3_OK_BYE, &out);
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

	for (int r = 0; r < POP3_REPLIES; r++) {
		struct buf out = buf_over(storage, sizeof(storage));
		pop3_put_reply((enum pop3_reply)r, &out);
		assert_in_range(out.n, 5, 120);
		assert_memory_equal(storage + out.n - 2, "\r\n", 2);
		const uint8_t *bracket = memchr(storage, '[', out.n);
		bool known = false;
		for (size_t i = bracket ? 2 : 0; i < (bracket ? 7 : 2); i++)
			known = known ||
				memcmp(storage, starts[i], strlen(starts[i])) == 0;
		assert_true(known);
	}
}

static void
greeting_has_no_stamp(void **state)
{
	(void)state;
	struct pop3_server_options o = {.hostname = VIEW("<1.2@[host]>\r\n")};
	struct buf out = buf_over(storage, sizeof(storage));

	pop3_put_greeting(&o, &out);
	assert_wrote(&out,
		"+OK POP3 server ?1.2@?host??"
		"?? ready\r\n");
	o.hostname = (struct view){0};
	out = buf_over(storage, sizeof(storage));
	pop3_put_greeting(&o, &out);
	assert_wrote(&out, "+OK POP3 server ready\r\n");
}

static void
challenge_keeps_its_blank(void **state)
{
	(void)state;
	struct buf out = buf_over(storage, sizeof(storage));

	pop3_put_challenge((struct view){0}, &out);
	pop3_put_challenge(VIEW("foo"), &out);
	assert_wrote(&out, "+ \r\n+ Zm9v\r\n");
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
		cmocka_unit_test(challenge_keeps_its_blank),
		cmocka_unit_test(rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
