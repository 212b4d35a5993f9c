#include "unit.h"

#include "pop3/server.h"
#include "wire/sasl_line.h"

#include <string.h>

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
what_is_encoded_is_decoded(void **state)
{
	(void)state;
	uint8_t octets[300], encoded[512], decoded[512];

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 167 + i / 7);
	for (size_t n = 0; n <= sizeof(octets); n++) {
		struct buf e = buf_over(encoded, sizeof(encoded));
		struct buf d = buf_over(decoded, sizeof(decoded));
		base64_encode((struct view){octets, n}, &e);
		assert_false(e.full);
		assert_int_equal(e.n, (n + 2) / 3 * 4);
		assert_true(base64_decode(buf_view(&e), &d));
		assert_int_equal(d.n, n);
		assert_memory_equal(d.p, octets, n);
	}
}

/* RFC 4648 s.10 */
static void
known_values(void **state)
{
	(void)state;
	static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t storage[16];
		struct buf out = buf_over(storage, sizeof(storage));
		base64_encode(text(rows[i][0]), &out);
		assert_int_equal(out.n, strlen(rows[i][1]));
		assert_memory_equal(storage, rows[i][1], out.n);
	}
}

static void
what_is_not_base64_is_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {"A", "AA", "AAA", "AAAAA", "=", "====", "=AAA",
		"A===", "AA=A", "AAA=BBB=", "AA==AA==", "AA A", " AAAA", "AAAA ",
		"AAAA\r", "AA-_", "AAA*", "AB==" /* unused bits */, "AAB=", "AAAA\n",
		"\xC3\xA4\xC3\xA4"};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t storage[64];
		struct buf out = buf_over(storage, sizeof(storage));
		assert_false(base64_decode(text(rows[i]), &out));
	}
	uint8_t storage[64];
	struct buf out = buf_over(storage, sizeof(storage));
	assert_false(base64_decode((struct view){(const uint8_t *)"AAA\0", 4}, &out));
}

static void
longest_response_fits(void **state)
{
	(void)state;
	static uint8_t line[POP3_LINE_SASL_MAX], storage[POP3_SASL_MAX];
	struct view decoded;

	memset(line, 'A', sizeof(line));
	assert_true(pop3_sasl_decode(
		(struct view){line, sizeof(line)}, false, storage, &decoded));
	assert_int_equal(decoded.n, sizeof(storage));
}

static void
equals_sign_is_empty_at_first_only(void **state)
{
	(void)state;
	static uint8_t storage[POP3_SASL_MAX];
	struct view decoded = {NULL, 7};

	assert_true(pop3_sasl_decode(VIEW("="), true, storage, &decoded));
	assert_int_equal(decoded.n, 0);
	assert_false(pop3_sasl_decode(VIEW("="), false, storage, &decoded));
	decoded.n = 7;
	assert_true(pop3_sasl_decode(VIEW(""), false, storage, &decoded));
	assert_int_equal(decoded.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(known_values),
		cmocka_unit_test(what_is_not_base64_is_refused),
		cmocka_unit_test(longest_response_fits),
		cmocka_unit_test(equals_sign_is_empty_at_first_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
