/*
 * Whether an account has changed: every option counts.
 */
#include "unit.h"

#include "base/check.h"
#include "fetch/account_same.h"

#include <string.h>

static struct fetch_account
account(void)
{
	return (struct fetch_account){
		.name = "a",
		.host = "pop.example.org",
		.port = 995,
		.user = "anna",
		.password = {.fd = -1},
		.auth = "",
		.recipient = "",
		.sender = "",
		.smtp_password = {.fd = -1},
		.targets_n = 1,
		.targets = {{FETCH_MAILDIR, "/m", "maildir:/m"}},
		.tls_options = {.pins = {{1}}, .pins_n = 1},
	};
}

static void
texts_are_compared_by_their_octets(void **state)
{
	char host[] = "pop.example.org", target[] = "maildir:/m";
	struct fetch_account a = account(), b = account();
	(void)state;

	b.host = host;
	b.targets[0].text = target;
	assert_true(account_same(&a, &b));
	/* What lies behind the last target and the last pin is nothing. */
	b.targets[1].text = "mbox:/m";
	b.tls_options.pins[1][0] = 7;
	assert_true(account_same(&a, &b));
}

#define DIFFERS(member, value)                                                           \
	do {                                                                             \
		struct fetch_account a_ = account(), b_ = account();                     \
		b_.member = (value);                                                     \
		assert_false(account_same(&a_, &b_));                                    \
		assert_false(account_same(&b_, &a_));                                    \
	} while (0)

static void
texts_that_differ(void **state)
{
	(void)state;
	DIFFERS(name, "b");
	DIFFERS(host, "pop.example.com");
	DIFFERS(user, "anne");
	DIFFERS(password.file, "/f");
	DIFFERS(password.command, "pass");
	DIFFERS(password.credential, "c");
	DIFFERS(password.text, "secret");
	DIFFERS(token_command, "token");
	DIFFERS(tls_options.ca_file, "/ca");
	DIFFERS(tls_options.certificate, "/cert");
	DIFFERS(tls_options.key, "/key");
	DIFFERS(auth, "PLAIN");
	DIFFERS(socks5, "proxy:1080");
	DIFFERS(targets[0].text, "maildir:/n");
	DIFFERS(recipient, "r");
	DIFFERS(sender, "s");
	DIFFERS(smtp_user, "anna");
	DIFFERS(smtp_password.file, "/f");
	DIFFERS(smtp_password.command, "pass");
	DIFFERS(smtp_password.credential, "c");
	DIFFERS(smtp_password.text, "secret");
	DIFFERS(filter, "spam");
}

static void
values_that_differ(void **state)
{
	(void)state;
	DIFFERS(port, 110);
	DIFFERS(password.fd, 3);
	DIFFERS(smtp_password.fd, 3);
	DIFFERS(tls, FETCH_TLS_NONE);
	DIFFERS(smtp_tls, FETCH_TLS_NONE);
	DIFFERS(tls_options.pins_n, 0);
	DIFFERS(tls_options.pins[0][TLS_PIN_OCTETS - 1], 9);
	DIFFERS(targets_n, 0);
	DIFFERS(apop, true);
	DIFFERS(plaintext, true);
	DIFFERS(forget_tls, true);
	DIFFERS(retry_aside, true);
	DIFFERS(recent, true);
	DIFFERS(drop_from_line, true);
	DIFFERS(line_ends, FETCH_LINE_ENDS_CRLF);
	DIFFERS(trace, FETCH_TRACE_NO);
	DIFFERS(order, FETCH_ORDER_NEWEST);
	DIFFERS(window, 7);
	DIFFERS(tries, 7);
}

static void
policies_that_differ(void **state)
{
	(void)state;
	DIFFERS(keep, true);
	DIFFERS(adopt, true);
	DIFFERS(dry_run, true);
	DIFFERS(delete_after_ms, 7);
	DIFFERS(delete_larger, 7);
	DIFFERS(skip_larger, 7);
	DIFFERS(keep_newest, 7);
	DIFFERS(commit_messages, 7);
	DIFFERS(commit_after_ms, 7);
	DIFFERS(messages_max, 7);
	DIFFERS(tombstones_ms, 7);
	DIFFERS(timeout_ms, 7);
	DIFFERS(program_timeout_ms, 7);
	DIFFERS(poll_ms, 7);
	DIFFERS(poll_min_ms, 7);
	DIFFERS(poll_max_ms, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_compared_by_their_octets),
		cmocka_unit_test(texts_that_differ),
		cmocka_unit_test(values_that_differ),
		cmocka_unit_test(policies_that_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
