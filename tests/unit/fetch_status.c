#include "unit.h"

#include "fetch/status.h"

#include <stdlib.h>
#include <string.h>

static char shown[8192];

static FILE *
begin(void)
{
	memset(shown, 0, sizeof(shown));
	FILE *f = fmemopen(shown, sizeof(shown) - 1, "w");
	assert_non_null(f);
	return f;
}

static struct account_figures
figures(void)
{
	struct account_figures f = {
		.on_server = 12, .due = 3, .oldest_undelivered_s = 400000};

	f.by_stage[KNOWN_SEEN] = 4;
	f.by_stage[KNOWN_INTENDED] = 1;
	f.by_stage[KNOWN_QUARANTINED] = 2;
	f.r.count = 17;
	f.r.collected = 1204;
	f.r.last_success_s = 1000000 - 180;
	f.r.last_try_s = 1000000 - 59;
	f.r.next_poll_s = 1000000 + 7200;
	f.r.failures = 2;
	snprintf(f.r.last_error, sizeof(f.r.last_error), "no\x1b[2J way");
	return f;
}

static void
the_table(void **state)
{
	(void)state;
	struct fetch_command c = {.task = FETCH_STATUS};
	struct account_figures f = figures();
	FILE *to = begin();

	status_head(to, &c);
	status_row(to, &c, "work", &f, 1000000);
	status_row(to, &c, "new\nline", NULL, 1000000);
	fclose(to);
	assert_string_equal(shown,
		"ACCOUNT                     SUCCESS     NEXT     NEW    KEPT     DUE   "
		"ASIDE COLLECTED OLDEST NEW\n"
		"work                         3m ago    in 2h       5      12       3   "
		"    2      1204     6d ago\n"
		"    2 failures, the last 59s ago: no?[2J way\n"
		"new?line                      never\n");
}

static void
json(void **state)
{
	(void)state;
	struct fetch_command c = {.task = FETCH_STATUS, .settings.json = true};
	struct account_figures f = figures();
	FILE *to = begin();

	status_head(to, &c);
	status_row(to, &c, "work", &f, 1000000);
	fclose(to);
	assert_string_equal(shown,
		"{\"account\":\"work\",\"last_success\":\"1970-01-12T13:43:40Z\","
		"\"last_try\":\"1970-01-12T13:45:41Z\","
		"\"next_poll\":\"1970-01-12T15:46:40Z\",\"on_server\":17,\"new\":5,"
		"\"kept\":12,\"due\":3,\"quarantined\":2,\"skipped\":0,"
		"\"collected\":1204,\"collected_octets\":0,"
		"\"oldest_undelivered\":\"1970-01-05T15:06:40Z\",\"failures\":2,"
		"\"last_error\":\"no\\u001b[2J way\"}\n");
}

static void
a_listing(void **state)
{
	(void)state;
	static uint8_t text[] = "uid\x07one";
	struct mail at[3] = {
		{.number = 1,
			.size = 4096,
			.uid_n = 7,
			.plan = MAIL_FETCH,
			.delete_too = 1,
			.reason = "new"},
		{.number = 0},
		{.number = 3, .size = MAIL_NO_SIZE, .plan = MAIL_LEAVE},
	};
	struct mails m = {.at = at, .n = 3, .count = 2, .text = text};
	FILE *to = begin();

	status_list(to, false, "work", &m);
	fclose(to);
	assert_string_equal(shown,
		"work: 2 mails\n"
		"       1         4096  uid?one                                   fetch, "
		"delete: new\n"
		"       3            ?                                            "
		"leave\n");
	to = begin();
	status_list(to, true, "work", &m);
	fclose(to);
	assert_string_equal(shown,
		"{\"account\":\"work\",\"message\":1,\"octets\":4096,\"uid\":"
		"\"uid\\u0007one\","
		"\"plan\":\"fetch, delete\",\"why\":\"new\"}\n"
		"{\"account\":\"work\",\"message\":3,\"plan\":\"leave\"}\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table),
		cmocka_unit_test(json),
		cmocka_unit_test(a_listing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
