/*
 * evil_control.c: a restante-control that was taken over. To who connects to the
 * operator's socket it says EVIL, reads "ATTACK ARGUMENT", and answers with what came of
 * it.
 */
#include "evil.h"
#include "ipc/permit.h"
#include "ipc/who.h"
#include "os/sandbox.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRONTS_MAX 64

static struct received got;
static int listener = -1, auth = -1;
static struct {
	uint64_t incarnation;
	int table;
} fronts[FRONTS_MAX];
static size_t fronts_n;

static void
hear_monitor(void)
{
	struct view payload;
	struct msg_who_source who;
	int number = evil_receive(FD_MONITOR, &got, &payload, 0);

	if (number < 0)
		_exit(0);
	if (number == MSG_AUTH_CONTROL && got.nfds) {
		auth = received_take(&got, 0);
	} else if (number == MSG_WHO_SOURCE && msg_who_source_get(&who, payload) &&
		got.nfds && fronts_n < FRONTS_MAX) {
		fronts[fronts_n].incarnation = who.front;
		fronts[fronts_n++].table = received_take(&got, 0);
	}
	received_done(&got);
}

static const char *
told(const char *what, unsigned long n, const char *other, unsigned long m)
{
	static char out[96];

	int at = snprintf(out, sizeof(out), "%s=%lu", what, n);
	if (other && at > 0)
		(void)snprintf(out + at, sizeof(out) - (size_t)at, " %s=%lu", other, m);
	return out;
}

/* Sessions that nobody has, of fronts that there are and of others. */
static const char *
kick_flood(const char *argument)
{
	unsigned long sent = 0, n = strtoul(argument, NULL, 10);

	for (unsigned long i = 0; i < n; i++) {
		uint64_t front = fronts_n && i % 4 ? fronts[i % fronts_n].incarnation : i;
		EVIL(m, kick, {.front = front, .session = UINT64_MAX - i});
		int rc;
		while ((rc = evil_send(FD_MONITOR, &m, NULL, 0)) == -EAGAIN)
			(void)poll(&(struct pollfd){.fd = FD_MONITOR, .events = POLLOUT},
				1, 100);
		if (rc < 0)
			return "end";
		sent++;
	}
	return told("sent", sent, NULL, 0);
}

static const char *
why_flood(const char *argument)
{
	unsigned long sent = 0, answers = 0, n = strtoul(argument, NULL, 10);
	struct view payload;

	for (unsigned long i = 0; i < n; i++) {
		bool by_name = i & 1;
		EVIL(m, why_ask,
			{.question = (uint32_t)i + 1,
				.id = by_name ? 0 : (uint32_t)i,
				.name = by_name ? VIEW("bert") : VIEW(""),
				.address = VIEW("\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1"),
				.mechanism = (uint8_t)(i % MECHANISMS_END)});
		int rc = evil_send(auth, &m, NULL, 0);
		if (rc < 0 && rc != -EAGAIN)
			return "end";
		sent += rc == 0;
		while (evil_receive(auth, &got, &payload, rc < 0 ? 1 : 0) > 0)
			answers++;
	}
	while (evil_receive(auth, &got, &payload, 300) > 0)
		answers++;
	return told("sent", sent, "answers", answers);
}

/* Questions whose answers it does not read. */
static const char *
why_deaf(const char *argument)
{
	unsigned long sent = 0, n = strtoul(argument, NULL, 10);

	for (unsigned long i = 0; i < n; i++) {
		EVIL(m, why_ask,
			{.question = (uint32_t)i + 1,
				.name = VIEW("bert"),
				.address =
					VIEW("\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1")});
		sent += evil_send(auth, &m, NULL, 0) == 0;
	}
	return told("sent", sent, NULL, 0);
}

static const char *
garbage_to_auth(const char *argument)
{
	(void)argument;
	for (size_t n = 1; n < 100; n++)
		(void)channel_send(
			auth, (struct view){(const uint8_t *)fronts, n}, NULL, 0);
	return "said";
}

