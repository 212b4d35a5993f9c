/*
 * A small POP3 server on libpop3: one message in memory, one connection at a time, on a
 * free port of 127.0.0.1. Any name may log in with the password of the command line.
 *
 *     server PASSWORD [CONNECTIONS]
 *
 * It prints "listening PORT" and ends after that many connections, or never. No TLS: a
 * real server puts its TLS library where recv and send are called here, and says in
 * struct pop3_link what is true. Compiles as C (gnu2x) and as C++17.
 */
#include <pop3/dot.h>
#include <pop3/server.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char message[] = "From: server@example.org\n"
			      "To: you@example.org\n"
			      "Subject: hello\n"
			      "\n"
			      "A line, and one that begins with a dot:\n"
			      ".hidden\n";
#define MESSAGE_N (sizeof(message) - 1)

struct session {
	int fd;
	struct pop3_server pop3;
	const char *password;
	struct view in; /* received and not yet taken; lies in `input` */
	struct buf out; /* not yet sent; lies in `output` */
	bool deleted;
	uint8_t input[POP3_LINE_SASL_MAX], output[16384], sasl[POP3_SASL_MAX];
};

/* The size on the wire, without the dots of stuffing (RFC 1939 s.11). */
static uint64_t
message_octets(void)
{
	struct dot_state dot = {0};
	uint64_t n = dot_best()->count(&dot, (const uint8_t *)message, MESSAGE_N);

	return n + dot_finish_count(&dot);
}

/* The first n octets, as they travel, and the terminator; they fit into `output`. */
static void
put_message(struct session *s, size_t n)
{
	struct dot_state dot = {0};

	s->out.n += dot_best()->encode(
		&dot, (const uint8_t *)message, n, s->out.p + s->out.n);
	s->out.n += dot_finish(&dot, true, s->out.p + s->out.n);
}

static void
put_reply(struct session *s, enum pop3_reply r)
{
	pop3_put_reply(r, POP3_ENGLISH, &s->out);
}

static void
put_numbers(struct session *s, uint64_t a, uint64_t b)
{
	struct pop3_line line;

	pop3_line_start(&line, POP3_OK, POP3_ENGLISH);
	pop3_line_text(&line, " ");
	pop3_line_number(&line, a);
	pop3_line_text(&line, " ");
	pop3_line_number(&line, b);
	pop3_line_end(&line, &s->out);
}

static void
answer_list(struct session *s, const struct pop3_request *r)
{
	struct pop3_line line;
	struct view uidl = VIEW("the-only-one");
	bool list = r->command == POP3_LIST;

	if (r->has_msgno && list) {
		put_numbers(s, 1, message_octets());
		return;
	}
	if (r->has_msgno) {
		pop3_line_start(&line, POP3_OK, POP3_ENGLISH);
		pop3_line_text(&line, " 1 ");
		pop3_line_view(&line, uidl);
		pop3_line_end(&line, &s->out);
		return;
	}
	put_reply(s, list ? POP3_OK_LIST : POP3_OK_UIDL);
	if (!s->deleted && list)
		pop3_put_size_row(1, message_octets(), &s->out);
	if (!s->deleted && !list)
		pop3_put_uidl_row(1, uidl, &s->out);
	pop3_put_end(&s->out);
}

static void
answer_top(struct session *s, uint64_t lines)
{
	struct dot_top top;

	dot_top_init(&top, lines);
	put_reply(s, POP3_OK_TOP);
	put_message(s, dot_top_take(&top, (const uint8_t *)message, MESSAGE_N));
}

/* Commands of the TRANSACTION state. */
static void
answer_mail(struct session *s, const struct pop3_request *r)
{
	if (r->has_msgno && (r->msgno != 1 || s->deleted)) {
		put_reply(s, r->msgno == 1 ? POP3_ERR_DELETED : POP3_ERR_NO_MESSAGE);
		return;
	}
	if (r->command == POP3_STAT) {
		put_numbers(s, !s->deleted, s->deleted ? 0 : message_octets());
	} else if (r->command == POP3_LIST || r->command == POP3_UIDL) {
		answer_list(s, r);
	} else if (r->command == POP3_TOP) {
		answer_top(s, r->lines);
	} else if (r->command == POP3_RETR) {
		put_reply(s, POP3_OK_RETR);
		put_message(s, MESSAGE_N);
	} else {
		/* DELE, RSET, NOOP; the message comes back with the next session. */
		s->deleted = r->command == POP3_DELE ||
			(r->command == POP3_NOOP && s->deleted);
		put_reply(s, POP3_OK);
	}
}

static void
log_in(struct session *s, struct view password)
{
	bool good = password.n == strlen(s->password) &&
		memcmp(password.p, s->password, password.n) == 0;

	if (good) {
		pop3_server_logged_in(&s->pop3);
		put_numbers(s, 1, message_octets());
	} else {
		pop3_server_login_failed(&s->pop3);
		put_reply(s, POP3_ERR_CREDENTIALS);
	}
}

