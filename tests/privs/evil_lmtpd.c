/*
 * evil_lmtpd.c: an lmtpd that was taken over, behind a real one's cage. It greets with
 * "EVIL", reads one line "ATTACK ARGUMENTS", and answers with what came of it. A cage
 * that kills shows as a connection that ends without answer.
 */
#include "evil.h"
#include "ipc/permit.h"
#include "os/sandbox.h"
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEARD_MS 3000
#define LETTER	 "Subject: evil\r\n\r\nhello\r\n"

static struct {
	uint64_t incarnation, session;
	uint32_t uid;
	int empty_dir, auth, listener;
	int mail;     /* the last deposit channel, or -1 */
	int spool[2]; /* the last spool's descriptors, or -1 */
	uint32_t spool_error;
} evil = {.empty_dir = -1, .auth = -1, .listener = -1, .mail = -1, .spool = {-1, -1}};

static struct received got;

static void
take(int *fd, size_t i)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = got.nfds > i ? received_take(&got, i) : -1;
}

static void
hear(int number, struct view payload)
{
	struct msg_lmtp_setup setup;
	struct msg_spool_file spool;

	if (number == MSG_LMTP_SETUP && msg_lmtp_setup_get(&setup, payload)) {
		evil.incarnation = setup.incarnation;
		evil.uid = setup.uid;
		take(&evil.empty_dir, 0);
	} else if (number == MSG_LMTP_LISTENER) {
		take(&evil.listener, 0);
	} else if (number == MSG_FRONT_AUTH) {
		take(&evil.auth, 0);
	} else if (number == MSG_SESSION_ATTACHED) {
		take(&evil.mail, 0);
	} else if (number == MSG_SPOOL_FILE && msg_spool_file_get(&spool, payload)) {
		evil.spool_error = spool.error;
		take(&evil.spool[0], 0);
		take(&evil.spool[1], 1);
	}
	received_done(&got);
}

/* The number that came, or 0; ends with the monitor. */
static int
hear_one(int ms)
{
	struct view payload;
	int number = evil_receive(FD_MONITOR, &got, &payload, ms);

	if (number < 0)
		_exit(0);
	if (number > 0)
		hear(number, payload);
	return number;
}

static uint64_t
next_session(void)
{
	evil.session += UINT64_C(1) << SESSION_COUNT_BIT;
	return evil.session;
}

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static const char *
look_up(uint64_t session, const char *name)
{
	static char text[32];
	struct view payload;
	struct msg_lookup_failed failed;

	EVIL(ask, lookup, {.session = session, .name = view_of(name)});
	if (evil_send(evil.auth, &ask, NULL, 0) < 0)
		return "end";
	for (int waited = 0; waited < HEARD_MS; waited += 50) {
		int number = hear_one(25);
		if (number == MSG_SESSION_ATTACHED)
			return "attached";
		if (number == MSG_SESSION_REFUSED)
			return "refused";
		number = evil_receive(evil.auth, &got, &payload, 25);
		if (number < 0)
			return "end";
		if (number == MSG_LOOKUP_FAILED &&
			msg_lookup_failed_get(&failed, payload)) {
			(void)snprintf(text, sizeof(text), "failed=%u", failed.code);
			return text;
		}
	}
	return "silence";
}

static const char *
keeper_says(int ms)
{
	static char text[48];
	struct view payload;
	struct msg_deposited done;
	int number = evil_receive(evil.mail, &got, &payload, ms);

	received_done(&got);
	if (number == MSG_DEPOSITED && msg_deposited_get(&done, payload)) {
		(void)snprintf(text, sizeof(text), "deposited=%u", done.outcome);
		return text;
	}
	return number < 0     ? "end"
		: number == 0 ? "silence"
			      : message_name((uint16_t)number);
}

static const char *
deposit_with(int fd, uint64_t length)
{
	EVIL(say, deposit,
		{.length = length, .sender = VIEW("a@b"), .recipient = VIEW("anna")});
	if (evil_send(evil.mail, &say, &fd, fd >= 0) < 0)
		return "end";
	return keeper_says(HEARD_MS);
}

static const char *
result(long rc)
{
	static char text[64];

	if (rc >= 0)
		return "SUCCEEDED";
	(void)snprintf(text, sizeof(text), "errno=%d", errno);
	return text;
}

#define ATTACK(name) static const char *name([[maybe_unused]] const char *a)

ATTACK(open_file)
{
	return result(openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC));
}
ATTACK(make_socket)
{
	return result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}
