#include "base/check.h"
#include "os/dial_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define VERSION		5 /* RFC 1928 s.3 */
#define SECRET_VERSION	1 /* RFC 1929 s.2 */
#define METHOD_OPEN	0
#define METHOD_SECRET	2
#define METHOD_REFUSED	0xff
#define COMMAND_CONNECT 1
#define KIND_V4		1
#define KIND_NAME	3
#define KIND_V6		4
/* Version, code, reserved, kind, and the first octet of the address: a name's length. */
#define HEAD_OCTETS 5

/* RFC 1928 s.6 */
static const struct {
	int error;
	bool temporary;
	const char *why;
} replies[] = {
	{0, false, NULL},
	{ECONNABORTED, true, "it has a general failure"},
	{EACCES, false, "its rules do not allow this connection"},
	{ENETUNREACH, true, "it says that the network is unreachable"},
	{EHOSTUNREACH, true, "it says that the host is unreachable"},
	{ECONNREFUSED, true, "it says that the host refused the connection"},
	{EHOSTUNREACH, true, "it says that the time to live ran out"},
	{EOPNOTSUPP, false, "it does not know the command CONNECT"},
	{EAFNOSUPPORT, false, "it does not know this kind of address"},
};

static void
refuse(struct socks *s, int error, bool temporary, const char *why)
{
	s->state = SOCKS_FAILED;
	s->error = -error;
	s->temporary = temporary;
	s->why = why;
}

static void
put(struct socks *s, const void *p, size_t n)
{
	CHECK(n <= sizeof(s->out) - s->out_n);
	memcpy(s->out + s->out_n, p, n);
	s->out_n += n;
}

static void
put_octet(struct socks *s, size_t v)
{
	uint8_t octet = (uint8_t)v;

	CHECK(v <= UINT8_MAX);
	put(s, &octet, 1);
}

static void
expect(struct socks *s, enum socks_state state, size_t want)
{
	s->state = state;
	s->in_n = 0;
	s->want = want;
}

static void
fresh_output(struct socks *s)
{
	explicit_bzero(s->out, sizeof(s->out));
	s->out_n = s->out_sent = 0;
}

void
socks_begin(struct socks *s)
{
	fresh_output(s);
	put_octet(s, VERSION);
	put_octet(s, s->user[0] ? 2 : 1);
	put_octet(s, METHOD_OPEN);
	if (s->user[0])
		put_octet(s, METHOD_SECRET);
	expect(s, SOCKS_METHOD, 2);
}

static void
send_secret(struct socks *s)
{
	size_t user_n = strlen(s->user), password_n = strlen(s->password);

	fresh_output(s);
	put_octet(s, SECRET_VERSION);
	put_octet(s, user_n);
	put(s, s->user, user_n);
	put_octet(s, password_n);
	put(s, s->password, password_n);
	expect(s, SOCKS_SECRET, 2);
}

static void
send_request(struct socks *s)
{
	uint8_t head[] = {VERSION, COMMAND_CONNECT, 0};
	uint16_t port = htons(s->port);
	struct in_addr v4;
	struct in6_addr v6;
	size_t n = strlen(s->host);

	fresh_output(s);
	put(s, head, sizeof(head));
	if (inet_pton(AF_INET, s->host, &v4) == 1) {
		put_octet(s, KIND_V4);
		put(s, &v4, sizeof(v4));
	} else if (inet_pton(AF_INET6, s->host, &v6) == 1) {
		put_octet(s, KIND_V6);
		put(s, &v6, sizeof(v6));
	} else {
		put_octet(s, KIND_NAME);
		put_octet(s, n);
		put(s, s->host, n);
	}
	put(s, &port, sizeof(port));
	expect(s, SOCKS_HEAD, HEAD_OCTETS);
}

static void
step_method(struct socks *s)
{
	if (s->in[0] != VERSION)
		refuse(s, EPROTO, false, "it does not speak SOCKS5");
	else if (s->in[1] == METHOD_OPEN)
		send_request(s);
	else if (s->in[1] == METHOD_SECRET && s->user[0])
		send_secret(s);
	else if (s->in[1] != METHOD_REFUSED)
		refuse(s, EPROTO, false, "it chose a way of login that was not offered");
	else if (s->user[0])
		refuse(s, EACCES, false,
			"it takes neither user and password nor no login");
	else
		refuse(s, EACCES, false,
			"it wants a login: write USER:PASSWORD@ before its host");
}

static void
step_head(struct socks *s)
{
	uint8_t code = s->in[1];

	if (s->in[0] != VERSION) {
		refuse(s, EPROTO, false, "its reply is not SOCKS5");
		return;
	}
	if (code >= ARRAY_SIZE(replies)) {
		refuse(s, EPROTO, true, "it refused with a code that has no meaning");
		return;
	}
	if (code != 0) {
		refuse(s, replies[code].error, replies[code].temporary,
			replies[code].why);
		return;
	}
	/* The address that it bound tells us nothing, but has to be read. */
	if (s->in[3] == KIND_V4)
		s->want = HEAD_OCTETS - 1 + 4 + 2;
	else if (s->in[3] == KIND_V6)
		s->want = HEAD_OCTETS - 1 + 16 + 2;
	else if (s->in[3] == KIND_NAME)
		s->want = HEAD_OCTETS + (size_t)s->in[4] + 2;
	else
		refuse(s, EPROTO, false, "its reply has an unknown kind of address");
	if (s->state != SOCKS_FAILED)
		s->state = SOCKS_REST;
}

void
socks_step(struct socks *s)
{
	CHECK(s->in_n == s->want);
	CHECK(s->want <= sizeof(s->in));
	switch (s->state) {
	case SOCKS_METHOD: step_method(s); return;
	case SOCKS_SECRET:
		/* RFC 1929 s.2: only the status counts; some servers get the version
		 * wrong. */
		if (s->in[1] == 0)
			send_request(s);
		else
			refuse(s, EACCES, false, "it refused user and password");
		return;
	case SOCKS_HEAD: step_head(s); return;
	case SOCKS_REST: s->state = SOCKS_DONE; return;
	case SOCKS_DONE:
	case SOCKS_FAILED: break;
	}
	UNREACHABLE();
}

void
socks_done(struct socks *s)
{
	explicit_bzero(s, sizeof(*s));
}
