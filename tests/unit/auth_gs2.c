#include "unit.h"

#include "auth/gs2.h"
#include "auth/oauth_line.h"
#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

static void
first_of_the_rfcs(void **state)
{
	struct gs2_first f;

	(void)state;
	assert_null(gs2_first_read(VIEW("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"), &f));
	assert_int_equal(f.header.flag, 'n');
	assert_int_equal(f.header.authzid.n, 0);
	assert_true(view_equal(f.name, VIEW("user")));
	assert_true(view_equal(f.before, VIEW("n,,n=")));
	assert_true(view_equal(f.after, VIEW(",r=fyko+d2lbbFgONRv9qkxdawL")));
	assert_null(
		gs2_first_read(VIEW("p=tls-exporter,a=b=2Cc,n=u=3D,r=x,z=1,y=a=b"), &f));
	assert_int_equal(f.header.flag, 'p');
	assert_true(view_equal(f.header.binding, VIEW("tls-exporter")));
	assert_true(view_equal(f.header.authzid, VIEW("b=2Cc")));
	assert_true(view_equal(f.name, VIEW("u=3D")));
	assert_null(gs2_first_read(VIEW("y,,n=,r=x"), &f));
	assert_int_equal(f.name.n, 0);
}

static void
first_that_is_none(void **state)
{
	static const char *const wrong[] = {"", "n", "n,", "n,,", "n,,n=user",
		"n,,n=user,", "n,,n=user,r=", "n,,n=user,r=a b", "n,,n=user,r=a,",
		"n,,n=user,r=a,x", "n,,n=user,r=a,x=", "n,,n=user,r=a,1=b",
		"n,,n=user,r=a,x=1,", "n,,m=x,n=user,r=a", "n,,user,r=a",
		"n,,n=us=er,r=a", "n,,n=us=2c,r=a", "n,,n=us=2,r=a", "n,,n=us=,r=a",
		"n,a=,n=user,r=a", "n,b,n=user,r=a", "n,a==,n=user,r=a", "p,,n=user,r=a",
		"p=,,n=user,r=a", "p=tls exporter,,n=user,r=a", "x,,n=user,r=a",
		"N,,n=user,r=a", "nn,,n=user,r=a", "n=x,,n=user,r=a", "n,,N=user,r=a",
		"n,,n=user,x=a", "n,,n=user,r=\x80"};
	struct gs2_first f;
	char longest[GS2_NONCE_MAX + 20] = "n,,n=user,r=";
	size_t n = strlen(longest);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_non_null(gs2_first_read(
			(struct view){(const uint8_t *)wrong[i], strlen(wrong[i])}, &f));
	memset(longest + n, 'a', GS2_NONCE_MAX + 1);
	const uint8_t *p = (const uint8_t *)longest;
	assert_null(gs2_first_read((struct view){p, n + GS2_NONCE_MAX}, &f));
	assert_non_null(gs2_first_read((struct view){p, n + GS2_NONCE_MAX + 1}, &f));
}

static void
names(void **state)
{
	uint8_t octets[8];
	struct buf b = buf_over(octets, sizeof(octets));

	(void)state;
	assert_true(gs2_name(VIEW("a=2Cb=3Dc"), &b));
	assert_true(view_equal(buf_view(&b), VIEW("a,b=c")));
	assert_false(gs2_name(VIEW("a=2"), &b));
	assert_false(gs2_name(VIEW("a=3d"), &b));
	b = buf_over(octets, sizeof(octets));
	assert_true(gs2_name(VIEW("123456789"), &b));
	assert_true(b.full);
}

static void
oauth_of_the_rfc(void **state)
{
	struct oauth_line l;

	(void)state;
	assert_null(oauth_bearer_read(
		VIEW("n,a=user@example.com,\001host=server.example.com\001port=143\001"
		     "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\001\001"),
		&l));
	assert_true(view_equal(l.name, VIEW("user@example.com")));
	assert_true(
		view_equal(l.token, VIEW("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")));
	assert_null(
		oauth_bearer_read(VIEW("y,,\001auth=bEARER   a.b-c_d~e+f/\001\001"), &l));
	assert_int_equal(l.name.n, 0);
	assert_true(view_equal(l.token, VIEW("a.b-c_d~e+f/")));
	assert_null(oauth_xoauth2_read(VIEW("user=someuser@example.com\001auth=Bearer "
					    "ya29.vF9dft4qmTc2\001\001"),
		&l));
	assert_true(view_equal(l.name, VIEW("someuser@example.com")));
	assert_true(view_equal(l.token, VIEW("ya29.vF9dft4qmTc2")));
}

static void
oauth_that_is_none(void **state)
{
	static const char *const wrong[] = {"", "\001", "n,,", "n,,\001", "n,,\001\001",
		"n,,auth=Bearer x\001\001", "n,,\001auth=Bearer x\001",
		"n,,\001auth=Bearer x", "n,,\001auth=Bearer \001\001",
		"n,,\001auth=Bearer\001\001", "n,,\001auth=Basic x\001\001",
		"n,,\001auth=Bearer x y\001\001", "n,,\001auth=Bearer x=y\001\001",
		"n,,\001auth=Bearer =\001\001", "n,,\001auth=Bearer x\001\001x",
		"n,,\001auth=Bearer x\001\001\001",
		"n,,\001host\001auth=Bearer x\001\001",
		"n,,\001=a\001auth=Bearer x\001\001",
		"n,,\001h1=a\001auth=Bearer x\001\001",
		"n,,\001host=\033\001auth=Bearer x\001\001",
		"n,,\001auth=Bearer x\001auth=Bearer y\001\001",
		"p=tls-exporter,,\001auth=Bearer x\001\001",
		"x,,\001auth=Bearer x\001\001", "n,a=,\001auth=Bearer x\001\001",
		"user=a\001auth=Bearer x\001\001"};
	static const char *const wrong_x[] = {"", "user=a", "user=a\001",
		"user=a\001\001", "user=\001auth=Bearer x\001\001",
		"auth=Bearer x\001\001", "user=a\001auth=Bearer x\001",
		"User=a\001auth=Bearer x\001\001", "n,a=a,\001auth=Bearer x\001\001"};
	static uint8_t longest[OAUTH_LINE_MAX + 1];
	struct oauth_line l;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_non_null(oauth_bearer_read(
			(struct view){(const uint8_t *)wrong[i], strlen(wrong[i])}, &l));
	for (size_t i = 0; i < ARRAY_SIZE(wrong_x); i++)
		assert_non_null(oauth_xoauth2_read(
			(struct view){(const uint8_t *)wrong_x[i], strlen(wrong_x[i])},
			&l));
	static const char head[] = "n,,\001auth=Bearer ";
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, head, sizeof(head) - 1);
	memset(longest + sizeof(longest) - 3, 1, 2);
	assert_null(oauth_bearer_read((struct view){longest, OAUTH_LINE_MAX}, &l));
	longest[sizeof(longest) - 3] = 'a';
	longest[sizeof(longest) - 1] = 1;
	assert_non_null(oauth_bearer_read((struct view){longest, sizeof(longest)}, &l));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_of_the_rfcs),
		cmocka_unit_test(first_that_is_none),
		cmocka_unit_test(names),
		cmocka_unit_test(oauth_of_the_rfc),
		cmocka_unit_test(oauth_that_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