ATTACK(exec_shell)
{
	char *const argv[] = {(char[]){"sh"}, NULL};
	return result(execve("/bin/sh", argv, NULL));
}
ATTACK(fork_child)
{
	return result(fork());
}
ATTACK(kill_monitor)
{
	return result(kill(getppid(), SIGKILL));
}
ATTACK(become_root)
{
	return result(setresuid(0, 0, 0));
}
ATTACK(shut_listener)
{
	return result(shutdown(evil.listener, SHUT_RDWR));
}
ATTACK(lookup_as)
{
	return look_up(next_session(), a);
}
ATTACK(lookup_again)
{
	const char *said = look_up(next_session(), a);

	return strcmp(said, "attached") == 0 ? look_up(evil.session, a) : said;
}
ATTACK(deposit)
{
	const char *said = look_up(next_session(), a);
	int letter = sealed_new("letter", VIEW(LETTER));

	if (strcmp(said, "attached") != 0)
		return said;
	said = deposit_with(letter, sizeof(LETTER) - 1);
	(void)close(letter);
	return said;
}
ATTACK(deposit_beyond)
{
	const char *said = look_up(next_session(), a);
	int letter = sealed_new("letter", VIEW(LETTER));

	if (strcmp(said, "attached") != 0)
		return said;
	said = deposit_with(letter, UINT64_MAX);
	(void)close(letter);
	return said;
}
ATTACK(deposit_nothing)
{
	const char *said = look_up(next_session(), a);

	return strcmp(said, "attached") == 0 ? deposit_with(-1, 10) : said;
}
ATTACK(deposit_socket)
{
	const char *said = look_up(next_session(), a);

	return strcmp(said, "attached") == 0 ? deposit_with(evil.listener, 10) : said;
}
ATTACK(deposit_writable)
{
	const char *said = look_up(next_session(), a);

	if (strcmp(said, "attached") != 0 || evil.spool[0] < 0)
		return "no spool";
	if (pwrite(evil.spool[0], LETTER, sizeof(LETTER) - 1, 0) < 0)
		return result(-1);
	return deposit_with(evil.spool[0], sizeof(LETTER) - 1);
}
/* What a front says to a keeper is not heard on a deposit's channel. */
ATTACK(want_mail)
{
	static const uint8_t one[4] = {1};
	const char *said = look_up(next_session(), a);

	if (strcmp(said, "attached") != 0)
		return said;
	EVIL(ask, want, {.msgnos = {one, sizeof(one)}});
	(void)evil_send(evil.mail, &ask, NULL, 0);
	return keeper_says(HEARD_MS);
}
ATTACK(delete_mail)
{
	const char *said = look_up(next_session(), a);

	if (strcmp(said, "attached") != 0)
		return said;
	EVIL(say, verdict, {.first = 1, .last = 1, .marks = VIEW("\xff")});
	(void)evil_send(evil.mail, &say, NULL, 0);
	return keeper_says(HEARD_MS);
}
ATTACK(log_in)
{
	EVIL(ask, login,
		{.session = next_session(),
			.mechanism = MECHANISM_PASS,
			.address = VIEW("0123456789abcdef"),
			.name = view_of(a),
			.response = VIEW("secret")});
	(void)evil_send(evil.auth, &ask, NULL, 0);
	for (int waited = 0; waited < HEARD_MS; waited += 50) {
		struct view payload;
		if (hear_one(25) == MSG_SESSION_ATTACHED)
			return "SUCCEEDED";
		if (evil_receive(evil.auth, &got, &payload, 25) < 0)
			return "end";
	}
	return "silence";
}
ATTACK(grant_to_monitor)
{
	EVIL(m, grant,
		{.front = evil.incarnation,
			.session = next_session(),
			.uid = 5000,
			.gid = 5000,
			.rights = RIGHT_DELIVER,
			.store = STORE_MAILDIR,
			.address = VIEW("0123456789abcdef"),
			.user = VIEW("x"),
			.maildrop = view_of(a)});
	(void)evil_send(FD_MONITOR, &m, NULL, 0);
	return hear_one(HEARD_MS) == MSG_SESSION_ATTACHED ? "SUCCEEDED" : "silence";
}
ATTACK(spool)
{
	EVIL(ask, spool_ask, {.session = next_session()});
	(void)evil_send(FD_MONITOR, &ask, NULL, 0);
	if (hear_one(HEARD_MS) != MSG_SPOOL_FILE)
		return "silence";
	return evil.spool[0] >= 0 && evil.spool[1] >= 0 ? "spooled" : "none";
}
ATTACK(spool_write_to_the_read_only)
{
	return result(pwrite(evil.spool[1], "x", 1, 0));
}
ATTACK(spool_link)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", evil.spool[0]);
	return result(linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/x", AT_SYMLINK_FOLLOW));
}
/* More than the rate: the rest is refused, and nobody is ended for it. Several at once,
 * or a busy machine would ask more slowly than that. */
