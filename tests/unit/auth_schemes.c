#include "unit.h"

#include "auth/encoding.h"
#include "auth/scheme.h"

#include <stdlib.h>
#include <string.h>

/* Made by other programs: openssl passwd, libcrypt from Python, hashlib, argon2's own
 * tests. */
static const struct {
	const char *stored, *password;
} right[] = {
	{"{PLAIN}test", "test"},
	{"{plain}te:st}{ ", "te:st}{ "},
	{"{CLEARTEXT}test", "test"},
	{"{PLAIN.b64}dGVzdA==", "test"},
	{"{PLAIN.base64}dGVzdA", "test"},
	{"{PLAIN.HEX}74657374", "test"},
	{"{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", "test"},
	{"{SHA1}qUqP5cyxm6YcTAhz05Hph5gvu9M=", "test"},
	{"{SHA1.hex}a94a8fe5ccb19ba61c4c0873d391e987982fbbd3", "test"},
	{"{SHA1}A94A8FE5ccb19ba61c4c0873d391e987982fbbd3", "test"},
	{"{SSHA}9YXuJIMxdDUN2UTYFe5OtQSMfxZzYWx0c2FsdA==", "test"},
	{"{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", "test"},
	{"{SHA256.hex}9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"test"},
	{"{SSHA256}xC+zI/3otfSn04tPigpaGLPDkBuF7d+OnI9pqyKsAwlzYWx0c2FsdA==", "test"},
	{"{SSHA256.hex}"
	 "c42fb323fde8b5f4a7d38b4f8a0a5a18b3c3901b85eddf8e9c8f69ab22ac030973616c7473616c7"
	 "4",
		"test"},
	{"{SHA512}7iaw3Ur350mqGo7jwQrpkj9hiYB3Lkc/iBml1JQODbJ6wYX4oOHV+E+IvIh/"
	 "1nsUNzLDBMxfqa2Ob1f1ACio/w==",
		"test"},
	{"{SSHA512}qWwv8RJmIrdxkMnpdAlJ6F/o1ojlCxB+"
	 "JAwYsklUnOdiSM3BKkqCuia9Z9oxOjwF9qmSgFNH5BIhsuAVf6XQ3XNhbHRzYWx0",
		"test"},
	{"{PLAIN-MD5}098f6bcd4621d373cade4e832627b4f6", "test"},
	{"{LDAP-MD5}CY9rzUYh03PK3k6DJie09g==", "test"},
	{"{SMD5}8cxX1YnJHmqho6VRllwrYXNhbHRzYWx0", "test"},
	{"{PBKDF2}$1$salt$5000$79d533fda216bb568f2403fe0a29b0174d9f31ab", "test"},
	{"$6$saltsalt$JcVDtuB6d1BHhCd5RPBh8g8xX/1CbY8EU2PN0MTaj2/Mypw4P./"
	 "C6dN4j0HALhzBDTocyW1Jm.gYaTPjFGCV40",
		"test"},
	{"{SHA512-CRYPT}$6$rounds=1000$saltsalt$Te1vwTltwwzaPWfs3cfy/"
	 "X4FqERvA.6otOfZ17oeoO4EtybQ/TDjqSkN7ryyM2zfP19AF5pdFzZZ63gIt38sZ/",
		"test"},
	{"{SHA256-CRYPT}$5$saltsalt$q6kNPzk9GPb3dpYKO2TUS45z2kiVxsUVz7eWVJcih.0", "test"},
	{"{CRYPT.b64}"
	 "JDUkc2FsdHNhbHQkcTZrTlB6azlHUGIzZHBZS08yVFVTNDV6MmtpVnhzVVZ6N2VXVkpjaWguMA"
	 "==",
		"test"},
	{"{MD5-CRYPT}$1$saltsalt$tTWg0JeO/sYmHvtKmZE8c.", "test"},
	{"$1$saltsalt$tTWg0JeO/sYmHvtKmZE8c.[34]", "test"},
	{"{DES-CRYPT}abgOeLfPimXQo", "test"},
	{"abgOeLfPimXQo[13]", "test"},
	{"_J9..salthGVxOQgfL1M", "test"},
	{"{BLF-CRYPT}$2y$04$abcdefghijklmnopqrstuuoD8yw7MmybLKVooaTGGZAt3HXugv2.a",
		"test"},
	{"{CRYPT}$2a$04$abcdefghijklmnopqrstuuoD8yw7MmybLKVooaTGGZAt3HXugv2.a", "test"},
	{"{CRYPT}$2b$04$abcdefghijklmnopqrstuuoD8yw7MmybLKVooaTGGZAt3HXugv2.a", "test"},
	{"$y$j75$saltsalt$IKUycTGsp/26fViG1D3x4Zq3aZro94uxR9TF8Hv.lE7", "test"},
	{"$gy$j75$saltsalt$d2FP1DXoV9rlFGPxE/sqyo8NPGfDUgpT/DShxRi4IV1", "test"},
	{"$7$2/..../....saltsalt$g0PZp3U5dpmTX1w3SaDD1ZGUXz/ssNLDft29kkgVqs8", "test"},
	{"$sha1$100$saltsalt$of0QFN9E1fBHC/c4yjERl218kJm2", "test"},
	{"$md5,rounds=10$saltsalt$$r1p.3uQfg8mG6hphJADXq.", "test"},
	{"{ARGON2I}$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+"
	 "sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
		"password"},
	{"{ARGON2ID}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/"
	 "uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"password"},
	{"{argon2id}$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/"
	 "0ttZwg2f/5U52iv1cDc",
		"password"},
};

static const struct {
	const char *stored;
	enum scheme_fault fault;
	const char *name;
} wrong[] = {
	{"", SCHEME_EMPTY, "CRYPT"},
	{"{PLAIN}", SCHEME_EMPTY, "PLAIN"},
	{"{PLAIN.b64}", SCHEME_EMPTY, "PLAIN.b64"},
	{"!$6$x$y", SCHEME_LOCKED, "CRYPT"},
	{"*", SCHEME_LOCKED, "CRYPT"},
	{"{CRYPT}*LK*", SCHEME_LOCKED, "CRYPT"},
	{"{ROT13}grfg", SCHEME_UNKNOWN, "ROT13"},
	{"{}test", SCHEME_UNKNOWN, ""},
	{"{PLAIN.b32}x", SCHEME_UNKNOWN, "PLAIN.b32"},
	{"{.hex}x", SCHEME_UNKNOWN, ".hex"},
	{"{PLAIN.}x", SCHEME_UNKNOWN, "PLAIN."},
	{"{PLAIN", SCHEME_BAD, ""},
	{"x", SCHEME_BAD, "CRYPT"},
	{"secret", SCHEME_OK, "CRYPT"}, /* looks like the old DES form */
	{"$9$saltsalt$hash", SCHEME_BAD, "CRYPT"},
	{"{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M", SCHEME_OK, "SHA"},
	{"{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9", SCHEME_BAD, "SHA"},
	{"{SHA}qUqP5cyxm6Yc=Ahz05Hph5gvu9M=", SCHEME_BAD, "SHA"},
	{"{SHA1.hex}a94a8fe5ccb19ba61c4c0873d391e987982fbbd", SCHEME_BAD, "SHA1.hex"},
	{"{SHA1.hex}g94a8fe5ccb19ba61c4c0873d391e987982fbbd3", SCHEME_BAD, "SHA1.hex"},
	{"{SSHA}c2hvcnQ=", SCHEME_BAD, "SSHA"},
	{"{PBKDF2}$1$salt$0$79d533fda216bb568f2403fe0a29b0174d9f31ab", SCHEME_BAD,
		"PBKDF2"},
	{"{PBKDF2}$2$salt$5$79d533fda216bb568f2403fe0a29b0174d9f31ab", SCHEME_BAD,
		"PBKDF2"},
	{"{PBKDF2}$1$salt$5$79d533fda216bb568f2403fe0a29b0174d9f31", SCHEME_BAD,
		"PBKDF2"},
	{"{PBKDF2}$1$salt$5$79d533fda216bb568f2403fe0a29b0174d9f31ab$", SCHEME_BAD,
		"PBKDF2"},
	{"{PBKDF2}$1$salt$100000001$79d533fda216bb568f2403fe0a29b0174d9f31ab",
		SCHEME_COSTLY, "PBKDF2"},
	{"$2y$21$abcdefghijklmnopqrstuu", SCHEME_COSTLY, "CRYPT"},
	{"$6$rounds=100000001$saltsalt$x", SCHEME_COSTLY, "CRYPT"},
	{"$5$rounds=999999999$saltsalt$x", SCHEME_COSTLY, "CRYPT"},
	{"$y$jGT$saltsalt$x", SCHEME_COSTLY, "CRYPT"}, /* 2^19 times 4 KiB: 2 GiB */
	{"$y$jFT$saltsalt$x", SCHEME_OK, "CRYPT"},     /* 1 GiB */
	{"$7$M6..../....saltsalt$x", SCHEME_COSTLY, "CRYPT"},
	{"{ARGON2ID}$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+"
	 "sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
		SCHEME_BAD, "ARGON2ID"},
	{"{ARGON2I}$argon2i$v=18$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+"
	 "sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
		SCHEME_BAD, "ARGON2I"},
	{"{ARGON2I}$argon2i$v=19$m=1,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+"
	 "sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
		SCHEME_BAD, "ARGON2I"},
	{"{ARGON2I}$argon2i$v=19$m=1048577,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+"
	 "sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
		SCHEME_COSTLY, "ARGON2I"},
	{"{ARGON2I}$argon2i$v=19$m=256,t=5000,p=1$c29tZXNhbHQ$iekCn0Y3spW+"
	 "sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
		SCHEME_COSTLY, "ARGON2I"},
	{"{ARGON2I}$argon2i$v=19$m=256,t=2$c29tZXNhbHQ$iekCn0Y3spW+"
	 "sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
		SCHEME_BAD, "ARGON2I"},
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
right_passwords_are_taken_and_others_not(void **state)
{
	(void)state;
	struct scheme_work *w = scheme_work_new();
	assert_non_null(w);
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		struct stored s;
		struct view name;
		char other[64];
		size_t n = strlen(right[i].password);
		assert_int_equal(
			scheme_read(view_of(right[i].stored), &s, &name), SCHEME_OK);
		assert_int_equal(
			scheme_verify(&s, view_of(right[i].password), w), SCHEME_YES);
		memcpy(other, right[i].password, n + 1);
		other[n] = 0;
		other[n + 1] = 'x';
		/* A NUL and more behind it is another password. */
		struct view longer = {(uint8_t *)other, n + 2};
		assert_int_equal(scheme_verify(&s, longer, w), SCHEME_NO);
		assert_int_equal(
			scheme_verify(&s, (struct view){longer.p, n - 1}, w), SCHEME_NO);
		assert_int_equal(
			scheme_verify(&s, (struct view){longer.p, 0}, w), SCHEME_NO);
		other[0] ^= 1;
		assert_int_equal(
			scheme_verify(&s, (struct view){longer.p, n}, w), SCHEME_NO);
	}
	scheme_work_free(&w);
	assert_null(w);
}

static void
wrong_stored_passwords_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct stored s;
		struct view name;
		enum scheme_fault fault =
			scheme_read(view_of(wrong[i].stored), &s, &name);
		if (fault != wrong[i].fault)
			print_message("# %s\n", wrong[i].stored);
		assert_int_equal(fault, wrong[i].fault);
		assert_int_equal(name.n, strlen(wrong[i].name));
		assert_memory_equal(name.p, wrong[i].name, name.n);
	}
}

