/*
 * What a session costs the pure core of a front: parsing, state, answers and the dot
 * codec; no system call is in it. As a test it holds that the sessions come to their end.
 * tests/e2e/test_instructions.py runs it under callgrind:
 *
 *     front_cost login|poll SESSIONS
 *     front_cost retr MESSAGES KERNEL     messages of 32 KiB, stored with LF
 */
#include "front_session_drive.h"

#include "front/body.h"

#include <stdlib.h>

#define MESSAGES 26
#define OCTETS	 32768U
#define LINE	 64U /* of a message, its LF counted */

static struct drive d;
static uint8_t stored[OCTETS], sent[BODY_ROOM(OCTETS)];

static void
end_session(void)
{
	enum session_want want = drive_say(&d, "QUIT\r\n");

	if (want == SESSION_WANT_COMMIT) {
		session_committed(&d.s, VERDICT_DONE, 0, MESSAGES);
		want = drive_run(&d, "");
	}
	assert_int_equal(want, SESSION_WANT_CLOSE);
	session_done(&d.s);
}

/* Greeting to maildrop; each command comes alone, as most clients send them. */
static void
begin_session(bool asks_capa)
{
	static const struct session_peer peer = {.tls_available = true,
		.plaintext = true,
		.mechanisms = 1 << MECHANISM_PASS | 1 << MECHANISM_PLAIN};

	session_init(&d.s, &d.options, &peer, d.now);
	memset(d.marks, 0, sizeof(d.marks));
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
	if (asks_capa)
		assert_int_equal(drive_say(&d, "CAPA\r\n"), SESSION_WANT_INPUT);
	assert_int_equal(drive_say(&d, "USER kermit\r\n"), SESSION_WANT_INPUT);
	assert_int_equal(drive_say(&d, "PASS secret\r\n"), SESSION_WANT_LOGIN);
	(void)session_login(&d.s);
	session_login_sent(&d.s);
	session_attached(&d.s, &d.snap, RIGHT_READ | RIGHT_DELETE, d.marks, d.now);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
	assert_int_equal(drive_say(&d, "STAT\r\n"), SESSION_WANT_INPUT);
}

static void
login(void)
{
	begin_session(false);
	end_session();
}

static void
poll(void)
{
	begin_session(true);
	assert_int_equal(drive_say(&d, "UIDL\r\n"), SESSION_WANT_INPUT);
	end_session();
}

/* What is the same for all sessions. */
static void
make_world(void)
{
	drive_init(&d);
	session_done(&d.s);
	drive_drop(&d, MESSAGES, 0);
	for (uint32_t i = 0; i < OCTETS; i++)
		stored[i] = i % LINE == LINE - 1 ? '\n' : (uint8_t)('a' + i % 26);
}

static void
retrieve(const struct dot_kernel *k)
{
	const uint64_t wire = OCTETS + OCTETS / LINE;
	struct buf out = buf_over(sent, sizeof(sent));
	struct body b;

	assert_int_equal(drive_say(&d, "RETR 1\r\n"), SESSION_WANT_SLICE);
	session_slice(&d.s, wire);
	assert_int_equal(drive_run(&d, ""), SESSION_WANT_BODY);
	body_retr(&b, OCTETS, wire);
	assert_int_equal(
		body_feed(&b, k, (struct view){stored, OCTETS}, &out), BODY_DONE);
	assert_int_equal(out.n, wire + 3);
	session_body_sent(&d.s, d.now);
	assert_int_equal(drive_run(&d, ""), SESSION_WANT_INPUT);
}

static const struct dot_kernel *
kernel_of(const char *name)
{
	size_t n;
	const struct dot_kernel *const *all = dot_kernels(&n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

static void
every_session_comes_to_its_end(void **state)
{
	(void)state;
	size_t n;
	const struct dot_kernel *const *all = dot_kernels(&n);

	make_world();
	login();
	poll();
	for (size_t i = 0; i < n; i++) {
		begin_session(false);
		retrieve(all[i]);
		end_session();
	}
}

static int
cost(const char *which, size_t n, const char *kernel)
{
	const struct dot_kernel *k = kernel ? kernel_of(kernel) : NULL;

	make_world();
	if (strcmp(which, "retr") == 0) {
		if (!k)
			return 77; /* this processor has none of that name */
		begin_session(false);
		for (size_t i = 0; i < n; i++)
			retrieve(k);
		end_session();
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		strcmp(which, "poll") == 0 ? poll() : login();
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_session_comes_to_its_end),
	};
	if (argc >= 3)
		return cost(
			argv[1], strtoul(argv[2], NULL, 10), argc > 3 ? argv[3] : NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
