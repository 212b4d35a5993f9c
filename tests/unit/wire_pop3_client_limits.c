/* What a client does not send, and where its patience ends. */
#include "unit.h"

#include "base/check.h"
#include "wire_client_play.h"

#include <string.h>

static void
what_may_not_be_sent(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "A B", "A\r\n", "PL\xc3\xa4IN", "ABCDEFGHIJKLMNOPQRSTU"};
	uint8_t storage[256];
	struct pop3_client c;
	struct buf out = buf_over(storage, sizeof(storage));
	struct view digest = VIEW("c4c9334bac560ecc979e58001b3e22fb");

	pop3_client_init(&c);
	for (size_t o = 0; o < 3; o++) {
		char text[] = {'a', "\r\n"[o], 'b'};
		struct view v = {(const uint8_t *)text, 3};
		assert_false(pop3_client_send_text(&c, POP3_USER, v, &out));
		assert_false(pop3_client_send_text(&c, POP3_PASS, v, &out));
		assert_false(pop3_client_apop(&c, v, digest, &out));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(pop3_client_auth(&c, bad[i], NULL, &out));
	assert_false(pop3_client_send_text(&c, POP3_NOOP, VIEW("x"), &out));
	assert_false(pop3_client_send(&c, POP3_USER, 0, 0, &out));
	assert_false(pop3_client_send(&c, POP3_RETR, 0, 0, &out));
	assert_false(pop3_client_send(&c, POP3_TOP, 0, 5, &out));
	assert_false(pop3_client_send(&c, POP3_COMMANDS, 1, 5, &out));
	assert_false(pop3_client_apop(&c, VIEW("a"), VIEW("c4c9"), &out));
	assert_false(pop3_client_apop(
		&c, VIEW("a"), VIEW("c4c9334bac560ecc979e58001b3e22fg"), &out));
	assert_false(pop3_client_respond(&c, VIEW("x"), &out));
	assert_false(pop3_client_cancel(&c, &out));
	assert_int_equal(out.n, 0);
	assert_int_equal(pop3_client_waits(&c), 1);
	assert_true(pop3_client_apop(&c, VIEW("mrose"), digest, &out));
	assert_memory_equal(
		out.p, "APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n", out.n);
	assert_true(pop3_client_send_text(&c, POP3_PASS, VIEW(" p w "), &out));
	assert_memory_equal(out.p + out.n - 12, "PASS  p w \r\n", 12);
}

static void
nothing_behind_quit_and_stls(void **state)
{
	(void)state;
	static const enum pop3_command last[] = {POP3_QUIT, POP3_STLS};
	uint8_t storage[256];
	struct pop3_client c;

	for (size_t i = 0; i < ARRAY_SIZE(last); i++) {
		struct buf out = buf_over(storage, sizeof(storage));
		pop3_client_init(&c);
		assert_true(pop3_client_send(&c, last[i], 0, 0, &out));
		assert_false(pop3_client_send(&c, POP3_NOOP, 0, 0, &out));
		assert_int_equal(out.n, 6);
	}
}

static void
nothing_but_a_response_to_a_challenge(void **state)
{
	(void)state;
	static struct trace t;
	uint8_t storage[64];
	struct pop3_client c;
	struct buf out = buf_over(storage, sizeof(storage));

	pop3_client_init(&c);
	t = (struct trace){0};
	client_feed(&c, VIEW("+OK\r\n"), 0, 0, &t);
	client_say(&c, "AUTH CRAM-MD5", &out);
	client_feed(&c, VIEW("+ YQ==\r\n"), 0, 0, &t);
	size_t n = out.n;
	assert_false(pop3_client_send(&c, POP3_NOOP, 0, 0, &out));
	assert_false(pop3_client_send_text(&c, POP3_USER, VIEW("x"), &out));
	assert_false(pop3_client_auth(&c, "PLAIN", NULL, &out));
	assert_int_equal(out.n, n);
	assert_true(pop3_client_respond(&c, VIEW("x"), &out));
	assert_true(pop3_client_send(&c, POP3_NOOP, 0, 0, &out));
}

/* A flight that is full, a buffer that is: nothing is written, nothing is awaited. */
static void
full(void **state)
{
	(void)state;
	uint8_t storage[POP3_FLIGHT_MAX * 6];
	struct pop3_client c;
	struct buf out = buf_over(storage, sizeof(storage));

	pop3_client_init(&c);
	for (int i = 1; i < POP3_FLIGHT_MAX; i++)
		assert_true(pop3_client_send(&c, POP3_NOOP, 0, 0, &out));
	assert_int_equal(pop3_client_waits(&c), POP3_FLIGHT_MAX);
	size_t n = out.n;
	assert_false(pop3_client_send(&c, POP3_NOOP, 0, 0, &out));
	assert_int_equal(out.n, n);
	pop3_client_init(&c);
	for (size_t cap = 0; cap < 14; cap++) {
		out = buf_over(storage, cap);
		assert_false(pop3_client_send(&c, POP3_TOP, 1234, 567, &out));
		assert_false(
			pop3_client_send_text(&c, POP3_USER, VIEW("kermitfrog"), &out));
		assert_false(pop3_client_auth(&c, "CRAM-MD5X", NULL, &out));
		assert_int_equal(out.n, 0);
		assert_false(out.full);
	}
	assert_int_equal(pop3_client_waits(&c), 1);
	out = buf_over(storage, 14);
	assert_true(pop3_client_send(&c, POP3_TOP, 1234, 567, &out));
}

