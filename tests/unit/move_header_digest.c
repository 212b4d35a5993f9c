/*
 * One message has one digest, whatever its server does to line ends and fields of its
 * own.
 */
#include "unit.h"

#include "base/check.h"
#include "move/compare_users.h"
#include "move/header_digest.h"
#include "move/show.h"

#include <string.h>

struct digests {
	uint8_t header[MESSAGE_DIGEST_OCTETS], whole[MESSAGE_DIGEST_OCTETS];
};

static struct digests
digest(const char *text, size_t step)
{
	struct header_digest d;
	struct digests ret;
	size_t n = strlen(text);

	assert_int_equal(header_digest_start(&d, true), 0);
	for (size_t at = 0; at < n; at += step)
		header_digest_take(&d,
			(struct view){(const uint8_t *)text + at,
				n - at < step ? n - at : step});
	assert_int_equal(header_digest_finish(&d, ret.header, ret.whole), 0);
	return ret;
}

static const char mail[] = "From: a\r\nSubject: b\r\n c\r\n\r\nbody\r\n\r\nend\r\n";

static void
same(void **state)
{
	static const char *const texts[] = {
		mail,
		"From: a\nSubject: b\n c\n\nbody\n\nend\n",
		"From: a\nSubject: b\n c\n\nbody\n\nend",
		"From: a\r\nStatus: RO\r\nSubject: b\r\n c\r\n\r\nbody\r\n\r\nend\r\n",
		"X-UIDL: x\n y\n z\nFrom: a\nSubject: b\n c\nX-Status: \n\nbody\n\nend\n",
		"From a@b Sun Nov 22\nFrom: a\nSubject: b\n c\n\nbody\n\nend\n",
		"From: a\nSubject: b\n c\nCONTENT-LENGTH: 10\n\nbody\n\nend\n",
	};
	struct digests want = digest(mail, sizeof(mail));
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t step = 1; step < 30; step++) {
			struct digests got = digest(texts[i], step);
			assert_memory_equal(got.header, want.header, 32);
			assert_memory_equal(got.whole, want.whole, 32);
		}
}

static void
other_headers(void **state)
{
	static const char *const texts[] = {
		"",
		"From: a\r\nSubject: b\r\n d\r\n\r\nbody\r\n\r\nend\r\n",
		"From: a\r\nSubject: b\r\n c\r\nX: y\r\n\r\nbody\r\n\r\nend\r\n",
		"From: a\r\nSubject: b\r\r\n c\r\n\r\nbody\r\n\r\nend\r\n",
		"Subject: b\r\n c\r\nFrom: a\r\n\r\nbody\r\n\r\nend\r\n",
		"From: a\r\nSubject: b\r\n c\r\nStatus-X: y\r\n\r\nbody\r\n\r\nend\r\n",
		"From: a\nFrom b\nSubject: b\n c\n\nbody\n\nend\n",
	};
	struct digests want = digest(mail, 7);
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct digests got = digest(texts[i], 5);
		assert_memory_not_equal(got.header, want.header, 32);
		assert_memory_not_equal(got.whole, want.whole, 32);
	}
}

static void
other_bodies(void **state)
{
	static const char *const texts[] = {
		"From: a\nSubject: b\n c\n",
		"From: a\nSubject: b\n c\n\n",
		"From: a\nSubject: b\n c\n\nbody\n\nend\n\n",
		"From: a\nSubject: b\n c\n\nbody\n\nend\r",
		"From: a\nSubject: b\n c\n\nbody\nend\n",
		"From: a\nSubject: b\n c\n\nbody\n\nStatus: x\nend\n",
	};
	struct digests want = digest(mail, 7);
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t step = 1; step < 9; step++) {
			struct digests got = digest(texts[i], step);
			assert_memory_equal(got.header, want.header, 32);
			assert_memory_not_equal(got.whole, want.whole, 32);
		}
}

/* The SHA-256 of nothing and of "A: b" CRLF: told apart from a library that does nothing.
 */
static void
known(void **state)
{
	struct digests got = digest("A: b\n\n", 3);
	uint8_t want[32];
	(void)state;

	assert_true(show_hex_read(show_view("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b"
					    "934ca495991b7852b855"),
		want, sizeof(want)));
	assert_memory_equal(digest("\n", 1).header, want, 32);
	assert_true(show_hex_read(show_view("aa3491d63fe76b46df32685f050a81d28a70c9a978d1"
					    "4def67be149c79fdf81d"),
		want, sizeof(want)));
	assert_memory_equal(got.header, want, 32);
}

static bool
is(struct view v, const char *text)
{
	return v.n == strlen(text) &&
		memcmp(v.p ? (const char *)v.p : "", text, v.n) == 0;
}

static void
users_lines(void **state)
{
	static const struct {
		const char *line, *name, *password; /* name NULL: wrong */
	} rows[] = {
		{"", "", ""},
		{"  \t", "", ""},
		{"# anna:x", "", ""},
		{"anna:secret", "anna", "secret"},
		{"anna:secret\r", "anna", "secret"},
		{"anna:se cret:5000:5000::/home::", "anna", "se cret"},
		{"anna:{PLAIN}secret", "anna", "secret"},
		{"anna:{plain}{x}", "anna", "{x}"},
		{"anna secret", "anna", "secret"},
		{"anna@example.org \t {clear}a:b c", "anna@example.org", "a:b c"},
		{"anna:{SHA512-CRYPT}$6$x", NULL, NULL},
		{"anna:$6$x$y", NULL, NULL},
		{"anna", NULL, NULL},
		{"anna:", NULL, NULL},
		{":secret", NULL, NULL},
		{" anna secret", NULL, NULL},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct view name, password;
		const char *why = NULL;
		bool good = compare_users_line(
			show_view(rows[i].line), true, &name, &password, &why);

		assert_int_equal(good, rows[i].name != NULL);
		if (!good) {
			assert_non_null(why);
			continue;
		}
		assert_true(is(name, rows[i].name));
		assert_true(is(password, rows[i].password));
	}
	struct view name, password;
	const char *why;
	assert_true(compare_users_line(
		show_view("anna:{SSHA}x:1"), false, &name, &password, &why));
	assert_true(is(name, "anna"));
	assert_int_equal(password.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same),
		cmocka_unit_test(other_headers),
		cmocka_unit_test(other_bodies),
		cmocka_unit_test(known),
		cmocka_unit_test(users_lines),
	};

	return cmocka_run_group_tests_name("move_header_digest", tests, NULL, NULL);
}
