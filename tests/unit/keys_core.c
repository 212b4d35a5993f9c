/* What restante-keys signs and what it refuses; how often; which keys it keeps. */
#include "unit.h"

#include "keys/core.h"

#include <string.h>

static uint8_t octets[600];

/* 64 blanks, the text, its NUL, and a hash of n octets. */
static struct view
verify_of(const char *text, size_t hash)
{
	size_t n = strlen(text) + 1;

	memset(octets, ' ', 64);
	memcpy(octets + 64, text, n);
	memset(octets + 64 + n, 0xAB, hash);
	return (struct view){octets, 64 + n + hash};
}

static struct view
verify(size_t hash)
{
	return verify_of("TLS 1.3, server CertificateVerify", hash);
}

/* Randoms, type, curve, length, first octet of the point, n octets of point. */
static struct view
exchange(uint8_t type, uint16_t curve, uint8_t length, uint8_t first, size_t n)
{
	memset(octets, 0x5C, 64 + 4 + n);
	octets[64] = type;
	octets[65] = (uint8_t)(curve >> 8);
	octets[66] = (uint8_t)curve;
	octets[67] = length;
	octets[68] = first;
	return (struct view){octets, 64 + 4 + n};
}

static enum keys_verdict
judge(enum keys_kind kind, uint16_t scheme, struct view content)
{
	const struct keys_scheme *s = NULL;
	enum keys_verdict v = keys_judge(kind, scheme, content, &s);

	assert_int_equal(v == KEYS_SIGN, s != NULL);
	if (s)
		assert_int_equal(s->number, scheme);
	return v;
}

static void
certificate_verify(void **state)
{
	(void)state;
	assert_int_equal(judge(KEYS_P256, 0x0403, verify(32)), KEYS_SIGN);
	assert_int_equal(judge(KEYS_P256, 0x0403, verify(48)), KEYS_SIGN);
	assert_int_equal(judge(KEYS_P256, 0x0403, verify(64)), KEYS_SIGN);
	for (size_t n = 0; n < 100; n++)
		if (n != 32 && n != 48 && n != 64)
			assert_int_equal(
				judge(KEYS_P256, 0x0403, verify(n)), KEYS_BAD_CONTENT);
	/* Every octet before the hash counts. */
	for (size_t i = 0; i < 98; i++) {
		struct view v = verify(32);
		octets[i] ^= 1;
		assert_int_equal(judge(KEYS_P256, 0x0403, v), KEYS_BAD_CONTENT);
	}
	assert_int_equal(judge(KEYS_P256, 0x0403,
				 verify_of("TLS 1.3, client CertificateVerify", 32)),
		KEYS_BAD_CONTENT);
	assert_int_equal(
		judge(KEYS_P256, 0x0403, verify_of("TLS 1.3, server Certificate", 32)),
		KEYS_BAD_CONTENT);
}

static void
server_key_exchange(void **state)
{
	static const struct {
		uint16_t curve;
		uint8_t n, first;
	} good[] = {{23, 65, 4}, {24, 97, 4}, {25, 133, 4}, {29, 32, 9}, {30, 56, 9}};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint16_t curve = good[i].curve;
		uint8_t n = good[i].n, first = good[i].first;
		assert_int_equal(judge(KEYS_RSA, 0x0401, exchange(3, curve, n, first, n)),
			KEYS_SIGN);
		/* Longer, shorter, another length said, another type of curve. */
		assert_int_equal(
			judge(KEYS_RSA, 0x0401, exchange(3, curve, n, first, n + 1U)),
			KEYS_BAD_CONTENT);
		assert_int_equal(
			judge(KEYS_RSA, 0x0401, exchange(3, curve, n, first, n - 1U)),
			KEYS_BAD_CONTENT);
		uint8_t more = (uint8_t)(n + 1);
		assert_int_equal(
			judge(KEYS_RSA, 0x0401, exchange(3, curve, more, first, more)),
			KEYS_BAD_CONTENT);
		for (uint8_t type = 0; type < 8; type++)
			if (type != 3)
				assert_int_equal(
					judge(KEYS_RSA, 0x0401,
						exchange(type, curve, n, first, n)),
					KEYS_BAD_CONTENT);
	}
	/* A compressed point, and curves that nobody offers. */
	assert_int_equal(
		judge(KEYS_RSA, 0x0401, exchange(3, 23, 65, 2, 65)), KEYS_BAD_CONTENT);
	assert_int_equal(
		judge(KEYS_RSA, 0x0401, exchange(3, 22, 65, 4, 65)), KEYS_BAD_CONTENT);
	assert_int_equal(judge(KEYS_RSA, 0x0401, exchange(3, 0x0117, 65, 4, 65)),
		KEYS_BAD_CONTENT);
}

/* What somebody would like to have signed. */
static void
digests_and_texts_are_refused(void **state)
{
	static const size_t sizes[] = {
		0, 16, 20, 32, 36, 48, 64, 67, 68, 69, 98, 256, 512};

	(void)state;
	for (size_t fill = 0; fill < 256; fill++) {
		memset(octets, (int)fill, sizeof(octets));
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			assert_int_equal(
				judge(KEYS_RSA, 0x0401, (struct view){octets, sizes[i]}),
				KEYS_BAD_CONTENT);
	}
}

