/*
 * drive: POP3 sessions against a server, each answer held against the fixture.
 *
 *     drive --port N --manifest FILE [--script U,P,S,Q] [--sessions N] [--at-once N]
 *           [--users N | --user NAME] [--sources N] [--window N] [--mss N] [--tls]
 *           [--hold] [--opening N] [--tolerate] [--deadline SECONDS] [--password P]
 *
 * Scripts are of drive_talk.c. Sessions beyond --at-once begin as others end. They
 * take the users in turn; one maildrop never has two sessions. --sources: so many source
 * addresses of 127.0.0.0/8. A step `H` waits until every session is there, of which
 * --opening come at a time; with --hold
 * the drive then prints `held` and goes on when its standard input ends. The first thing
 * that is not right ends it with status 1; --tolerate counts such sessions instead, and
 * those that are not done at the deadline. Prints one line of JSON.
 */
#include "drive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char in[2 * IN_MAX];

void
fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("drive: ", stderr);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	exit(1);
}

static void client_open(struct drive *d, struct client *c);

/* The next session in this place. */
static void
client_next(struct drive *d, struct client *c)
{
	if (d->begun < d->sessions)
		client_open(d, c);
}

static void
client_close(struct drive *d, struct client *c, bool good)
{
	if (!good && !d->tolerate)
		fail("%s", d->why);
	ERR_clear_error();
	if (c->held)
		d->holding--;
	if (good)
		times_add(&d->sessions_us, now_us() - c->began);
	d->errors += good ? 0 : 1;
	d->ended++;
	c->drop->busy = false;
	SSL_free(c->ssl);
	if (c->fd >= 0)
		(void)close(c->fd);
	talk_done(c);
}

static void
watch(struct drive *d, struct client *c, int how, bool write)
{
	struct epoll_event e = {
		.events = EPOLLIN | (write ? EPOLLOUT : 0U), .data.ptr = c};

	if (epoll_ctl(d->poll, how, c->fd, &e) < 0)
		fail("epoll_ctl: %s", strerror(errno));
	c->writing = write;
}

/* Whether a call of TLS that did not succeed only has to wait; it tells for what. */
static bool
tls_waits(struct drive *d, struct client *c, int r)
{
	int why = SSL_get_error(c->ssl, r);
	bool write = why == SSL_ERROR_WANT_WRITE;

	if (why == SSL_ERROR_WANT_READ || write) {
		if (write != c->writing)
			watch(d, c, EPOLL_CTL_MOD, write);
		return true;
	}
	const char *text = ERR_reason_error_string(ERR_get_error());
	return wrong(d, "TLS: %s", text ? text : strerror(errno));
}

static bool
flush(struct drive *d, struct client *c)
{
	while (c->out_at < c->out_n) {
		size_t n = c->out_n - c->out_at;
		ssize_t sent;
		if (c->ssl) {
			sent = SSL_write(c->ssl, c->out + c->out_at, (int)n);
			if (sent <= 0)
				return tls_waits(d, c, (int)sent);
		} else {
			sent = send(c->fd, c->out + c->out_at, n, MSG_NOSIGNAL);
			if (sent < 0 && errno == EAGAIN) {
				watch(d, c, EPOLL_CTL_MOD, true);
				return true;
			}
			if (sent < 0)
				return wrong(d, "send: %s", strerror(errno));
		}
		c->out_at += (size_t)sent;
	}
	if (c->writing)
		watch(d, c, EPOLL_CTL_MOD, false);
	return true;
}

static void
keep_rest(struct client *c, const char *p, size_t n)
{
	if (n > c->rest_n) {
		c->rest = realloc(c->rest, n);
		if (!c->rest)
			fail("no memory");
	}
	if (n > 0)
		memmove(c->rest, p, n);
	else {
		free(c->rest);
		c->rest = NULL;
	}
	c->rest_n = n;
}

/* One read's worth: -1 nothing now, 0 the end, otherwise octets in `in`. */
static ssize_t
take_in(struct drive *d, struct client *c, bool *ret_good)
{
	ssize_t got;

	*ret_good = true;
	if (c->ssl) {
		got = SSL_read(c->ssl, in + c->rest_n, IN_MAX);
		if (got > 0)
			return got;
		/* Not every server says close_notify; what is missing shows all the same.
		 */
		int why = SSL_get_error(c->ssl, (int)got);
		if (why == SSL_ERROR_ZERO_RETURN ||
			(c->closing && why != SSL_ERROR_WANT_READ))
			return 0;
		*ret_good = tls_waits(d, c, (int)got);
		return -1;
	}
	got = recv(c->fd, in + c->rest_n, IN_MAX, 0);
	if (got >= 0 || errno == EAGAIN)
		return got;
	if (c->closing)
		return 0;
	*ret_good = wrong(d, "recv: %s", strerror(errno));
	return -1;
}

