/* What an MTA put before a message that it pipes. */
#include "unit.h"

#include "deliver/deliver_head.h"

#include <string.h>

static void
heads_are_read(void **state)
{
	static const struct {
		struct view start, recipient;
		size_t from_line;
		bool return_path, recipient_there;
	} rows[] = {
		{VIEW("Subject: a\n\nx"), VIEW("r@d"), 0, false, false},
		{VIEW("From s Mon Jan 1\nSubject: a\n"), VIEW("r"), 17, false, false},
		{VIEW("From s Mon Jan 1\r\nReturn-Path: <s>\r\n"), VIEW("r"), 18, true,
			false},
		/* A header field that only begins alike, and a line that is cut. */
		{VIEW("From: s\n"), VIEW("r"), 0, false, false},
		{VIEW("From s"), VIEW("r"), 0, false, false},
		{VIEW("Return-Path: <s>"), VIEW("r"), 0, false, false},
		{VIEW("return-PATH:<s>\nDelivered-to:\t R@D \n"), VIEW("r@d"), 0, true,
			true},
		{VIEW("Delivered-To: other\nDelivered-To: r\n"), VIEW("r"), 0, false,
			true},
		{VIEW("Delivered-To: r2\n"), VIEW("r"), 0, false, false},
		{VIEW("Return-Path : <s>\nReturn-Paths: <s>\n"), VIEW("r"), 0, false,
			false},
		/* Below the first Received they are of another delivery; so in the body.
		 */
		{VIEW("Received: x\nReturn-Path: <s>\n"), VIEW("r"), 0, false, false},
		{VIEW("\nReturn-Path: <s>\n"), VIEW("r"), 0, false, false},
		{VIEW("\r\nDelivered-To: r\n"), VIEW("r"), 0, false, false},
		{VIEW(""), VIEW(""), 0, false, false},
	};
	struct deliver_head head;
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		deliver_head_read(rows[i].start, rows[i].recipient, &head);
		assert_int_equal(head.from_line, rows[i].from_line);
		assert_int_equal(head.has_return_path, rows[i].return_path);
		assert_int_equal(head.has_recipient, rows[i].recipient_there);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
