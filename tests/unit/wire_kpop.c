#include "unit.h"

#include "wire/kpop.h"

#include "base/buf.h"

#include <krb5.h>
#include <string.h>

#define SENDAUTH                                                                         \
	"\0\0\0\x13"                                                                     \
	"KRB5_SENDAUTH_V1.0\0"
#define APPLICATION                                                                      \
	"\0\0\0\x09"                                                                     \
	"KPOPV1.0\0"
#define REQUEST                                                                          \
	"\0\0\0\x07"                                                                     \
	"request"

/* As octets come: in pieces of `piece`, of which each is offered with what was left. */
static enum kpop_outcome
play(const void *p, size_t n, size_t piece, struct buf *out, struct view *ret_request,
	size_t *ret_left)
{
	struct kpop k = {0};
	const uint8_t *octets = p;
	struct view in = {octets, 0};

	for (size_t at = 0; at < n;) {
		size_t more = piece < n - at ? piece : n - at;
		in.n += more;
		at += more;
		enum kpop_outcome o = kpop_read(&k, &in, out, ret_request);
		*ret_left = in.n;
		if (o != KPOP_MORE)
			return o;
	}
	return KPOP_MORE;
}

static void
a_request_is_found_at_every_split(void **state)
{
	(void)state;
	static const char whole[] = SENDAUTH APPLICATION REQUEST;
	struct view request;
	size_t left;

	for (size_t piece = 1; piece < sizeof(whole); piece++) {
		uint8_t storage[KPOP_PUT_MAX];
		struct buf out = buf_over(storage, sizeof(storage));
		assert_int_equal(
			play(whole, sizeof(whole) - 1, piece, &out, &request, &left),
			KPOP_REQUEST);
		assert_int_equal(request.n, 7);
		assert_memory_equal(request.p, "request", 7);
		assert_int_equal(left, 0);
		assert_int_equal(out.n, 1);
		assert_int_equal(storage[0], 0);
	}
	for (size_t n = 1; n < sizeof(whole) - 1; n++) {
		uint8_t storage[KPOP_PUT_MAX];
		struct buf out = buf_over(storage, sizeof(storage));
		assert_int_equal(play(whole, n, n, &out, &request, &left), KPOP_MORE);
		assert_int_equal(out.n, n >= 23 + 13 ? 1 : 0);
	}
}

static void
what_follows_is_left(void **state)
{
	(void)state;
	static const char whole[] = SENDAUTH APPLICATION REQUEST "USER anna\r\n";
	uint8_t storage[KPOP_PUT_MAX];
	struct buf out = buf_over(storage, sizeof(storage));
	struct view request;
	size_t left;

	assert_int_equal(
		play(whole, sizeof(whole) - 1, sizeof(whole), &out, &request, &left),
		KPOP_REQUEST);
	assert_int_equal(left, 11);
}

static void
others_are_refused(void **state)
{
	(void)state;
	static const struct {
		struct view in;
		int status; /* -1: not even that */
	} rows[] = {
		{VIEW("\0\0\0\x13"
		      "KRB5_SENDAUTH_V1.1\0"),
			1},
		{VIEW("\0\0\0\x12"
		      "KRB5_SENDAUTH_V1.0"),
			1},
		{VIEW("\0\0\0\x01"
		      "K"),
			1},
		{VIEW(SENDAUTH "\0\0\0\x09"
			       "KPOPV2.0\0"),
			2},
		{VIEW(SENDAUTH "\0\0\0\x08"
			       "KPOPV1.0"),
			2},
		{VIEW("\0\0\0\0"), -1},
		{VIEW("\0\0\0\x41"), -1}, /* longer than any version */
		{VIEW("USER anna\r\n"), -1},
		{VIEW("\x16\x03\x01\x00"), -1}, /* TLS */
		{VIEW(SENDAUTH "\0\0\0\0"), -1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t storage[KPOP_PUT_MAX];
		struct buf out = buf_over(storage, sizeof(storage));
		struct view request;
		size_t left;
		assert_int_equal(
			play(rows[i].in.p, rows[i].in.n, 3, &out, &request, &left),
			KPOP_BAD);
		assert_int_equal(out.n, rows[i].status < 0 ? 0 : 1);
		if (rows[i].status >= 0)
			assert_int_equal(storage[0], rows[i].status);
	}
}

static void
a_request_has_a_limit(void **state)
{
	(void)state;
	static uint8_t in[64 + KPOP_REQUEST_MAX];
	uint8_t storage[KPOP_PUT_MAX];
	struct view request;
	size_t left, head = sizeof(SENDAUTH APPLICATION) - 1;

	memcpy(in, SENDAUTH APPLICATION "\0\0\x30\0", head + 4);
	struct buf out = buf_over(storage, sizeof(storage));
	assert_int_equal(
		play(in, head + 4 + KPOP_REQUEST_MAX, 4096, &out, &request, &left),
		KPOP_REQUEST);
	assert_int_equal(request.n, KPOP_REQUEST_MAX);
	in[head + 3] = 1;
	out = buf_over(storage, sizeof(storage));
	assert_int_equal(play(in, head + 4, 4096, &out, &request, &left), KPOP_BAD);
	assert_int_equal(out.n, 1);
}

static void
yes_is_no_error_and_the_reply(void **state)
{
	(void)state;
	uint8_t storage[KPOP_PUT_MAX];
	struct buf out = buf_over(storage, sizeof(storage));

	kpop_put_yes((struct view){NULL, 0}, &out);
	assert_int_equal(out.n, 4);
	assert_memory_equal(storage, "\0\0\0\0", 4);
	kpop_put_yes(VIEW("reply"), &out);
	assert_int_equal(out.n, 4 + 4 + 4 + 5);
	assert_memory_equal(storage + 4, "\0\0\0\0\0\0\0\x05reply", 13);
}

/* The library of the clients must be able to read it, with every length of the text. */
static void
no_is_an_error_that_kerberos_reads(void **state)
{
	(void)state;
	static const char text[] =
		"login refused, id 0123-456; 0123456789 0123456789 0123456789 0123456789 "
		"0123456789 0123456789 0123456789";
	krb5_context context;

	assert_int_equal(krb5_init_context(&context), 0);
	for (size_t n = 0; n < sizeof(text); n++) {
		uint8_t storage[KPOP_PUT_MAX];
		struct buf out = buf_over(storage, sizeof(storage));
		krb5_error *got = NULL;
		kpop_put_no(UINT64_C(1795353015), (struct view){(const uint8_t *)text, n},
			&out);
		assert_false(out.full);
		assert_int_equal(out.n, 4 + (size_t)storage[3]);
		krb5_data in = {
			.length = (unsigned)out.n - 4, .data = (char *)storage + 4};
		assert_int_equal(krb5_rd_error(context, &in, &got), 0);
		assert_int_equal(got->error, 60);
		assert_int_equal(got->stime, 1795353015);
		assert_int_equal(got->text.length, n < 100 ? n : 100);
		if (n > 0)
			assert_memory_equal(got->text.data, text, got->text.length);
		krb5_free_error(context, got);
	}
	krb5_free_context(context);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_found_at_every_split),
		cmocka_unit_test(what_follows_is_left),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(a_request_has_a_limit),
		cmocka_unit_test(yes_is_no_error_and_the_reply),
		cmocka_unit_test(no_is_an_error_that_kerberos_reads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
