/*
 * evil_helper.c: a helper of auth that was taken over, in an honest one's cage. The name
 * that it is asked about says what it answers: the attack, a dot, and anything; the
 * password is where the mail should be.
 */
#include "evil.h"
#include "ipc/permit.h"
#include "os/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct received got;
static struct msg_helper_setup setup;
static uint64_t asked; /* how often */
static int auth = -1;

static void
enter_cage(void)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct sandbox_plan plan = {.profile = SANDBOX_HELPER,
		.uid = setup.uid,
		.gid = setup.gid,
		.empty_dir = -1,
		.landlock_dirs = &root,
		.landlock_dirs_n = 1,
		.connects = true,
		.fsize_max = UINT64_MAX};
	const char *step;
	uint32_t parts;

	if (sandbox_enter(&plan, &parts, &step) != 0)
		_exit(73);
	(void)close(root);
}

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static int
say(struct msg_answer m)
{
	static uint8_t storage[MESSAGE_OCTETS_MAX];
	struct buf out = buf_over(storage, sizeof(storage));

	msg_answer_put(&m, &out);
	return evil_send(auth, &out, NULL, 0);
}

struct asked {
	struct msg_answer answer; /* FOUND, and an honest line */
	const struct msg_ask *ask;
	char name[256], mail[512], line[8192];
};

static void
put_line(struct asked *q, const char *name, const char *ids, const char *extra)
{
	/* Of several that say the same thing the last one counts. */
	int n = snprintf(q->line, sizeof(q->line), "%s::%s::/::userdb_mail=maildir:%s %s",
		name, ids, q->mail, extra);

	q->answer.line = (struct view){(const uint8_t *)q->line,
		n < (int)sizeof(q->line) ? (size_t)n : sizeof(q->line) - 1};
}

#define LIE(name) static void name(struct asked *q)

/* ---- lines ------------------------------------------------------------------------- */

LIE(honest)
{
	(void)say(q->answer);
}
LIE(uid0)
{
	put_line(q, q->name, "0:0", "");
	(void)say(q->answer);
}
LIE(gid0)
{
	put_line(q, q->name, "5000:0", "");
	(void)say(q->answer);
}
LIE(service)
{
	char ids[32];
	(void)snprintf(ids, sizeof(ids), "%u:%u", setup.uid, setup.uid);
	put_line(q, q->name, ids, "");
	(void)say(q->answer);
}
LIE(outside)
{
	put_line(q, q->name, "5000:5000", "userdb_mail=maildir:/etc");
	(void)say(q->answer);
}
LIE(dotdot)
{
	char extra[600];
	(void)snprintf(extra, sizeof(extra), "userdb_mail=maildir:%s/../../etc", q->mail);
	put_line(q, q->name, "5000:5000", extra);
	(void)say(q->answer);
}
/* The mail of somebody else, under the name that was asked for. */
LIE(theft)
{
	put_line(q, q->name, "5001:5001", "");
	(void)say(q->answer);
}
LIE(other)
{
	put_line(q, "bert", "5001:5001", "");
	(void)say(q->answer);
}
LIE(noline)
{
	q->answer.line = text("");
	(void)say(q->answer);
}
LIE(lines)
{
	q->answer.line = text("a::1:1::/x::\nbert::5001:5001::/x::");
	(void)say(q->answer);
}
/* A line as long as one may be. */
LIE(longline)
{
	static char extra[8000];
	size_t n = 0;

	while (n + 20 < sizeof(extra))
		n += (size_t)snprintf(
			extra + n, sizeof(extra) - n, "userdb_uid=%u ", 5000U);
	put_line(q, q->name, "5000:5000", extra);
	(void)say(q->answer);
}
LIE(fields)
{
	static char extra[8000];
	size_t n = 0;

	while (n + 20 < sizeof(extra))
		n += (size_t)snprintf(extra + n, sizeof(extra) - n, "evil%zu=yes ", n);
	put_line(q, q->name, "5000:5000", extra);
	(void)say(q->answer);
}
/* A hash that takes all memory, or all time. */
LIE(costly)
{
	int n = snprintf(q->line, sizeof(q->line),
		"%s:{ARGON2ID}$argon2id$v=19$m=4000000,t=1000,p=64$c2FsdHNhbHQ$"
		"aGFzaGhhc2hoYXNoaGFzaA:5000:5000::%s::",
		q->name, q->mail);
	q->answer.line = (struct view){(const uint8_t *)q->line, (size_t)n};
	(void)say(q->answer);
}

