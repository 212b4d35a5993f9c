/*
 * floor: what bench/run measures against (floor.h).
 *
 *     floor [--sendfile] [--fault N] BASE [CERTIFICATE KEY]
 *
 * BASE holds a Maildir for each user; any password is right. Prints
 * `ready plain=PORT tls=PORT`, serves until it is killed. --fault: one octet of message N
 * of each maildrop is wrong, which whoever reads it has to find.
 */
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define IN_MAX 8192

struct floor_store store;
int polls;
bool by_sendfile;
static int listeners[2];
static SSL_CTX *context;
static BIO *gather;

static void
conn_close(struct conn *c)
{
	SSL_free(c->ssl);
	(void)close(c->fd);
	free(c->rest.p);
	free(c->records.p);
	free(c);
	gather_forget();
}

static void
answer(struct conn *c, struct range r)
{
	struct range *last = c->out_n > c->out_at ? &c->out[c->out_n - 1] : NULL;

	if (last && last->at + last->n == r.at)
		last->n += r.n;
	else
		c->out[c->out_n++] = r;
}

static struct range
of_drop(struct conn *c, const char *line)
{
	char *end;
	unsigned long n = strtoul(line + 5, &end, 10);

	if (!c->drop)
		return store.error;
	switch (line[0]) {
	case 'S': return c->drop->stat;
	case 'L': return c->drop->list;
	case 'U': return c->drop->uidl;
	default:
		return n >= 1 && n <= c->drop->count ? c->drop->mails[n - 1]
						     : store.error;
	}
}

static void
request(struct conn *c, char *line)
{
	if (strncmp(line, "USER ", 5) == 0) {
		c->drop = floor_find(line + 5);
		answer(c, c->drop ? store.ok : store.error);
	} else if (strncmp(line, "CAPA", 4) == 0) {
		answer(c, store.capa);
	} else if (strncmp(line, "STAT", 4) == 0 || strncmp(line, "LIST", 4) == 0 ||
		strncmp(line, "UIDL", 4) == 0 || strncmp(line, "RETR ", 5) == 0) {
		answer(c, of_drop(c, line));
	} else {
		c->quitting = strncmp(line, "QUIT", 4) == 0;
		answer(c, store.ok);
	}
}

/* Answers whole lines as far as there is room for answers; octets used. */
static size_t
requests(struct conn *c, char *p, size_t n)
{
	size_t at = 0;
	char *nl;

	while (!c->quitting && c->out_n < RANGES && (nl = memchr(p + at, '\n', n - at))) {
		*nl = '\0';
		if (nl > p + at && nl[-1] == '\r')
			nl[-1] = '\0';
		size_t line = at;
		at = (size_t)(nl - p) + 1;
		/* So that five octets can always be looked at. */
		char text[256] = {0};
		memcpy(text, p + line,
			at - line < sizeof(text) ? at - line : sizeof(text) - 1);
		request(c, text);
	}
	return at;
}

static bool
handshake(struct conn *c)
{
	int r = SSL_do_handshake(c->ssl);

	if (r == 1) {
		c->shaking = false;
		answer(c, store.greeting);
	} else if (SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ) {
		return false;
	}
	return flush(c);
}

/* Answers what came, as far as the socket takes it. */
static bool
answer_all(struct conn *c, char *p, size_t n)
{
	size_t used = 0, more;

	while (!c->writing && (more = requests(c, p + used, n - used)) > 0) {
		used += more;
		if (!flush(c))
			return false;
	}
	keep(&c->rest, p + used, n - used);
	return true;
}

static bool
take_in(struct conn *c)
{
	char in[2 * IN_MAX];
	size_t kept = c->rest.n;

	if (kept > 0)
		memcpy(in, c->rest.p, kept);
	ssize_t got = c->tls ? SSL_read(c->ssl, in + kept, IN_MAX)
			     : recv(c->fd, in + kept, IN_MAX, 0);
	if (got == 0 || (got < 0 && !c->tls && errno != EAGAIN) ||
		(got < 0 && c->tls && SSL_get_error(c->ssl, -1) != SSL_ERROR_WANT_READ))
		return false;
	return answer_all(c, in, kept + (got > 0 ? (size_t)got : 0)) &&
		c->rest.n < IN_MAX;
}

static bool
serve(struct conn *c)
{
	if (c->shaking && !handshake(c))
		return false;
	if (c->shaking)
		return true;
	if (c->writing && !flush(c))
		return false;
	do {
		if (c->writing)
			return true;
		if (!take_in(c))
			return false;
	} while (c->tls && SSL_has_pending(c->ssl));
	return true;
}

static bool
conn_begin(struct conn *c)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

	if (epoll_ctl(polls, EPOLL_CTL_ADD, c->fd, &e) < 0)
		return false;
	if (!c->tls) {
		answer(c, store.greeting);
		return flush(c);
	}
	BIO *in = BIO_new_socket(c->fd, BIO_NOCLOSE);
	c->ssl = SSL_new(context);
	if (!c->ssl || !in)
		die("no memory");
	(void)BIO_up_ref(gather);
	SSL_set_bio(c->ssl, in, gather);
	SSL_set_accept_state(c->ssl);
	c->shaking = true;
	return true;
}

static void
accept_all(int which)
{
	static uint32_t room[2] = {1, 1};
	uint32_t i;

	for (i = 0; i < room[which]; i++) {
		int fd = accept4(
			listeners[which], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			break;
		struct conn *c = calloc(1, sizeof(*c));
		if (!c)
			die("no memory");
		c->fd = fd;
		c->tls = which == 1;
		if (!conn_begin(c))
			conn_close(c);
	}
	room[which] = i < room[which] ? 1 : i < EVENTS ? i * 2 : i;
}

static in_port_t
listen_on(int which)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listeners[which]};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	listeners[which] = fd;
	/* What is accepted has it from here. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		listen(fd, 4096) < 0 || getsockname(fd, (struct sockaddr *)&a, &n) < 0 ||
		epoll_ctl(polls, EPOLL_CTL_ADD, fd, &e) < 0)
		die("listen: %s", strerror(errno));
	return ntohs(a.sin_port);
}

static void
secure(const char *certificate, const char *key)
{
	context = SSL_CTX_new(TLS_server_method());
	gather = gather_open();
	if (!context || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		die("%s: no certificate and key", certificate);
	(void)SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	(void)SSL_CTX_set_num_tickets(context, 1);
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context, 1);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {
		{"sendfile", 0, NULL, 's'}, {"fault", 1, NULL, 'f'}, {NULL, 0, NULL, 0}};
	struct epoll_event events[EVENTS];
	int o;

	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (o == '?')
			return 64;
		by_sendfile = by_sendfile || o == 's';
		if (o == 'f')
			store.fault = (uint32_t)strtoul(optarg, NULL, 10);
	}
	if (argc - optind != 1 && argc - optind != 3)
		die("usage: floor [--sendfile] [--fault N] BASE [CERTIFICATE KEY]");
	floor_load(&store, argv[optind]);
	polls = epoll_create1(EPOLL_CLOEXEC);
	in_port_t plain = listen_on(0), tls = 0;
	if (argc - optind == 3) {
		secure(argv[optind + 1], argv[optind + 2]);
		tls = listen_on(1);
	}
	(void)printf("ready plain=%u tls=%u\n", plain, tls);
	(void)fflush(stdout);
	for (;;) {
		int n = epoll_wait(polls, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			if (events[i].data.ptr == &listeners[0] ||
				events[i].data.ptr == &listeners[1])
				accept_all(events[i].data.ptr == &listeners[1]);
			else if (!serve(c))
				conn_close(c);
		}
	}
}
