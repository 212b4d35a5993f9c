/*
 * crowd.c: thousands of POP3 sessions out of one process, for bench/crowd and
 * tests/e2e/test_crowd.py.
 *
 *     crowd make DIR USERS MESSAGES UID     Maildirs DIR/u00000, DIR/u00001, ...
 *     crowd run ADDRESS PORT plain|tls FIRST SESSIONS AT_ONCE MESSAGES PASSWORD
 *
 * Each session has a user and a source address of its own. `run` does what the lines of
 * its standard input say, and answers each with a line of JSON:
 *
 *     login        connect and log in all sessions that are not, AT_ONCE at a time
 *     greet        connect all, AT_ONCE of them not greeted at a time; then say QUIT
 *     wave N       the first N that are logged in: STAT, UIDL, RETR of each message, not
 *                  pipelined, QUIT; every octet is compared with what was made
 *     alive N      NOOP, by the first N
 *     quit N       QUIT, by the first N
 *
 * What a server refuses is counted by its words; it ends that session and not the run.
 */
#include "crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define STUCK_MS 60000

[[gnu::noreturn]] void
crowd_fail(const char *what, const char *why)
{
	(void)fprintf(stderr, "crowd: %s: %s\n", what, why);
	exit(1);
}

double
crowd_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- commands ------------------------------------------------------------------- */

static bool
turn(struct crowd *c, int wait_ms)
{
	struct epoll_event got[256];
	int n = epoll_wait(c->epoll, got, 256, wait_ms);

	if (n < 0 && errno != EINTR)
		crowd_fail("epoll", strerror(errno));
	for (int i = 0; i < n; i++)
		crowd_ready(c, got[i].data.ptr);
	return n != 0;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
report(struct crowd *c, const char *what, unsigned asked, double from)
{
	double wall = crowd_now_ms() - from;
	unsigned n = c->ok, idle = 0;
	const char *comma = "";

	for (unsigned i = 0; i < c->sessions; i++)
		idle += c->all[i].at == AT_IDLE;
	qsort(c->took, n, sizeof(c->took[0]), compare);
	(void)printf("{\"what\": \"%s\", \"asked\": %u, \"ok\": %u, \"idle\": %u, "
		     "\"wall_ms\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
		     "\"max_ms\": %.2f, \"octets\": %llu, \"errors\": {",
		what, asked, n, idle, wall, n ? c->took[n / 2] : 0.0,
		n ? c->took[n - 1 - n / 100] : 0.0, n ? c->took[n - 1] : 0.0, c->octets);
	for (unsigned i = 0; i < ERRORS_MAX && c->counts[i] > 0; i++) {
		(void)printf("%s\"", comma);
		for (const char *p = c->errors[i]; *p; p++)
			(void)printf(
				*p == '"' || *p == '\\' || *p < ' ' ? "?" : "%c", *p);
		(void)printf("\": %u", c->counts[i]);
		comma = ", ";
	}
	(void)printf("}}\n");
	(void)fflush(stdout);
}

static void
reset(struct crowd *c)
{
	c->ok = 0;
	c->octets = 0;
	memset(c->counts, 0, sizeof(c->counts));
	memset(c->errors, 0, sizeof(c->errors));
}

static void
finish(struct crowd *c)
{
	while (c->active > 0)
		if (!turn(c, STUCK_MS))
			break;
	if (c->active > 0)
		crowd_count_error(c, "no answer in a minute");
}

static void
command_connect(struct crowd *c, const char *what, bool greet)
{
	double from = crowd_now_ms();
	unsigned asked = 0;

	reset(c);
	c->greet = greet;
	for (unsigned i = 0; i < c->sessions; i++) {
		if (c->all[i].at != AT_NOWHERE)
			continue;
		asked++;
		crowd_begin(c, &c->all[i]);
		while (c->active >= c->at_once)
			if (!turn(c, STUCK_MS))
				break;
		/* Who is answered while others still connect is heard then. */
		if (asked % 8 == 0)
			(void)turn(c, 0);
	}
	finish(c);
	report(c, what, asked, from);
}

static void
command_say(
	struct crowd *c, const char *what, unsigned asked, enum at at, const char *text)
{
	double from = crowd_now_ms();
	unsigned n = 0;

	reset(c);
	c->greet = false;
	for (unsigned i = 0; i < c->sessions && n < asked; i++) {
		struct client *s = &c->all[i];
		if (s->at != AT_IDLE)
			continue;
		n++;
		c->active++;
		s->since = crowd_now_ms();
		s->msgno = 0;
		crowd_say(c, s, at, text);
	}
	finish(c);
	report(c, what, n, from);
}

static void
command_greet(struct crowd *c)
{
	command_connect(c, "greet", true);
	reset(c);
	for (unsigned i = 0; i < c->sessions; i++) {
		struct client *s = &c->all[i];
		if (s->at != AT_IDLE)
			continue;
		c->active++;
		crowd_say(c, s, AT_QUIT, "QUIT\r\n");
	}
	finish(c);
}

static void
run(struct crowd *c)
{
	char line[64];
	unsigned n;

	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "login\n") == 0)
			command_connect(c, "login", false);
		else if (strcmp(line, "greet\n") == 0)
			command_greet(c);
		else if (sscanf(line, "wave %u", &n) == 1)
			command_say(c, "wave", n, AT_STAT, "STAT\r\n");
		else if (sscanf(line, "alive %u", &n) == 1)
			command_say(c, "alive", n, AT_NOOP, "NOOP\r\n");
		else if (sscanf(line, "quit %u", &n) == 1)
			command_say(c, "quit", n, AT_QUIT, "QUIT\r\n");
		else
			crowd_fail(line, "no such command");
	}
}

static unsigned
number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

int
main(int argc, char **argv)
{
	static struct crowd c;
	struct rlimit files;

	if (argc == 6 && strcmp(argv[1], "make") == 0) {
		for (unsigned u = 0; u < number(argv[3]); u++)
			crowd_make(argv[2], u, number(argv[4]), number(argv[5]));
		return 0;
	}
	if (argc != 10 || strcmp(argv[1], "run") != 0)
		crowd_fail("usage",
			"crowd make DIR USERS MESSAGES UID, or crowd run ADDRESS PORT "
			"plain|tls FIRST SESSIONS AT_ONCE MESSAGES PASSWORD");
	c.to = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t)number(argv[3]))};
	if (inet_pton(AF_INET, argv[2], &c.to.sin_addr) != 1)
		crowd_fail(argv[2], "no IPv4 address");
	if (strcmp(argv[4], "tls") == 0) {
		c.tls = SSL_CTX_new(TLS_client_method());
		(void)SSL_CTX_set_min_proto_version(c.tls, TLS1_3_VERSION);
		(void)SSL_CTX_set_mode(c.tls, SSL_MODE_RELEASE_BUFFERS);
	}
	c.first = number(argv[5]);
	c.sessions = number(argv[6]);
	c.at_once = number(argv[7]);
	c.messages = number(argv[8]);
	c.password = argv[9];
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	c.epoll = epoll_create1(EPOLL_CLOEXEC);
	c.all = calloc(c.sessions, sizeof(c.all[0]));
	c.took = calloc(c.sessions, sizeof(c.took[0]));
	if (c.epoll < 0 || !c.all || !c.took || c.at_once == 0)
		crowd_fail("start", "no memory");
	for (unsigned i = 0; i < c.sessions; i++) {
		c.all[i].fd = -1;
		c.all[i].user = c.first + i;
	}
	run(&c);
	return 0;
}