/* ---- answers ------------------------------------------------------------------------
 */

LIE(forever)
{
	q->answer.valid_s = UINT32_MAX;
	if (asked > 1)
		q->answer.outcome = ANSWER_WRONG;
	(void)say(q->answer);
}
LIE(twice)
{
	(void)say(q->answer);
	(void)say(q->answer);
}
LIE(unasked)
{
	for (uint64_t i = 1; i < 100; i++) {
		q->answer.question = i * 1000;
		(void)say(q->answer);
	}
}
LIE(zero)
{
	q->answer.question = 0;
	(void)say(q->answer);
}
LIE(late)
{
	(void)poll(NULL, 0, (int)setup.timeout_ms + 500);
	(void)say(q->answer);
}
LIE(never)
{
	(void)q;
}
LIE(outcome)
{
	q->answer.outcome = 250;
	(void)say(q->answer);
}
/* Outcomes of other kinds of question. */
LIE(challenge)
{
	q->answer.outcome = ANSWER_CHALLENGE;
	q->answer.octets = text("x");
	(void)say(q->answer);
}
LIE(named)
{
	q->answer.outcome = ANSWER_NAME;
	q->answer.name = text("bert");
	(void)say(q->answer);
}
LIE(garbage)
{
	uint8_t octets[4096];

	(void)q;
	memset(octets, 0x5a, sizeof(octets));
	for (size_t n = 1; n < sizeof(octets); n += 100)
		(void)channel_send(auth, (struct view){octets, n}, NULL, 0);
}
LIE(flood)
{
	for (unsigned i = 0; i < 20000; i++)
		(void)say(q->answer);
}
LIE(wronglong)
{
	static char reason[256];

	memset(reason, '\n', sizeof(reason));
	q->answer.outcome = ANSWER_TEMPORARY;
	q->answer.reason = (struct view){(const uint8_t *)reason, sizeof(reason)};
	(void)say(q->answer);
}
LIE(grant)
{
	EVIL(m, grant,
		{.front = 1,
			.session = 1,
			.uid = 5001,
			.gid = 5001,
			.rights = RIGHT_READ | RIGHT_DELETE,
			.store = STORE_MAILDIR,
			.address = VIEW("0123456789abcdef"),
			.user = VIEW("bert"),
			.maildrop = text(q->mail)});
	(void)evil_send(auth, &m, NULL, 0);
	(void)evil_send(FD_MONITOR, &m, NULL, 0);
}
LIE(die)
{
	(void)q;
	_exit(1);
}

/* ---- the system ---------------------------------------------------------------------
 */

LIE(write_file)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "%s/evil", q->mail);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	q->answer.outcome = fd >= 0 ? ANSWER_FOUND : ANSWER_WRONG;
	(void)say(q->answer);
}
LIE(exec_shell)
{
	char *const argv[] = {(char[]){"sh"}, NULL};

	(void)execve("/bin/sh", argv, NULL);
	(void)say(q->answer);
}
#define ROW(name)                                                                        \
	{                                                                                \
#name, name                                                              \
	}
