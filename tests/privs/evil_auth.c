/*
 * evil_auth.c: an auth that was taken over. The user's name says what it tells the
 * monitor; a name without an attack is granted as an honest auth would (mail_uid,
 * mail_gid and the option maildrop with %u).
 */
#include "evil.h"
#include "ipc/permit.h"
#include "os/sandbox.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRONTS_MAX 16

static struct {
	uint32_t uid, mail_uid, mail_gid;
	char maildrop[1024]; /* up to %u */
	int empty_dir;
	struct {
		uint64_t incarnation;
		int fd;
	} fronts[FRONTS_MAX];
	size_t fronts_n;
} evil = {.empty_dir = -1};

static struct received got;

/* What an honest one offers; fronts serve nobody before they have heard it. */
static void
offer(int fd, uint32_t mechanisms)
{
	EVIL(m, auth_offer, {.mechanisms = mechanisms, .expire_days = UINT32_MAX});
	(void)evil_send(fd, &m, NULL, 0);
}

static void
hear(void)
{
	struct view payload;
	struct msg_auth_setup setup;
	struct msg_auth_front front;
	int number = evil_receive(FD_MONITOR, &got, &payload, 0);

	if (number < 0)
		_exit(0);
	if (number == MSG_AUTH_SETUP && msg_auth_setup_get(&setup, payload)) {
		evil.uid = setup.uid;
		evil.mail_uid = setup.mail_uid;
		evil.mail_gid = setup.mail_gid;
		(void)snprintf(evil.maildrop, sizeof(evil.maildrop), "%.*s",
			(int)setup.maildrop.n, (const char *)setup.maildrop.p);
		evil.empty_dir = got.nfds ? received_take(&got, 0) : -1;
	} else if (number == MSG_AUTH_FRONT && msg_auth_front_get(&front, payload) &&
		got.nfds && evil.fronts_n < FRONTS_MAX) {
		evil.fronts[evil.fronts_n].incarnation = front.front;
		evil.fronts[evil.fronts_n].fd = received_take(&got, 0);
		offer(evil.fronts[evil.fronts_n++].fd,
			1U << MECHANISM_PASS | 1U << MECHANISM_PLAIN);
	}
	received_done(&got);
}

static void
say(struct msg_grant grant)
{
	uint8_t storage[4096];
	struct buf out = buf_over(storage, sizeof(storage));

	msg_grant_put(&grant, &out);
	(void)evil_send(FD_MONITOR, &out, NULL, 0);
}

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* The name is the attack; true if it was one. */
static bool
lie(struct msg_grant g, const char *name)
{
	uint64_t session = g.session;

	if (strcmp(name, "uid0") == 0)
		g.uid = 0;
	else if (strcmp(name, "gid0") == 0)
		g.gid = 0;
	else if (strcmp(name, "service") == 0)
		g.uid = g.gid = evil.uid;
	else if (strcmp(name, "front") == 0)
		g.uid = g.gid = evil.uid + 6;
	else if (strcmp(name, "toolow") == 0)
		g.uid = g.gid = 1;
	else if (strcmp(name, "toohigh") == 0)
		g.uid = g.gid = 4000000000U;
	else if (strcmp(name, "nouid") == 0)
		g.uid = g.gid = UINT32_MAX;
	else if (strcmp(name, "gidservice") == 0)
		g.gid = evil.uid;
	else if (strcmp(name, "deliver") == 0)
		g.rights = RIGHT_DELIVER;
	else if (strcmp(name, "outside") == 0)
		g.maildrop = text("/etc");
	else if (strcmp(name, "root") == 0)
		g.maildrop = text("/");
	else if (strcmp(name, "relative") == 0)
		g.maildrop = text("etc");
	else if (strcmp(name, "empty") == 0)
		g.maildrop = text("");
	else if (strcmp(name, "badstore") == 0)
		g.store = 200;
	else if (strcmp(name, "badrights") == 0)
		g.rights = 0xff;
	else if (strcmp(name, "badaddress") == 0)
		g.address = text("short");
	else if (strcmp(name, "deadfront") == 0)
		g.front += 1000;
	else if (strcmp(name, "nosession") == 0)
		g.session = UINT64_MAX - session;
	else if (strcmp(name, "nul") == 0)
		g.maildrop = VIEW("/tmp\0/x");
	else if (strcmp(name, "manyconnections") == 0)
		g.connections = UINT32_MAX;
	else if (strcmp(name, "longdelay") == 0)
		g.login_delay_s = UINT32_MAX;
	else if (strcmp(name, "longexpire") == 0)
		g.expire_days = UINT32_MAX - 1;
	else if (strcmp(name, "tlstwo") == 0)
		g.tls = 2;
	else
		return false;
	say(g);
	return true;
}

/* ---- what it tells fronts ----------------------------------------------------- */

static void
challenge(int fd, uint64_t session, size_t n)
{
	static uint8_t octets[12288];

	memset(octets, 'x', sizeof(octets));
	EVIL(m, challenge, {.session = session, .octets = {octets, n}});
	(void)evil_send(fd, &m, NULL, 0);
}