static void
a_stored_password_has_a_limit(void **state)
{
	(void)state;
	char *text = malloc(SCHEME_OCTETS_MAX + 16);
	struct stored s;
	struct view name;
	memcpy(text, "{PLAIN}", 7);
	memset(text + 7, 'x', SCHEME_OCTETS_MAX + 1);
	struct view field = {(uint8_t *)text, 7 + SCHEME_OCTETS_MAX};
	assert_int_equal(scheme_read(field, &s, &name), SCHEME_OK);
	field.n++;
	assert_int_equal(scheme_read(field, &s, &name), SCHEME_BAD);
	free(text);
}

static void
equal_cost_is_seen(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"$6$saltsalt$x", "{SHA512-CRYPT}$6$othersalt$y", true},
		{"$6$saltsalt$x", "$5$saltsalt$x", false},
		{"$6$rounds=1000$saltsalt$x", "$6$saltsalt$x", false},
		{"$6$rounds=1000$saltsalt$x", "$6$rounds=1000$other$x", true},
		{"$2y$04$abcdefghijklmnopqrstuu", "$2y$04$bbcdefghijklmnopqrstuu", true},
		{"$2y$04$abcdefghijklmnopqrstuu", "$2y$05$abcdefghijklmnopqrstuu", false},
		{"$y$j75$saltsalt$x", "$y$j85$saltsalt$x", false},
		{"{PBKDF2}$1$a$5$79d533fda216bb568f2403fe0a29b0174d9f31ab",
			"{PBKDF2}$1$b$5$79d533fda216bb568f2403fe0a29b0174d9f31aa", true},
		{"{PBKDF2}$1$a$5$79d533fda216bb568f2403fe0a29b0174d9f31ab",
			"{PBKDF2}$1$a$6$79d533fda216bb568f2403fe0a29b0174d9f31ab", false},
		{"{PLAIN}a", "{CLEARTEXT}bb", true},
		{"{PLAIN}a", "{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", false},
		{"{PLAIN-MD5}098f6bcd4621d373cade4e832627b4f6",
			"{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stored a;
		struct stored b;
		struct view name;
		assert_int_equal(scheme_read(view_of(rows[i].a), &a, &name), SCHEME_OK);
		assert_int_equal(scheme_read(view_of(rows[i].b), &b, &name), SCHEME_OK);
		assert_int_equal(scheme_same_cost(&a, &b), rows[i].same);
	}
}