static const struct {
	const char *name;
	void (*tell)(struct asked *q);
} lies[] = {
	ROW(uid0),
	ROW(gid0),
	ROW(service),
	ROW(outside),
	ROW(dotdot),
	ROW(theft),
	ROW(other),
	ROW(noline),
	ROW(lines),
	ROW(longline),
	ROW(fields),
	ROW(costly),
	ROW(forever),
	ROW(twice),
	ROW(unasked),
	ROW(zero),
	ROW(late),
	ROW(never),
	ROW(outcome),
	ROW(challenge),
	ROW(named),
	ROW(garbage),
	ROW(flood),
	ROW(wronglong),
	ROW(grant),
	ROW(die),
	ROW(write_file),
	ROW(exec_shell),
};

static void
answer_user(const struct msg_ask *ask)
{
	static struct asked q;

	q = (struct asked){.ask = ask,
		.answer = {.question = ask->question,
			.outcome = ANSWER_FOUND,
			.valid_s = 60}};
	(void)snprintf(q.name, sizeof(q.name), "%.*s", (int)ask->name.n,
		(const char *)ask->name.p);
	(void)snprintf(q.mail, sizeof(q.mail), "%.*s", (int)ask->secret.n,
		(const char *)ask->secret.p);
	put_line(&q, q.name, "5000:5000", "");
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		size_t n = strlen(lies[i].name);
		if (strncmp(q.name, lies[i].name, n) == 0 && q.name[n] == '.') {
			lies[i].tell(&q);
			return;
		}
	}
	honest(&q);
}

/* ---- tickets: what the client sends is what it wants ---------------------------------
 */

static bool
begins(struct view v, const char *with)
{
	return v.n >= strlen(with) && memcmp(v.p, with, strlen(with)) == 0;
}

static void
answer_ticket(const struct msg_ask *ask)
{
	static uint8_t octets[12288];
	struct msg_answer m = {.question = ask->question, .outcome = ANSWER_CHALLENGE};

	if (begins(ask->secret, "huge")) {
		memset(octets, 'x', sizeof(octets));
		m.octets = (struct view){octets, sizeof(octets)};
	} else if (begins(ask->secret, "name ")) {
		m.outcome = ANSWER_NAME;
		m.name = (struct view){ask->secret.p + 5, ask->secret.n - 5};
	} else if (begins(ask->secret, "found")) {
		m.outcome = ANSWER_FOUND;
		m.line = text("bert::5001:5001::/::");
	} else {
		m.octets = text("go on");
	}
	/* It was over: nobody wants to know. */
	if (ask->kind == ASK_END) {
		m.outcome = ANSWER_NAME;
		m.name = text("bert");
	}
	(void)say(m);
}

static void
hear_monitor(void)
{
	struct view payload;
	int number = evil_receive(FD_MONITOR, &got, &payload, 0);

	if (number < 0)
		_exit(0);
	if (number == MSG_HELPER_CHANNEL && got.nfds) {
		if (auth >= 0)
			(void)close(auth);
		auth = received_take(&got, 0);
	}
	received_done(&got);
}

static void
hear_auth(void)
{
	struct view payload;
	struct msg_ask ask;
	int number = evil_receive(auth, &got, &payload, 0);

	if (number < 0) {
		(void)close(auth);
		auth = -1;
		return;
	}
	if (number != MSG_ASK || !msg_ask_get(&ask, payload))
		return;
	asked++;
	if (ask.kind == ASK_LOOKUP || ask.kind == ASK_VERIFY)
		answer_user(&ask);
	else
		answer_ticket(&ask);
}

int
main(void)
{
	static struct received first;
	struct pollfd p = {.fd = FD_MONITOR, .events = POLLIN};
	struct view payload;

	(void)poll(&p, 1, 10000);
	if (evil_receive(FD_MONITOR, &first, &payload, 0) != MSG_HELPER_SETUP ||
		!msg_helper_setup_get(&setup, payload))
		return 70;
	enter_cage();
	evil_ready();
	for (;;) {
		struct pollfd on[2] = {{.fd = FD_MONITOR, .events = POLLIN},
			{.fd = auth, .events = POLLIN}};
		(void)poll(on, 2, 1000);
		if (on[0].revents)
			hear_monitor();
		if (on[1].revents && on[1].fd == auth)
			hear_auth();
	}
}
