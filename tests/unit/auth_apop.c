#include "unit.h"

#include "auth/apop.h"
#include "base/ascii.h"

#include <string.h>

static const uint8_t key[32] = {1, 2, 3};

struct stamp {
	uint8_t octets[APOP_STAMP_MAX];
	struct buf b;
};

static struct view
give(struct apop *a, uint64_t front, uint64_t connection, struct stamp *s)
{
	s->b = buf_over(s->octets, sizeof(s->octets));
	assert_true(apop_give(a, front, connection, &s->b));
	return buf_view(&s->b);
}

static bool
take(struct apop *a, uint64_t front, uint64_t connection, struct stamp *s)
{
	s->b = buf_over(s->octets, sizeof(s->octets));
	return apop_take(a, front, connection, &s->b);
}

/* RFC 1939 s.7, the example there. */
static void
digest_of_the_rfc(void **state)
{
	struct view stamp = VIEW("<1896.697170952@dbc.mtview.ca.us>");

	(void)state;
	assert_int_equal(apop_check(stamp, VIEW("tanstaaf"),
				 VIEW("c4c9334bac560ecc979e58001b3e22fb")),
		APOP_RIGHT);
	assert_int_equal(apop_check(stamp, VIEW("tanstaaf"),
				 VIEW("C4C9334BAC560ECC979E58001B3E22FB")),
		APOP_RIGHT);
	assert_int_equal(apop_check(stamp, VIEW("tanstaaff"),
				 VIEW("c4c9334bac560ecc979e58001b3e22fb")),
		APOP_WRONG);
	assert_int_equal(apop_check(stamp, VIEW("tanstaaf"),
				 VIEW("c4c9334bac560ecc979e58001b3e22fa")),
		APOP_WRONG);
	assert_int_equal(apop_check(stamp, VIEW("tanstaaf"),
				 VIEW("c4c9334bac560ecc979e58001b3e22")),
		APOP_WRONG);
	assert_int_equal(apop_check(stamp, VIEW("tanstaaf"),
				 VIEW("c4c9334bac560ecc979e58001b3e22fbfb")),
		APOP_WRONG);
	assert_int_equal(apop_check(stamp, VIEW("tanstaaf"), VIEW("")), APOP_WRONG);
}

/* <digits.digits@host>, as RFC 1939 s.7 and a msg-id want it. */
static void
form(void **state)
{
	struct stamp s;
	struct apop *a = apop_new(key, VIEW("pop.example.org"));

	(void)state;
	struct view v = give(a, 1, 1, &s);
	size_t i = 1;
	unsigned dots = 0;
	assert_int_equal(v.p[0], '<');
	for (; v.p[i] != '@'; i++) {
		dots += v.p[i] == '.';
		assert_true(v.p[i] == '.' || ascii_is_digit(v.p[i]));
	}
	assert_int_equal(dots, 1);
	assert_true(
		view_equal((struct view){v.p + i, v.n - i}, VIEW("@pop.example.org>")));
	apop_free(&a);
	a = apop_new(key, VIEW("no host>"));
	v = give(a, 1, 1, &s);
	assert_memory_equal(v.p + v.n - 11, "@localhost>", 11);
	apop_free(&a);
	assert_null(a);
}

static void
once_and_by_the_same_connection(void **state)
{
	struct stamp given;
	struct stamp taken;
	struct apop *a = apop_new(key, VIEW("x"));

	(void)state;
	struct view v = give(a, 5, 77, &given);
	assert_false(take(a, 5, 78, &taken));
	assert_false(take(a, 6, 77, &taken));
	assert_true(take(a, 5, 77, &taken));
	assert_true(view_equal(v, buf_view(&taken.b)));
	assert_false(take(a, 5, 77, &taken));
	/* Asked for again it is another, and the one before is void. */
	struct stamp second;
	struct view w = give(a, 5, 77, &second);
	assert_false(view_equal(v, w));
	struct stamp third;
	(void)give(a, 5, 77, &third);
	assert_true(take(a, 5, 77, &taken));
	assert_true(view_equal(buf_view(&third.b), buf_view(&taken.b)));
	assert_false(take(a, 5, 77, &taken));
	apop_free(&a);
}

/* Without the key nobody knows the next one. */
static void
keys_differ(void **state)
{
	static const uint8_t other[32] = {9};
	struct apop *a = apop_new(key, VIEW("x"));
	struct apop *b = apop_new(other, VIEW("x"));
	struct stamp s;
	struct stamp t;

	(void)state;
	assert_false(view_equal(give(a, 1, 1, &s), give(b, 1, 1, &t)));
	assert_false(view_equal(give(a, 1, 2, &s), give(a, 2, 1, &t)));
	apop_free(&a);
	apop_free(&b);
}

static void
the_table_is_full_and_goes_on(void **state)
{
	struct apop *a = apop_new(key, VIEW("x"));
	struct stamp s;
	unsigned there = 0;
	const uint64_t n = (uint64_t)2 * APOP_SETS * APOP_WAYS;

	(void)state;
	for (uint64_t i = 1; i <= n; i++)
		(void)give(a, 1, i, &s);
	assert_true(take(a, 1, n, &s)); /* the newest stays */
	for (uint64_t i = 1; i <= n; i++)
		there += take(a, 1, i, &s);
	assert_true(there > APOP_SETS && there < APOP_SETS * APOP_WAYS);
	apop_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digest_of_the_rfc),
		cmocka_unit_test(form),
		cmocka_unit_test(once_and_by_the_same_connection),
		cmocka_unit_test(keys_differ),
		cmocka_unit_test(the_table_is_full_and_goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