/* Whether the session goes on; *ret_over: it ended as it should. */
static bool
read_on(struct drive *d, struct client *c, bool *ret_over)
{
	bool good;

	for (;;) {
		ssize_t got = take_in(d, c, &good);
		if (got == 0) {
			*ret_over = true;
			return talk_closed(d, c);
		}
		if (got < 0)
			return good;
		size_t n = c->rest_n + (size_t)got, used;
		if (c->rest_n > 0)
			memcpy(in, c->rest, c->rest_n);
		if (!talk_take(d, c, in, n, &used) || !flush(d, c))
			return false;
		if (n - used >= IN_MAX)
			return wrong(d, "a line of more than %d octets", IN_MAX);
		keep_rest(c, in + used, n - used);
		if (!c->ssl && got < IN_MAX)
			return true;
	}
}

static void
serve(struct drive *d, struct client *c)
{
	bool over = false, good = true;

	if (c->shaking) {
		int r = SSL_do_handshake(c->ssl);
		if (r != 1)
			good = tls_waits(d, c, r);
		else
			c->shaking = false;
		if (!good || c->shaking) {
			if (!good)
				goto end;
			return;
		}
	}
	good = flush(d, c) && read_on(d, c, &over);
	if (good && !over)
		return;
end:
	client_close(d, c, good);
	client_next(d, c);
}

static void
secure(struct drive *d, struct client *c)
{
	c->ssl = SSL_new(d->tls);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
		fail("no memory for TLS");
	SSL_set_connect_state(c->ssl);
	c->shaking = true;
}

static void
client_open(struct drive *d, struct client *c)
{
	uint32_t from = d->begun % d->sources;

	/* In their order, but for those whose session lasts. */
	do
		c->drop = &d->manifest.drops[d->next_user++ % d->users];
	while (c->drop->busy);
	c->drop->busy = true;
	d->begun++;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		fail("socket: %s", strerror(errno));
	if (d->mss > 0 &&
		setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &d->mss, sizeof(d->mss)) < 0)
		fail("TCP_MAXSEG: %s", strerror(errno));
	if (d->sources > 1) {
		struct sockaddr_in source = {.sin_family = AF_INET,
			.sin_addr.s_addr =
				htonl(0x7f000100U + (from / 250 << 8) + from % 250 + 1)};
		int one = 1;
		(void)setsockopt(
			c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(c->fd, (struct sockaddr *)&source, sizeof(source)) < 0)
			fail("bind: %s", strerror(errno));
	}
	c->began = now_us();
	(void)talk_begin(d, c);
	if (connect(c->fd, (struct sockaddr *)&d->to, sizeof(d->to)) < 0 &&
		errno != EINPROGRESS) {
		/* It shows as the session's own fault; the next one begins from the loop.
		 */
		client_close(d, c, wrong(d, "connect: %s", strerror(errno)));
		return;
	}
	if (d->tls)
		secure(d, c);
	watch(d, c, EPOLL_CTL_ADD, c->ssl);
}

/* All are there that will be: those that hold may go on. */
static void
go_on(struct drive *d, struct client *clients)
{
	if (d->holding == 0 || d->holding + d->ended < d->sessions)
		return;
	if (d->wait_for_input) {
		char c;
		(void)printf("held %u\n", d->holding);
		(void)fflush(stdout);
		while (read(STDIN_FILENO, &c, 1) > 0)
			continue;
		d->wait_for_input = false;
	}
	for (uint32_t i = 0; i < d->at_once; i++)
		if (clients[i].fd >= 0 && clients[i].held &&
			(!talk_resume(d, &clients[i]) || !flush(d, &clients[i])))
			client_close(d, &clients[i], false);
}

static void
run(struct drive *d)
{
	struct client *clients = calloc(d->at_once, sizeof(*clients));
	struct epoll_event events[EVENTS];
	int64_t end = now_us() + d->deadline_us;

	if (!clients)
		fail("no memory");
	for (uint32_t i = 0; i < d->at_once; i++)
		clients[i].fd = -1;
	while (d->ended < d->sessions) {
		while (d->begun < d->at_once &&
			d->begun - d->ended - d->holding < d->opening)
			client_next(d, &clients[d->begun]);
		int n = epoll_wait(d->poll, events, EVENTS, 100);
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;
			if (c->fd >= 0)
				serve(d, c);
		}
		for (uint32_t i = 0; n == 0 && i < d->at_once; i++)
			if (clients[i].fd < 0 && d->begun >= d->at_once)
				client_next(d, &clients[i]);
		go_on(d, clients);
		if (now_us() < end)
			continue;
		if (!d->tolerate)
			fail("%u of %u sessions are done at the deadline; %s", d->ended,
				d->sessions, d->why);
		d->errors += d->sessions - d->ended;
		break;
	}
	free(clients);
}

