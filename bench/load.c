/*
 * load.c: a load of POP3 sessions, for bench/serve. Several threads, each with one
 * blocking connection at a time; every answer is read and checked, so that a server that
 * cheats or errs makes the run fail.
 *
 *     load ADDRESS PORT plain|tls MODE SESSIONS THREADS USERS PASSWORD
 *
 * MODE: login  USER PASS STAT QUIT
 *       poll   CAPA USER PASS STAT UIDL QUIT
 *       retr   USER PASS STAT, RETR of all messages pipelined, QUIT
 *       dele   as retr, with DELE of all
 * Users are u0000 to u(USERS-1), dealt out to the threads, each of which takes its own in
 * turn: one maildrop never has two sessions at once, however threads are delayed. Prints
 * one line: sessions, messages, octets of messages, wall milliseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { MODE_LOGIN, MODE_POLL, MODE_RETR, MODE_DELE };

struct load {
	struct sockaddr_in to;
	SSL_CTX *tls; /* NULL: plain */
	enum mode mode;
	unsigned sessions, users, threads;
	const char *password;
	atomic_uint next, workers;
	atomic_ullong messages, octets;
};

struct client {
	int fd;
	SSL *ssl;
	size_t at, n; /* what is read and not yet used */
	char in[65536];
};

[[gnu::noreturn, gnu::format(printf, 1, 2)]] static void
fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	exit(1);
}

static void
send_all(struct client *c, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = c->ssl ? SSL_write(c->ssl, p, (int)n) : write(c->fd, p, n);
		if (sent <= 0)
			fail("write: %s", strerror(errno));
		p += sent;
		n -= (size_t)sent;
	}
}

static bool
fill(struct client *c)
{
	if (c->at > 0) {
		memmove(c->in, c->in + c->at, c->n - c->at);
		c->n -= c->at;
		c->at = 0;
	}
	size_t room = sizeof(c->in) - c->n;
	ssize_t got = c->ssl ? SSL_read(c->ssl, c->in + c->n, (int)room)
			     : read(c->fd, c->in + c->n, room);
	if (got <= 0)
		return false;
	c->n += (size_t)got;
	return true;
}

/* The next line, without its CRLF; its memory lives until the next call. */
static char *
line(struct client *c, size_t *ret_n)
{
	size_t from = c->at;

	for (;;) {
		char *nl = memchr(c->in + from, '\n', c->n - from);
		if (nl) {
			char *start = c->in + c->at;
			size_t n = (size_t)(nl - start);
			if (n == 0 || start[n - 1] != '\r')
				fail("a line that does not end in CRLF");
			start[n - 1] = '\0';
			c->at += n + 1;
			*ret_n = n - 1;
			return start;
		}
		from = c->n - c->at;
		if (c->n - c->at == sizeof(c->in))
			fail("a line of more than %zu octets", sizeof(c->in));
		if (!fill(c))
			fail("the server closed in the middle of an answer");
	}
}

static const char *
expect_ok(struct client *c, const char *what)
{
	size_t n;
	const char *got = line(c, &n);

	if (strncmp(got, "+OK", 3) != 0)
		fail("%s: %s", what, got);
	return got;
}

static void
say(struct client *c, const char *format, ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	send_all(c, text, (size_t)n);
}

static unsigned
multi(struct client *c, const char *what)
{
	unsigned lines = 0;
	size_t n;

	(void)expect_ok(c, what);
	while (strcmp(line(c, &n), ".") != 0)
		lines++;
	return lines;
}

/* The octets of one message, with CRLF and without stuffing, up to its terminator. */
static unsigned long long
message(struct client *c)
{
	unsigned long long octets = 0;
	size_t n;

	(void)expect_ok(c, "RETR");
	for (;;) {
		const char *l = line(c, &n);
		if (n == 1 && l[0] == '.')
			return octets;
		octets += n + 2 - (l[0] == '.' ? 1U : 0U);
	}
}

