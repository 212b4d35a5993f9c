/* What restante-auth-command is told, what restante-auth-krb5 remembers, what PAM is
 * asked. */
#include "unit.h"

#include "helper/command.h"
#include "helper/krb5_replay.h"
#include "helper/pam.h"

#include <stdio.h>
#include <string.h>

#define OWN 64900

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static const char *
read_reply(struct view reply, bool lookup, struct buf *line)
{
	return command_reply_read(reply, VIEW("anna"), lookup, OWN, line);
}

static void
test_replies(void **state)
{
	static const struct {
		struct view reply;
		bool lookup;
		const char *line; /* its beginning */
	} rows[] = {
		{VIEW("uid=64900\0gid=64900\0"), false, "anna::::::"},
		{VIEW("uid=5000\0gid=5001\0"), false, "anna::5000:5001::"},
		{VIEW("uid=64900\0gid=100\0userdb_uid=7\0userdb_gid=8\0"), false,
			"anna::7:8::"},
		{VIEW("uid=64900\0gid=100\0USER=berta\0HOME=/h\0"), false,
			"berta::::"
			":/h:"},
		{VIEW("HOME=/h\0userdb_home=/g\0"), false,
			"anna::::"
			":/g:"},
		{VIEW("AUTHORIZED=2\0USER=anna\0"), true, "anna:"},
		{VIEW("userdb_mail=maildir:/a\0userdb_x=1\0"), false,
			"anna:::::::userdb_mail=maildir:/a userdb_x=1"},
	};
	uint8_t storage[8192];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf line = buf_over(storage, sizeof(storage));
		assert_null(read_reply(rows[i].reply, rows[i].lookup, &line));
		size_t n = strlen(rows[i].line);
		assert_true(line.n >= n);
		assert_memory_equal(storage, rows[i].line, n);
	}
}

static void
test_replies_that_are_none(void **state)
{
	static const struct {
		struct view reply;
		bool lookup;
		const char *words;
	} rows[] = {
		{VIEW("uid=1"), false, "cut off"},
		{VIEW("uid\0"), false, "malformed"},
		{VIEW("\0"), false, "malformed"},
		{VIEW("USER=a:b\0"), false, "colon"},
		{VIEW("HOME=/a\nb\0"), false, "colon"},
		{VIEW("userdb_mail=maildir:/a b\0"), false, "blank"},
		{VIEW("userdb_mail=a\nb\0"), false, "blank"},
		{VIEW("AUTHORIZED=1\0"), true, "lookups"},
		{VIEW("USER=anna\0"), true, "lookups"},
	};
	uint8_t storage[8192];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf line = buf_over(storage, sizeof(storage));
		const char *wrong = read_reply(rows[i].reply, rows[i].lookup, &line);
		assert_non_null(wrong);
		assert_non_null(strstr(wrong, rows[i].words));
	}
}

static void
test_replays(void **state)
{
	static struct krb5_replays r;
	uint64_t a = krb5_replay_hash(VIEW("pop/x"), VIEW("anna"), 1000, 5);

	(void)state;
	assert_int_not_equal(a, krb5_replay_hash(VIEW("pop/x"), VIEW("anna"), 1000, 6));
	assert_int_not_equal(a, krb5_replay_hash(VIEW("pop/x"), VIEW("anna"), 1001, 5));
	assert_int_not_equal(a, krb5_replay_hash(VIEW("pop/"), VIEW("xanna"), 1000, 5));
	assert_int_equal(krb5_replay_add(&r, a, 1000, 1000), KRB5_NEW);
	assert_int_equal(krb5_replay_add(&r, a, 1000, 1000), KRB5_SEEN);
	/* As long as its own time would be believed, and no longer. */
	assert_int_equal(krb5_replay_add(&r, a, 1000, 1000 + KRB5_SKEW_S + 1), KRB5_SEEN);
	assert_int_equal(krb5_replay_add(&r, a, 1000, 1000 + KRB5_SKEW_S + 2), KRB5_NEW);
	/* From the future: remembered until it is old. */
	assert_int_equal(krb5_replay_add(&r, a + 1, 2000 + KRB5_SKEW_S, 2000), KRB5_NEW);
	assert_int_equal(
		krb5_replay_add(&r, a + 1, 2000 + KRB5_SKEW_S, 2000 + 2 * KRB5_SKEW_S),
		KRB5_SEEN);
}

static void
test_replays_without_room(void **state)
{
	static struct krb5_replays r;

	(void)state;
	for (uint64_t i = 0; i < KRB5_REPLAYS_MAX; i += 64)
		assert_int_equal(krb5_replay_add(&r, i, 1000, 1000), KRB5_NEW);
	for (; r.n < KRB5_REPLAYS_MAX; r.n++)
		r.of[r.n] = (struct krb5_replay){r.n * 64 + 1, 1301};
	assert_int_equal(krb5_replay_add(&r, 7, 1000, 1000), KRB5_NO_ROOM);
	assert_int_equal(krb5_replay_add(&r, 64, 1000, 1000), KRB5_SEEN);
	assert_int_equal(krb5_replay_add(&r, 7, 1400, 1400), KRB5_NEW);
	assert_int_equal(r.n, 1);
}

static void
test_account_names(void **state)
{
	static const char *const bad[] = {"", "-a", ".", "..", "a/b", "a:b", "a b", "a,b",
		"a\tb", "a\x7F", "abcdefghijklmnopqrstuvwxyz0123456"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pam_name_may(text(bad[i])));
	assert_false(pam_name_may((struct view){(const uint8_t *)"a\0b", 3}));
	assert_true(pam_name_may(text("abcdefghijklmnopqrstuvwxyz012345")));
	assert_true(pam_name_may(text("anna.b-c_d")));
}

/* Who asks in another spelling than the name service's is not the same user to us. */
static void
test_accounts_of_a_name_service_that_ignores_case(void **state)
{
	static const struct {
		const char *asked, *found;
		uid_t uid;
		const char *words; /* NULL: he is a user */
	} rows[] = {
		{"anna", "anna", 1000, NULL},
		{"Anna", "anna", 1000, "another spelling"},
		{"anna", "Anna", 1000, "another spelling"},
		{"Anna", "Anna", 1000, NULL},
		{"anna", "berta", 1000, "another spelling"},
		{"anna", "anna2", 1000, "another spelling"},
		{"anna", "", 1000, "another spelling"},
		{"root", "root", 0, "uid 0"},
		{"toor", "root", 0, "another spelling"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "%s", rows[i].found);
		const struct passwd found = {.pw_name = name, .pw_uid = rows[i].uid};
		const char *why = pam_account_refusal(rows[i].asked, &found);
		if (rows[i].words)
			assert_true(why && strstr(why, rows[i].words));
		else
			assert_null(why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_replies_that_are_none),
		cmocka_unit_test(test_replays),
		cmocka_unit_test(test_replays_without_room),
		cmocka_unit_test(test_account_names),
		cmocka_unit_test(test_accounts_of_a_name_service_that_ignores_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