static int
by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
tell(const char *name, struct times *t)
{
	if (t->n == 0)
		return;
	qsort(t->us, t->n, sizeof(t->us[0]), by_time);
	(void)printf(", \"%s_us\": {\"n\": %zu, \"p50\": %lld, \"p90\": %lld, "
		     "\"p99\": %lld, \"max\": %lld}",
		name, t->n, (long long)t->us[t->n / 2], (long long)t->us[t->n * 9 / 10],
		(long long)t->us[t->n * 99 / 100], (long long)t->us[t->n - 1]);
}

static uint32_t
count_of(const char *text, uint32_t max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n < 1 || n > max)
		fail("%s: give a number of 1 to %u", text, max);
	return (uint32_t)n;
}

static void
options(struct drive *d, int argc, char **argv)
{
	static const struct option known[] = {{"port", 1, NULL, 'p'},
		{"manifest", 1, NULL, 'm'}, {"script", 1, NULL, 's'},
		{"sessions", 1, NULL, 'n'}, {"at-once", 1, NULL, 'c'},
		{"users", 1, NULL, 'u'}, {"sources", 1, NULL, 'f'},
		{"window", 1, NULL, 'w'}, {"mss", 1, NULL, 'M'}, {"tls", 0, NULL, 't'},
		{"hold", 0, NULL, 'h'}, {"tolerate", 0, NULL, 'T'},
		{"deadline", 1, NULL, 'd'}, {"user", 1, NULL, 'U'},
		{"opening", 1, NULL, 'o'}, {"password", 1, NULL, 'P'},
		{NULL, 0, NULL, 0}};
	int o;

	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (o) {
		case 'p':
			d->to.sin_port = htons((uint16_t)count_of(optarg, 65535));
			break;
		case 'm': manifest_read(&d->manifest, optarg); break;
		case 's': d->script = optarg; break;
		case 'n': d->sessions = count_of(optarg, 100000000); break;
		case 'c': d->at_once = count_of(optarg, 19000); break;
		case 'u': d->users = count_of(optarg, 1000000); break;
		case 'f': d->sources = count_of(optarg, 50000); break;
		case 'w': d->window = count_of(optarg, 4096); break;
		case 'M': d->mss = (int)count_of(optarg, 65495); break;
		case 't': d->tls = SSL_CTX_new(TLS_client_method()); break;
		case 'h': d->wait_for_input = true; break;
		case 'T': d->tolerate = true; break;
		case 'd':
			d->deadline_us = count_of(optarg, 86400) * INT64_C(1000000);
			break;
		case 'U': manifest_only(&d->manifest, optarg); break;
		case 'o': d->opening = count_of(optarg, 19000); break;
		case 'P': d->password = optarg; break;
		default: exit(64);
		}
	}
	if (optind != argc || d->to.sin_port == 0 || d->manifest.n == 0)
		fail("usage: drive --port N --manifest FILE ...: see bench/drive.c");
	if (d->users == 0 || d->users > d->manifest.n)
		d->users = (uint32_t)d->manifest.n;
	if (d->at_once > d->sessions)
		d->at_once = d->sessions;
	if (d->opening == 0)
		d->opening = d->at_once;
	if (d->at_once > d->users)
		fail("%u sessions at once and %u users: each needs one", d->at_once,
			d->users);
}

int
main(int argc, char **argv)
{
	static struct drive d = {.script = "U,P,S,Q",
		.password = "secret",
		.sessions = 1,
		.at_once = 1,
		.sources = 1,
		.window = 50,
		.deadline_us = INT64_C(300000000)};

	d.to = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	options(&d, argc, argv);
	if (d.tls) {
		(void)SSL_CTX_set_min_proto_version(d.tls, TLS1_3_VERSION);
		(void)SSL_CTX_set_mode(d.tls,
			SSL_MODE_ENABLE_PARTIAL_WRITE |
				SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				SSL_MODE_RELEASE_BUFFERS);
		SSL_CTX_set_read_ahead(d.tls, 1);
	}
	d.poll = epoll_create1(EPOLL_CLOEXEC);
	int64_t from = now_us();
	run(&d);
	(void)printf("{\"sessions\": %u, \"errors\": %u, \"messages\": %llu, \"octets\": "
		     "%llu, "
		     "\"wall_us\": %lld",
		d.sessions, d.errors, (unsigned long long)d.messages,
		(unsigned long long)d.octets, (long long)(now_us() - from));
	tell("greeting", &d.greetings);
	tell("answer", &d.answers);
	tell("first", &d.firsts);
	tell("session", &d.sessions_us);
	/* What a server said is not to spoil the line. */
	for (char *p = d.why; *p; p++)
		if (*p < ' ' || *p == '"' || *p == '\\' || *p > '~')
			*p = '?';
	(void)printf(", \"why\": \"%s\"}\n", d.why);
	return 0;
}