/* Octets of a status line, `x` behind the first four, and what came of it. */
static size_t
status_of(size_t n, const char *end, size_t step, struct trace *t)
{
	static uint8_t line[POP3_STATUS_FLOOD + 8];
	struct pop3_client c;

	memset(line, 'x', n);
	memcpy(line, "+OK ", 4);
	memcpy(line + n, end, strlen(end));
	pop3_client_init(&c);
	*t = (struct trace){0};
	client_feed(&c, (struct view){line, n + strlen(end)}, 0, step, t);
	return (size_t)(strchr(t->text, '\n') - t->text);
}

static void
status_lines_of_any_length(void **state)
{
	(void)state;
	static struct trace t;
	size_t steps[] = {0, 1000, 65536};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		for (size_t n = POP3_STATUS_MAX - 3; n < POP3_STATUS_MAX + 4; n++) {
			size_t kept = n < POP3_STATUS_MAX ? n : POP3_STATUS_MAX;
			assert_int_equal(status_of(n, "\r\n", steps[i], &t),
				strlen("G+ - ||") + kept - 4);
			assert_int_equal(status_of(n, "\n", steps[i], &t),
				strlen("G+ - ||") + kept - 4);
		}
		(void)status_of(POP3_STATUS_FLOOD - 1, "\n", steps[i], &t);
		assert_memory_equal(t.text, "G+ - |xxx", 9);
		(void)status_of(POP3_STATUS_FLOOD, "\n", steps[i], &t);
		assert_string_equal(t.text, "B a status line without end ||\n");
		(void)status_of(POP3_STATUS_FLOOD, "", steps[i], &t);
		assert_string_equal(t.text, "B a status line without end ||\n");
	}
}

static void
rows_have_a_limit(void **state)
{
	(void)state;
	static uint8_t octets[POP3_ROW_MAX + 16];
	static struct trace t;
	struct pop3_client c;
	uint8_t storage[16];

	for (size_t n = POP3_ROW_MAX - 2; n < POP3_ROW_MAX + 2; n++)
		for (size_t step = 0; step < 3; step++) {
			struct buf out = buf_over(storage, sizeof(storage));
			pop3_client_init(&c);
			t = (struct trace){0};
			client_feed(&c, VIEW("+OK\r\n"), 0, 0, &t);
			client_say(&c, "CAPA", &out);
			client_feed(&c, VIEW("+OK\r\n"), 0, 0, &t);
			memset(octets, 'x', n);
			octets[n] = '\n';
			client_feed(&c, (struct view){octets, n + 1}, 0, step, &t);
			assert_int_equal(t.broken, n >= POP3_ROW_MAX);
		}
}

static void
challenges_have_a_limit(void **state)
{
	(void)state;
	static uint8_t line[POP3_STATUS_MAX + 16];
	static struct trace t;
	struct pop3_client c;
	uint8_t storage[32];

	/* 255 groups of four and "+ " are 1022 octets; blanks at the end are forgiven. */
	for (size_t blanks = 0; blanks < 5; blanks++) {
		struct buf out = buf_over(storage, sizeof(storage));
		size_t n = POP3_STATUS_MAX - 2 + blanks;
		pop3_client_init(&c);
		t = (struct trace){0};
		client_feed(&c, VIEW("+OK\r\n"), 0, 0, &t);
		client_say(&c, "AUTH GSSAPI", &out);
		memset(line, 'A', n);
		memcpy(line, "+ ", 2);
		memset(line + n - blanks, ' ', blanks);
		memcpy(line + n, "\r\n", 2);
		client_feed(&c, (struct view){line, n + 2}, 7, 0, &t);
		assert_int_equal(strstr(t.text, "bad64") != NULL, n > POP3_STATUS_MAX);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_not_be_sent),
		cmocka_unit_test(nothing_behind_quit_and_stls),
		cmocka_unit_test(nothing_but_a_response_to_a_challenge),
		cmocka_unit_test(full),
		cmocka_unit_test(status_lines_of_any_length),
		cmocka_unit_test(rows_have_a_limit),
		cmocka_unit_test(challenges_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
