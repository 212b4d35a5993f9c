/*
 * A small POP3 client on libpop3: lists the maildrop, and prints one mail.
 *
 *     client HOST PORT USER PASSWORD [MESSAGE]
 *
 * No TLS: a real client puts its TLS library where recv and send are called here, and
 * sends no password without it. Exit status: 0, 1 where the server or the network
 * refused, 2 for a wrong command line. Compiles as C (gnu2x) and as C++17.
 */
#include <pop3/client.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
	int fd;
	struct pop3_client pop3;
	struct view in; /* received and not yet taken; lies in `input` */
	struct buf out; /* not yet sent; lies in `output` */
	uint8_t input[2 * POP3_ROW_MAX], output[4096], scratch[8192];
};

static int
fail(const char *what, struct view words)
{
	fprintf(stderr, "client: %s%s%.*s\n", what, words.n > 0 ? ": " : "", (int)words.n,
		(const char *)words.p);
	return -1;
}

static int
fail_errno(const char *what)
{
	fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
	return -1;
}

static int
connect_to(const char *host, const char *port)
{
	struct addrinfo hints, *found, *a;
	int fd = -1, error;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	error = getaddrinfo(host, port, &hints, &found);
	if (error) {
		fprintf(stderr, "client: %s: %s\n", host, gai_strerror(error));
		return -1;
	}
	for (a = found; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0)
		fail_errno(host);
	freeaddrinfo(found);
	return fd;
}

static int
send_all(struct session *s)
{
	size_t sent = 0;

	while (sent < s->out.n) {
		ssize_t n = send(s->fd, s->out.p + sent, s->out.n - sent, MSG_NOSIGNAL);
		if (n < 0)
			return fail_errno("send");
		sent += (size_t)n;
	}
	s->out.n = 0;
	return 0;
}

/* What was not taken moves to the front, and more comes behind it. */
static int
receive(struct session *s)
{
	size_t left = s->in.n;
	ssize_t n;

	if (left > 0)
		memmove(s->input, s->in.p, left);
	n = recv(s->fd, s->input + left, sizeof(s->input) - left, 0);
	if (n < 0)
		return fail_errno("recv");
	if (n == 0)
		return fail("the server closed the connection",
			s->pop3.count > 0 ? VIEW("an answer is missing") : VIEW(""));
	s->in.p = s->input;
	s->in.n = left + (size_t)n;
	return 0;
}

/* The next event that is one; -1 after an error was told. */
static int
next_event(struct session *s, enum pop3_client_event *event, struct pop3_answer *a)
{
	if (send_all(s) < 0)
		return -1;
	for (;;) {
		*event = pop3_client_next(
			&s->pop3, &s->in, s->scratch, sizeof(s->scratch), a);
		if (*event == POP3_CLIENT_BROKEN)
			return fail(a->why, a->text);
		if (*event != POP3_CLIENT_NEED_INPUT)
			return 0;
		if (receive(s) < 0)
			return -1;
	}
}

/* Until the first line of an answer, which must be +OK. */
static int
expect_ok(struct session *s, const char *what)
{
	enum pop3_client_event event;
	struct pop3_answer a;

	if (next_event(s, &event, &a) < 0)
		return -1;
	return a.ok ? 0 : fail(what, a.text);
}

/* The rows or the octets behind a first line, to standard output. */
static int
print_rest(struct session *s)
{
	enum pop3_client_event event;
	struct pop3_answer a;

	do {
		if (next_event(s, &event, &a) < 0)
			return -1;
		if (event == POP3_CLIENT_ROW && !a.bad_row)
			printf("%lu: %llu octets\n", (unsigned long)a.msgno,
				(unsigned long long)a.value);
		else if (event == POP3_CLIENT_DATA)
			fwrite(a.data.p, 1, a.data.n, stdout);
	} while (event != POP3_CLIENT_END);
	return 0;
}

static struct view
view_of(const char *text)
{
	struct view v = {(const uint8_t *)text, strlen(text)};

	return v;
}

static int
log_in(struct session *s, const char *user, const char *password)
{
	if (expect_ok(s, "greeting") < 0)
		return -1;
	if (!pop3_client_send_text(&s->pop3, POP3_USER, view_of(user), &s->out))
		return fail("that cannot be a name", view_of(user));
	if (expect_ok(s, "USER") < 0)
		return -1;
	if (!pop3_client_send_text(&s->pop3, POP3_PASS, view_of(password), &s->out))
		return fail("that cannot be a password", VIEW(""));
	return expect_ok(s, "PASS");
}

static int
read_mail(struct session *s, uint32_t msgno)
{
	if (!pop3_client_send(&s->pop3, POP3_LIST, 0, 0, &s->out))
		return -1;
	if (expect_ok(s, "LIST") < 0 || print_rest(s) < 0)
		return -1;
	if (msgno > 0) {
		if (!pop3_client_send(&s->pop3, POP3_RETR, msgno, 0, &s->out))
			return -1;
		if (expect_ok(s, "RETR") < 0 || print_rest(s) < 0)
			return -1;
	}
	if (!pop3_client_send(&s->pop3, POP3_QUIT, 0, 0, &s->out))
		return -1;
	return expect_ok(s, "QUIT");
}

int
main(int argc, char **argv)
{
	static struct session s;
	int result;

	if (argc != 5 && argc != 6) {
		fprintf(stderr, "usage: client HOST PORT USER PASSWORD [MESSAGE]\n");
		return 2;
	}
	s.fd = connect_to(argv[1], argv[2]);
	if (s.fd < 0)
		return 1;
	s.out = buf_over(s.output, sizeof(s.output));
	pop3_client_init(&s.pop3);
	result = log_in(&s, argv[3], argv[4]);
	if (result == 0)
		result = read_mail(
			&s, argc == 6 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0);
	close(s.fd);
	return result == 0 && fflush(stdout) == 0 ? 0 : 1;
}