/* A login, a permit: what others say to auth and to the monitor. */
static const char *
speak_as_others(const char *argument)
{
	EVIL(login, login,
		{.session = UINT64_C(1) << SESSION_COUNT_BIT,
			.mechanism = MECHANISM_PASS,
			.address = VIEW("0123456789abcdef"),
			.name = VIEW("bert"),
			.response = VIEW("secret")});
	EVIL(grant, grant,
		{.front = fronts_n ? fronts[0].incarnation : 1,
			.session = 1,
			.uid = 5001,
			.gid = 5001,
			.rights = RIGHT_READ,
			.store = STORE_MAILDIR,
			.address = VIEW("0123456789abcdef"),
			.user = VIEW("bert"),
			.maildrop = {(const uint8_t *)argument, strlen(argument)}});
	(void)evil_send(auth, &login, NULL, 0);
	(void)evil_send(FD_MONITOR, &grant, NULL, 0);
	return "said";
}

static const char *
odd_command(const char *argument)
{
	EVIL(m, control, {.command = (uint8_t)strtoul(argument, NULL, 10)});
	return evil_send(FD_MONITOR, &m, NULL, 0) < 0 ? "end" : "said";
}

/* The tables of fronts are to be read. */
static const char *
write_table(const char *argument)
{
	(void)argument;
	if (fronts_n == 0)
		return "no-table";
	void *p = mmap(
		NULL, WHO_ROW, PROT_READ | PROT_WRITE, MAP_SHARED, fronts[0].table, 0);
	if (p != MAP_FAILED)
		return "SUCCEEDED";
	return write(fronts[0].table, "x", 1) > 0 ? "SUCCEEDED" : "refused";
}

static const struct {
	const char *name;
	const char *(*run)(const char *argument);
} attacks[] = {
	{"kick_flood", kick_flood},
	{"why_flood", why_flood},
	{"why_deaf", why_deaf},
	{"garbage_to_auth", garbage_to_auth},
	{"speak_as_others", speak_as_others},
	{"odd_command", odd_command},
	{"write_table", write_table},
};

static void
serve(int conn)
{
	char line[512], *save = NULL;
	struct pollfd p = {.fd = conn, .events = POLLIN};
	const char *said = "no such attack";

	(void)send(conn, "EVIL\n", 5, MSG_NOSIGNAL);
	ssize_t n = poll(&p, 1, 2000) > 0 ? recv(conn, line, sizeof(line) - 1, 0) : 0;
	line[n > 0 ? n : 0] = '\0';
	char *name = strtok_r(line, " \n", &save),
	     *argument = strtok_r(NULL, " \n", &save);
	for (size_t i = 0; name && i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (strcmp(name, attacks[i].name) == 0)
			said = attacks[i].run(argument ? argument : "");
	(void)send(conn, said, strlen(said), MSG_NOSIGNAL);
	(void)close(conn);
}

int
main(void)
{
	struct pollfd first = {.fd = FD_MONITOR, .events = POLLIN};
	struct view payload;
	struct msg_control_setup setup;

	(void)poll(&first, 1, 10000);
	if (evil_receive(FD_MONITOR, &got, &payload, 0) != MSG_CONTROL_SETUP ||
		!msg_control_setup_get(&setup, payload) || got.nfds < 2)
		return 70;
	listener = received_take(&got, 1);
	evil_cage(SANDBOX_CONTROL, setup.uid, received_take(&got, 0));
	received_done(&got);
	evil_ready();
	for (;;) {
		struct pollfd on[2] = {{.fd = FD_MONITOR, .events = POLLIN},
			{.fd = listener, .events = POLLIN}};
		(void)poll(on, 2, 1000);
		if (on[0].revents)
			hear_monitor();
		int conn =
			on[1].revents ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (conn >= 0)
			serve(conn);
	}
}
