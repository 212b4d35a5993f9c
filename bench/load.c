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
 *       scram  AUTH SCRAM-SHA-256 STAT QUIT
 * Users are u0000 to u(USERS-1), of scram s0000 and so on, all with one salt; dealt out
 * to the threads, each of which takes its own in turn: one maildrop never has two
 * sessions at once, however threads are delayed. Prints one line: sessions, messages,
 * octets of messages, wall milliseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
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

enum mode { MODE_LOGIN, MODE_POLL, MODE_RETR, MODE_DELE, MODE_SCRAM };

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
	/* of SCRAM: the arithmetic that is the same each time */
	char salt[128];
	unsigned char client_key[32], stored_key[32], server_key[32];
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
hmac(const unsigned char key[32], const char *text, unsigned char ret[32])
{
	unsigned n = 32;

	if (!HMAC(EVP_sha256(), key, 32, (const unsigned char *)text, strlen(text), ret,
		    &n))
		fail("HMAC");
}

/* The octets behind `name` in base64, up to a comma or the end. */
static size_t
field(const char *in, const char *name, char *out, size_t max)
{
	const char *at = strstr(in, name);
	size_t n = at ? strcspn(at + strlen(name), ",") : 0;

	if (n == 0 || n >= max)
		fail("SCRAM: no %s in %s", name, in);
	memcpy(out, at + strlen(name), n);
	out[n] = '\0';
	return n;
}

static void
derive(struct client *c, const char *password, const char *salt64, int rounds)
{
	unsigned char salt[128], salted[32];
	size_t n = strlen(salt64);
	int got = EVP_DecodeBlock(salt, (const unsigned char *)salt64, (int)n);

	if (strcmp(c->salt, salt64) == 0)
		return;
	for (; n > 0 && salt64[n - 1] == '='; n--)
		got--;
	if (got <= 0 ||
		PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, got, rounds,
			EVP_sha256(), 32, salted) != 1)
		fail("SCRAM: the salt %s", salt64);
	hmac(salted, "Client Key", c->client_key);
	hmac(salted, "Server Key", c->server_key);
	(void)EVP_Digest(c->client_key, 32, c->stored_key, NULL, EVP_sha256(), NULL);
	(void)snprintf(c->salt, sizeof(c->salt), "%s", salt64);
}

static void
say_base64(struct client *c, const char *before, const char *text)
{
	unsigned char out[1024];

	(void)EVP_EncodeBlock(out, (const unsigned char *)text, (int)strlen(text));
	say(c, "%s%s\r\n", before, (const char *)out);
}

static void
challenge(struct client *c, char *ret, size_t max)
{
	size_t n;
	const char *got = line(c, &n);

	if (strncmp(got, "+ ", 2) != 0 || (n - 2) / 4 * 3 >= max)
		fail("AUTH: %s", got);
	int octets = EVP_DecodeBlock(
		(unsigned char *)ret, (const unsigned char *)got + 2, (int)(n - 2));
	ret[octets > 0 ? octets : 0] = '\0';
}

/* RFC 5802 s.3 and s.5; the nonce need not be a good one here. */
static void
scram(struct client *c, const char *password, unsigned user)
{
	char first[64], server[512], nonce[256], salt[128], rounds[16], bare[300],
		all[1024];
	unsigned char proof[32], wanted[32], proof64[64], wanted64[64];

	(void)snprintf(first, sizeof(first), "n,,n=s%04u,r=bench%p", user, (void *)c);
	say_base64(c, "AUTH SCRAM-SHA-256 ", first);
	challenge(c, server, sizeof(server));
	(void)field(server, "r=", nonce, sizeof(nonce));
	(void)field(server, ",s=", salt, sizeof(salt));
	(void)field(server, ",i=", rounds, sizeof(rounds));
	derive(c, password, salt, (int)strtol(rounds, NULL, 10));
	(void)snprintf(bare, sizeof(bare), "c=biws,r=%s", nonce);
	(void)snprintf(all, sizeof(all), "%s,%s,%s", first + 3, server, bare);
	hmac(c->stored_key, all, proof);
	for (int i = 0; i < 32; i++)
		proof[i] ^= c->client_key[i];
	(void)EVP_EncodeBlock(proof64, proof, sizeof(proof));
	(void)snprintf(server, sizeof(server), "%s,p=%s", bare, (const char *)proof64);
	say_base64(c, "", server);
	challenge(c, server, sizeof(server));
	hmac(c->server_key, all, wanted);
	(void)EVP_EncodeBlock(wanted64, wanted, sizeof(wanted));
	if (strncmp(server, "v=", 2) != 0 ||
		strcmp(server + 2, (const char *)wanted64) != 0)
		fail("SCRAM: the server does not know the password");
	say(c, "\r\n");
	(void)expect_ok(c, "AUTH");
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
	if (l->mode == MODE_SCRAM) {
		scram(c, l->password, user);
	} else {
		say(c, "USER u%04u\r\n", user);
		(void)expect_ok(c, "USER");
		say(c, "PASS %s\r\n", l->password);
		(void)expect_ok(c, "PASS");
	}
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
	static const char *const names[] = {"login", "poll", "retr", "dele", "scram"};

	for (unsigned i = 0; i < 5; i++)
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