static void
fail(int fd, uint64_t session, uint8_t code, uint32_t delay_ms)
{
	EVIL(m, login_failed, {.session = session, .code = code, .delay_ms = delay_ms});
	(void)evil_send(fd, &m, NULL, 0);
}

/* Words for sessions of others, and of nobody. */
static void
meddle(int fd, uint64_t session)
{
	for (uint64_t i = 1; i < 300; i++) {
		uint64_t other = session ^ i;
		challenge(fd, other, 10);
		fail(fd, session + (i << SESSION_COUNT_BIT), REFUSAL_CREDENTIALS, 0);
		EVIL(m, stamp, {.connection = i, .stamp = VIEW("<1.2@x>\r\n+OK")});
		(void)evil_send(fd, &m, NULL, 0);
	}
}

static void
offer_garbage(int fd)
{
	EVIL(m, auth_offer,
		{.mechanisms = UINT32_MAX,
			.expire_days = 4000000000U,
			.expire_differs = 77,
			.login_delay_s = UINT32_MAX,
			.login_delay_differs = 200});
	for (unsigned i = 0; i < 100; i++)
		(void)evil_send(fd, &m, NULL, 0);
}

/* True: the session has its answer. */
static bool
lie_to_front(int fd, const char *name, uint64_t session)
{
	if (strcmp(name, "meddle") == 0)
		meddle(fd, session);
	else if (strcmp(name, "offers") == 0)
		offer_garbage(fd);
	else if (strcmp(name, "challenge") == 0)
		challenge(fd, session, 10);
	else if (strcmp(name, "hugechallenge") == 0)
		challenge(fd, session, 12288);
	else if (strcmp(name, "oddcode") == 0)
		fail(fd, session, 250, 0);
	else if (strcmp(name, "longwait") == 0)
		fail(fd, session, REFUSAL_CREDENTIALS, UINT32_MAX);
	return strstr(name, "challenge") || strcmp(name, "oddcode") == 0 ||
		strcmp(name, "longwait") == 0;
}

static void
answer(size_t front, const struct msg_login *ask)
{
	char name[256], path[1400], *at;
	struct msg_grant g = {.front = evil.fronts[front].incarnation,
		.session = ask->session,
		.uid = evil.mail_uid,
		.gid = evil.mail_gid,
		.rights = RIGHT_READ | RIGHT_DELETE,
		.store = STORE_MAILDIR,
		.tls = ask->tls,
		.address = ask->address,
		.port = ask->port,
		.user = ask->name};

	(void)snprintf(
		name, sizeof(name), "%.*s", (int)ask->name.n, (const char *)ask->name.p);
	at = strstr(evil.maildrop, "%u");
	(void)snprintf(path, sizeof(path), "%.*s%s",
		at ? (int)(at - evil.maildrop - 8) : 0, evil.maildrop + 8,
		name); /* behind "maildir:" */
	g.maildrop = text(path);
	if (lie(g, name) || lie_to_front(evil.fronts[front].fd, name, ask->session))
		return;
	if (strcmp(name, "dotdot") == 0) {
		(void)snprintf(path, sizeof(path), "%.*s../../etc",
			(int)(at - evil.maildrop - 8), evil.maildrop + 8);
		g.maildrop = text(path);
	}
	if (strcmp(name, "garbage") == 0) {
		for (size_t n = 1; n < 200; n++)
			(void)channel_send(FD_MONITOR,
				(struct view){(const uint8_t *)path, n}, NULL, 0);
		return;
	}
	say(g);
	if (strcmp(name, "twice") == 0)
		say(g);
	if (strcmp(name, "flood") == 0)
		for (unsigned i = 0; i < 5000; i++) {
			g.session += 1000000;
			say(g);
		}
}

static void
hear_front(size_t i)
{
	struct view payload;
	struct msg_login ask;
	int number = evil_receive(evil.fronts[i].fd, &got, &payload, 0);

	if (number < 0) {
		(void)close(evil.fronts[i].fd);
		evil.fronts[i] = evil.fronts[--evil.fronts_n];
		return;
	}
	if (number == MSG_LOGIN && msg_login_get(&ask, payload))
		answer(i, &ask);
	received_done(&got);
}

int
main(void)
{
	while (evil.uid == 0 && evil.maildrop[0] == '\0') {
		struct pollfd p = {.fd = FD_MONITOR, .events = POLLIN};
		(void)poll(&p, 1, 1000);
		hear();
	}
	evil_cage(SANDBOX_AUTH, evil.uid, evil.empty_dir);
	evil_ready();
	for (;;) {
		struct pollfd p[1 + FRONTS_MAX] = {{.fd = FD_MONITOR, .events = POLLIN}};
		size_t n = evil.fronts_n;
		for (size_t i = 0; i < n; i++)
			p[1 + i] = (struct pollfd){
				.fd = evil.fronts[i].fd, .events = POLLIN};
		(void)poll(p, (nfds_t)(1 + n), 1000);
		if (p[0].revents)
			hear();
		for (size_t i = n; i > 0; i--)
			if (p[i].revents)
				hear_front(i - 1);
	}
}