static void
schemes_fit_key_and_version(void **state)
{
	/* A bit for each kind that may: in TLS 1.2, in TLS 1.3. */
	static const struct {
		uint16_t number;
		unsigned int old, new;
	} rows[] = {
		{0x0001, 1, 0},
		{0x0201, 1, 0},
		{0x0203, 6, 0},
		{0x0401, 1, 0},
		{0x0501, 1, 0},
		{0x0601, 1, 0},
		{0x0403, 6, 2},
		{0x0503, 6, 4},
		{0x0603, 6, 0},
		{0x0804, 1, 1},
		{0x0805, 1, 1},
		{0x0806, 1, 1},
		{0x0807, 8, 8},
	};

	(void)state;
	for (unsigned int number = 0; number <= 0xFFFF; number++) {
		unsigned int old = 0, new = 0;
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			if (rows[i].number == number) {
				old = rows[i].old;
				new = rows[i].new;
			}
		for (unsigned int kind = 0; kind < 4; kind++) {
			enum keys_verdict v =
				judge(kind, (uint16_t)number, exchange(3, 29, 32, 0, 32));
			assert_int_equal(
				v, old >> kind & 1 ? KEYS_SIGN : KEYS_BAD_SCHEME);
			v = judge(kind, (uint16_t)number, verify(48));
			assert_int_equal(
				v, new >> kind & 1 ? KEYS_SIGN : KEYS_BAD_SCHEME);
		}
	}
}

static void
the_bucket_runs_dry_and_fills(void **state)
{
	struct keys_bucket b;
	uint64_t now = 1000;

	(void)state;
	keys_bucket_fill(&b, now);
	for (int i = 0; i < KEYS_BURST; i++)
		assert_true(keys_bucket_take(&b, now));
	assert_false(keys_bucket_take(&b, now));
	/* A millisecond is two. */
	now++;
	assert_true(keys_bucket_take(&b, now));
	assert_true(keys_bucket_take(&b, now));
	assert_false(keys_bucket_take(&b, now));
	/* In the long run not more than the rate. */
	unsigned int got = 0;
	for (int i = 0; i < 5000; i++) {
		now++;
		for (int k = 0; k < 5; k++)
			got += keys_bucket_take(&b, now);
	}
	assert_int_equal(got, 5 * KEYS_PER_SECOND);
	/* Never more than a burst, however long the pause; a clock that goes back is
	 * nothing. */
	now += UINT64_C(1) << 60;
	for (int i = 0; i < KEYS_BURST; i++)
		assert_true(keys_bucket_take(&b, now));
	assert_false(keys_bucket_take(&b, now - 500));
}

static unsigned int dropped;
static char names[8];

static void
drop(void *key)
{
	dropped |= 1U << ((char *)key - names);
}

static void
two_generations_are_kept_and_the_one_that_signs(void **state)
{
	struct keys_shelves s = {0};

	(void)state;
	dropped = 0;
	assert_null(keys_find(&s, 0, 0));
	*keys_place(&s, UINT32_MAX, 0, drop) = &names[0];
	*keys_place(&s, UINT32_MAX, 255, drop) = &names[1];
	/* Numbers go around. */
	*keys_place(&s, 0, 0, drop) = &names[2];
	assert_ptr_equal(keys_find(&s, UINT32_MAX, 0), &names[0]);
	assert_ptr_equal(keys_find(&s, UINT32_MAX, 255), &names[1]);
	assert_ptr_equal(keys_find(&s, 0, 0), &names[2]);
	assert_null(keys_find(&s, 0, 1));
	assert_null(keys_find(&s, 1, 0));
	/* A late one of the generation before has its place still. */
	*keys_place(&s, UINT32_MAX, 1, drop) = &names[3];
	assert_int_equal(dropped, 0);
	/* It signs, so it stays while the newer ones do not. */
	keys_has_signed(&s, UINT32_MAX);
	*keys_place(&s, 5, 0, drop) = &names[4];
	*keys_place(&s, 6, 0, drop) = &names[5];
	assert_int_equal(dropped, 1 << 2);
	*keys_place(&s, 7, 0, drop) = &names[6];
	assert_int_equal(dropped, 1 << 2 | 1 << 4);
	assert_ptr_equal(keys_find(&s, UINT32_MAX, 0), &names[0]);
	assert_ptr_equal(keys_find(&s, 6, 0), &names[5]);
	assert_ptr_equal(keys_find(&s, 7, 0), &names[6]);
	assert_null(keys_place(&s, 5, 0, drop));
	/* Until one of them does. */
	keys_has_signed(&s, 7);
	*keys_place(&s, 8, 0, drop) = &names[7];
	assert_ptr_equal(keys_find(&s, UINT32_MAX, 0), &names[0]);
	*keys_place(&s, 9, 0, drop) = &names[8];
	assert_int_equal(dropped, 1 << 2 | 1 << 4 | 1 << 5 | 0x0B);
	assert_ptr_equal(keys_find(&s, 7, 0), &names[6]);
	assert_null(keys_find(&s, UINT32_MAX, 0));
}

static void
a_trial_has_a_hash_of_zeros(void **state)
{
	uint8_t text[64 + 34 + 48] = {0};

	(void)state;
	memset(text, ' ', 64);
	memcpy(text + 64, "TLS 1.3, server CertificateVerify", 34);
	assert_true(keys_is_trial((struct view){text, 64 + 34 + 32}));
	assert_false(keys_is_trial((struct view){text, 64 + 34 + 31}));
	text[64 + 34 + 31] = 1;
	assert_false(keys_is_trial((struct view){text, 64 + 34 + 32}));
	text[0] = 'x';
	text[64 + 34 + 31] = 0;
	assert_false(keys_is_trial((struct view){text, 64 + 34 + 32}));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificate_verify),
		cmocka_unit_test(server_key_exchange),
		cmocka_unit_test(digests_and_texts_are_refused),
		cmocka_unit_test(schemes_fit_key_and_version),
		cmocka_unit_test(the_bucket_runs_dry_and_fills),
		cmocka_unit_test(two_generations_are_kept_and_the_one_that_signs),
		cmocka_unit_test(a_trial_has_a_hash_of_zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