/* PLAIN (RFC 4616): [who to act as] NUL name NUL password. */
static void
log_in_plain(struct session *s, const struct pop3_request *r)
{
	struct view plain, password = VIEW("");
	const uint8_t *nul;
	int nuls = 0;

	if (!pop3_sasl_decode(r->text, !r->is_response, s->sasl, &plain)) {
		pop3_server_login_failed(&s->pop3);
		put_reply(s, POP3_ERR_BASE64);
		return;
	}
	while (nuls < 2 && plain.n > 0 &&
		(nul = (const uint8_t *)memchr(plain.p, '\0', plain.n))) {
		plain.n -= (size_t)(nul + 1 - plain.p);
		plain.p = nul + 1;
		nuls++;
	}
	log_in(s, nuls == 2 ? plain : password);
}

static void
answer_command(struct session *s, const struct pop3_request *r)
{
	struct pop3_challenge empty;

	memset(&empty, 0, sizeof(empty));
	if (r->command == POP3_CAPA) {
		pop3_put_capa(&s->pop3, &s->out);
	} else if (r->command == POP3_USER) {
		put_reply(s, POP3_OK_USER);
	} else if (r->command == POP3_PASS) {
		log_in(s, r->text);
	} else if (r->command == POP3_AUTH && !r->has_mechanism) {
		pop3_put_mechanisms(&s->pop3, &s->out);
	} else if (r->command == POP3_AUTH && r->has_text) {
		log_in_plain(s, r);
	} else if (r->command == POP3_AUTH) {
		/* "+ " alone is short: it is written whole. */
		(void)!pop3_put_challenge(&empty, &s->out);
		pop3_server_challenged(&s->pop3, r->mechanism);
	} else if (r->command == POP3_QUIT) {
		put_reply(s, POP3_OK_BYE);
	} else {
		answer_mail(s, r);
	}
}

static bool
send_all(struct session *s)
{
	size_t sent = 0;

	while (sent < s->out.n) {
		ssize_t n = send(s->fd, s->out.p + sent, s->out.n - sent, MSG_NOSIGNAL);
		if (n < 0)
			return false;
		sent += (size_t)n;
	}
	s->out.n = 0;
	return true;
}

/* One event, and its answer. False: close. */
static bool
answer_one(struct session *s, enum pop3_event event, const struct pop3_request *r)
{
	if (event == POP3_FLOOD)
		return false;
	if (event == POP3_COMMAND)
		answer_command(s, r);
	else if (event == POP3_RESPONSE)
		log_in_plain(s, r);
	else
		put_reply(s, r->reply);
	if (!send_all(s) || pop3_server_exhausted(&s->pop3))
		return false;
	return event != POP3_COMMAND || r->command != POP3_QUIT;
}

/* What was not taken moves to the front, and more comes behind it. */
static bool
receive(struct session *s)
{
	size_t left = s->in.n;
	ssize_t n;

	if (left > 0)
		memmove(s->input, s->in.p, left);
	n = recv(s->fd, s->input + left, sizeof(s->input) - left, 0);
	s->in.p = s->input;
	s->in.n = left + (n > 0 ? (size_t)n : 0);
	return n > 0;
}

static void
serve(struct session *s, const struct pop3_server_options *options)
{
	struct pop3_link link;
	struct pop3_request r;
	enum pop3_event event;
	bool goes_on;

	memset(&link, 0, sizeof(link));
	link.plaintext = true;
	link.user = true;
	link.mechanisms = 1U << POP3_MECHANISM_PLAIN;
	s->in.n = 0;
	s->out = buf_over(s->output, sizeof(s->output));
	s->deleted = false;
	pop3_server_init(&s->pop3, options, &link);
	pop3_put_greeting(&s->pop3, VIEW(""), &s->out);
	goes_on = send_all(s);
	while (goes_on) {
		event = pop3_server_next(&s->pop3, &s->in, &r);
		goes_on =
			event == POP3_NEED_INPUT ? receive(s) : answer_one(s, event, &r);
	}
}

static int
listen_on_loopback(void)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&a, 0, sizeof(a));
	a.sin_family = AF_INET;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, 8) < 0 ||
		getsockname(fd, (struct sockaddr *)&a, &n) < 0) {
		perror("server");
		return -1;
	}
	printf("listening %d\n", ntohs(a.sin_port));
	return fflush(stdout) == 0 ? fd : -1;
}

int
main(int argc, char **argv)
{
	static struct session s;
	struct pop3_server_options options;
	unsigned long left = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	bool for_ever = left == 0;
	int fd;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: server PASSWORD [CONNECTIONS]\n");
		return 2;
	}
	memset(&options, 0, sizeof(options));
	options.hostname = VIEW("example");
	options.implementation = VIEW("libpop3-example");
	options.expire_days = POP3_EXPIRE_NEVER;
	options.max_bad_commands = 20;
	s.password = argv[1];
	fd = listen_on_loopback();
	if (fd < 0)
		return 1;
	while (for_ever || left-- > 0) {
		s.fd = accept(fd, NULL, NULL);
		if (s.fd < 0)
			break;
		serve(&s, &options);
		close(s.fd);
	}
	close(fd);
	return 0;
}