ATTACK(spool_flood)
{
	static char text[64];
	unsigned made = 0, refused = 0, asked = 0;

	for (unsigned i = 0; i < 2000; i++) {
		for (; asked < 2000 && asked < i + 64; asked++) {
			EVIL(ask, spool_ask, {.session = next_session()});
			(void)evil_send(FD_MONITOR, &ask, NULL, 0);
		}
		if (hear_one(60 * 1000) != MSG_SPOOL_FILE)
			break;
		made += evil.spool_error == 0;
		refused += evil.spool_error == EBUSY;
	}
	(void)snprintf(text, sizeof(text), "made=%u refused=%u", made, refused);
	return text;
}

/* Questions whose answers nobody takes, until no more can be asked. */
ATTACK(lookup_flood)
{
	static char text[64];
	struct pollfd p = {.fd = evil.auth, .events = POLLOUT};
	unsigned sent = 0;

	while (sent < 200000 && poll(&p, 1, 200) > 0) {
		EVIL(ask, lookup, {.session = next_session(), .name = view_of(a)});
		if (evil_send(evil.auth, &ask, NULL, 0) == 0)
			sent++;
		else if (errno != EAGAIN)
			break;
	}
	(void)snprintf(text, sizeof(text), "sent=%u", sent);
	return text;
}
/* Ways to keepers that are never used. */
ATTACK(hoard)
{
	static char text[64];
	unsigned kept = 0;

	while (kept < 800 && strcmp(look_up(next_session(), a), "attached") == 0) {
		evil.mail = -1;
		kept++;
	}
	(void)snprintf(text, sizeof(text), "kept=%u", kept);
	return text;
}

static const struct attack {
	const char *name;
	const char *(*run)(const char *a);
} attacks[] = {
#define ROW(name)                                                                        \
	{                                                                                \
#name, name                                                              \
	}
	ROW(open_file),
	ROW(make_socket),
	ROW(exec_shell),
	ROW(fork_child),
	ROW(kill_monitor),
	ROW(become_root),
	ROW(shut_listener),
	ROW(lookup_as),
	ROW(lookup_again),
	ROW(deposit),
	ROW(deposit_beyond),
	ROW(deposit_nothing),
	ROW(deposit_socket),
	ROW(deposit_writable),
	ROW(want_mail),
	ROW(delete_mail),
	ROW(log_in),
	ROW(grant_to_monitor),
	ROW(spool),
	ROW(spool_write_to_the_read_only),
	ROW(spool_link),
	ROW(spool_flood),
	ROW(lookup_flood),
	ROW(hoard),
};

static const char *
run(char *line)
{
	char *save = NULL, *name = strtok_r(line, " \r\n", &save);
	char *a = strtok_r(NULL, " \r\n", &save);

	for (size_t i = 0; name && i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (strcmp(attacks[i].name, name) == 0)
			return attacks[i].run(a ? a : "");
	return "no such attack";
}

static void
serve(int conn)
{
	char line[512];
	struct pollfd p = {.fd = conn, .events = POLLIN};

	(void)send(conn, "EVIL\r\n", 6, MSG_NOSIGNAL);
	if (poll(&p, 1, 2000) > 0) {
		ssize_t n = recv(conn, line, sizeof(line) - 1, MSG_DONTWAIT);
		if (n > 0) {
			line[n] = '\0';
			const char *said = run(line);
			(void)send(conn, said, strlen(said), MSG_NOSIGNAL);
		}
	}
	(void)close(conn);
}

int
main(void)
{
	while (evil.auth < 0 || evil.listener < 0)
		(void)hear_one(1000);
	evil_cage(SANDBOX_LMTPD, evil.uid, evil.empty_dir);
	evil_ready();
	for (;;) {
		struct pollfd on[2] = {{.fd = FD_MONITOR, .events = POLLIN},
			{.fd = evil.listener, .events = POLLIN}};
		(void)poll(on, 2, 1000);
		(void)hear_one(0);
		int conn =
			accept4(evil.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn >= 0)
			serve(conn);
	}
}