static void
retrieve(struct load *l, struct client *c, unsigned count, unsigned long long announced)
{
	unsigned long long octets = 0;
	char *all = malloc((size_t)count * 32 + 1);
	size_t n = 0;

	if (!all)
		fail("no memory");
	for (unsigned i = 1; i <= count; i++) {
		n += (size_t)snprintf(all + n, 16, "RETR %u\r\n", i);
		if (l->mode == MODE_DELE)
			n += (size_t)snprintf(all + n, 16, "DELE %u\r\n", i);
	}
	send_all(c, all, n);
	free(all);
	for (unsigned i = 0; i < count; i++) {
		octets += message(c);
		if (l->mode == MODE_DELE)
			(void)expect_ok(c, "DELE");
	}
	if (octets != announced)
		fail("%llu octets came, %llu were announced", octets, announced);
	atomic_fetch_add(&l->messages, count);
	atomic_fetch_add(&l->octets, octets);
}

static void
dialogue(struct load *l, struct client *c, unsigned user)
{
	unsigned count;
	unsigned long long octets;

	(void)expect_ok(c, "greeting");
	if (l->mode == MODE_POLL) {
		say(c, "CAPA\r\n");
		(void)multi(c, "CAPA");
	}
	say(c, "USER u%04u\r\n", user);
	(void)expect_ok(c, "USER");
	say(c, "PASS %s\r\n", l->password);
	(void)expect_ok(c, "PASS");
	say(c, "STAT\r\n");
	if (sscanf(expect_ok(c, "STAT"), "+OK %u %llu", &count, &octets) != 2)
		fail("STAT: no numbers");
	if (l->mode == MODE_POLL) {
		say(c, "UIDL\r\n");
		if (multi(c, "UIDL") != count)
			fail("UIDL and STAT disagree");
	}
	if (l->mode == MODE_RETR || l->mode == MODE_DELE)
		retrieve(l, c, count, octets);
	say(c, "QUIT\r\n");
	(void)expect_ok(c, "QUIT");
}

static void
session(struct load *l, struct client *c, unsigned user)
{
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->at = c->n = 0;
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&l->to, sizeof(l->to)) < 0)
		fail("connect: %s", strerror(errno));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (l->tls) {
		c->ssl = SSL_new(l->tls);
		if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
			fail("TLS: %s", ERR_reason_error_string(ERR_get_error()));
	}
	dialogue(l, c, user);
	if (c->ssl) {
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	(void)close(c->fd);
}

static void *
worker(void *arg)
{
	struct load *l = arg;
	struct client *c = calloc(1, sizeof(*c));
	unsigned mine = atomic_fetch_add(&l->workers, 1), user = mine;

	if (!c)
		fail("no memory");
	while (atomic_fetch_add(&l->next, 1) < l->sessions) {
		session(l, c, user);
		user += l->threads;
		if (user >= l->users)
			user = mine;
	}
	free(c);
	return NULL;
}

static enum mode
mode_of(const char *name)
{
	static const char *const names[] = {"login", "poll", "retr", "dele"};

	for (unsigned i = 0; i < 4; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum mode)i;
	fail("%s: no such mode", name);
}

int
main(int argc, char **argv)
{
	static struct load l;
	struct timespec from, to;
	pthread_t threads[64];

	if (argc != 9)
		fail("usage: load ADDRESS PORT plain|tls MODE SESSIONS THREADS USERS "
		     "PASSWORD");
	l.to = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10))};
	if (inet_pton(AF_INET, argv[1], &l.to.sin_addr) != 1)
		fail("%s: no IPv4 address", argv[1]);
	if (strcmp(argv[3], "tls") == 0) {
		l.tls = SSL_CTX_new(TLS_client_method());
		(void)SSL_CTX_set_min_proto_version(l.tls, TLS1_3_VERSION);
	}
	l.mode = mode_of(argv[4]);
	l.sessions = (unsigned)strtoul(argv[5], NULL, 10);
	unsigned n = l.threads = (unsigned)strtoul(argv[6], NULL, 10);
	l.users = (unsigned)strtoul(argv[7], NULL, 10);
	l.password = argv[8];
	if (n < 1 || n > 64 || l.users < n)
		fail("1 to 64 threads, and a user for each");
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, worker, &l) != 0)
			fail("no thread");
	for (unsigned i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	long long ms = (to.tv_sec - from.tv_sec) * 1000LL +
		(to.tv_nsec - from.tv_nsec) / 1000000;
	(void)printf("sessions=%u messages=%llu octets=%llu wall_ms=%lld\n", l.sessions,
		(unsigned long long)l.messages, (unsigned long long)l.octets, ms);
	return 0;
}