static void
a_password_longer_than_crypt_takes_is_wrong(void **state)
{
	(void)state;
	struct scheme_work *w = scheme_work_new();
	struct stored s;
	struct view name;
	uint8_t password[12288];
	memset(password, 'x', sizeof(password));
	assert_int_equal(
		scheme_read(view_of("$1$saltsalt$tTWg0JeO/sYmHvtKmZE8c."), &s, &name),
		SCHEME_OK);
	assert_int_equal(scheme_verify(&s, (struct view){password, sizeof(password)}, w),
		SCHEME_NO);
	assert_int_equal(scheme_verify(&s, (struct view){password, 512}, w), SCHEME_NO);
	scheme_work_free(&w);
}

static void
libraries_warm_up(void **state)
{
	(void)state;
	assert_true(scheme_warm_up());
}

static void
base64_is_strict(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *octets; /* NULL: refused */
	} rows[] = {
		{"", ""},
		{"Zg==", "f"},
		{"Zg", "f"},
		{"Zm8=", "fo"},
		{"Zm9v", "foo"},
		{"Zm9vYg==", "foob"},
		{"+/+/", "\xfb\xff\xbf"},
		{"Z", NULL},
		{"Zg=", NULL},
		{"Zg===", NULL},
		{"=", NULL},
		{"====", NULL},
		{"Zh==", NULL},
		{"Zm9=", NULL},
		{"Zm 9v", NULL},
		{"Zm9v\n", NULL},
		{"-_-_", NULL},
		{"Zg==Zg==", NULL},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t octets[8];
		struct buf out = {.p = octets, .cap = sizeof(octets)};
		bool ok = base64_decode(view_of(rows[i].text), &out);
		assert_int_equal(ok, rows[i].octets != NULL);
		if (!ok)
			continue;
		assert_int_equal(out.n, strlen(rows[i].octets));
		assert_memory_equal(octets, rows[i].octets, out.n);
	}
	uint8_t small[2];
	struct buf out = {.p = small, .cap = sizeof(small)};
	assert_false(base64_decode(view_of("Zm9v"), &out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_passwords_are_taken_and_others_not),
		cmocka_unit_test(wrong_stored_passwords_are_named),
		cmocka_unit_test(a_stored_password_has_a_limit),
		cmocka_unit_test(equal_cost_is_seen),
		cmocka_unit_test(a_password_longer_than_crypt_takes_is_wrong),
		cmocka_unit_test(libraries_warm_up),
		cmocka_unit_test(base64_is_strict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
