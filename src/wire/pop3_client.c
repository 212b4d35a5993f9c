#include "base/ascii.h"
#include "base/buf.h"
#include "base/check.h"
#include "pop3/client.h"
#include "wire/limits.h"
#include "wire/pop3_flight.h"
#include "wire/pop3_parse.h"
#include "wire/sasl_line.h"

#include <string.h>

/* RFC 4422 s.3.1 */
#define MECHANISM_NAME_MAX 20

static void
expect(struct pop3_client *c, struct pop3_expected e)
{
	CHECK(c->count < POP3_FLIGHT_MAX);
	c->flight[(c->first + c->count) % POP3_FLIGHT_MAX] = e;
	c->count++;
}

static const struct pop3_expected *
last(const struct pop3_client *c)
{
	CHECK(c->count > 0);
	return &c->flight[(c->first + c->count - 1) % POP3_FLIGHT_MAX];
}

void
pop3_client_init(struct pop3_client *c)
{
	*c = (struct pop3_client){0};
	expect(c, (struct pop3_expected){.command = POP3_GREETING});
}

void
pop3_client_secured(struct pop3_client *c)
{
	bool lenient = c->lenient;

	*c = (struct pop3_client){.lenient = lenient};
}

void
pop3_client_lenient(struct pop3_client *c, bool lenient)
{
	c->lenient = lenient;
}

/* Behind QUIT nothing is read (RFC 1939 s.6), behind STLS only TLS (RFC 2595 s.4), and
 * what is sent while a challenge waits would be its response. */
static bool
may_send(const struct pop3_client *c)
{
	if (c->count >= POP3_FLIGHT_MAX || c->in_sasl || c->at >= CLIENT_AT_STLS)
		return false;
	if (c->count == 0)
		return true;
	return last(c)->command != POP3_QUIT && last(c)->command != POP3_STLS;
}

/* What was written from `start` on leaves as a line, or not at all. */
static bool
end_line(struct buf *out, struct buf start)
{
	buf_put_str(out, "\r\n");
	if (!out->full)
		return true;
	*out = start;
	return false;
}

static bool
is_one_line(struct view v)
{
	return v.n == 0 ||
		(!memchr(v.p, '\r', v.n) && !memchr(v.p, '\n', v.n) &&
			!memchr(v.p, '\0', v.n));
}

static bool
end_command(
	struct pop3_client *c, struct pop3_expected e, struct buf *out, struct buf start)
{
	if (!end_line(out, start))
		return false;
	expect(c, e);
	return true;
}

/* Whether the arguments are what the command takes; *ret_numbers of them are written. */
static bool
numbers_fit(enum pop3_command command, uint32_t msgno, int *ret_numbers)
{
	switch ((enum command_arguments)command_row(command)->arguments) {
	case ARG_NONE: *ret_numbers = 0; return true;
	case ARG_NUMBER_MAYBE: *ret_numbers = msgno > 0; return true;
	case ARG_NUMBER: *ret_numbers = 1; return msgno > 0;
	case ARG_NUMBER_LINES: *ret_numbers = 2; return msgno > 0;
	case ARG_SASL: /* AUTH alone lists mechanisms, */
	case ARG_LANG: /* LANG languages */ *ret_numbers = 0; return true;
	case ARG_APOP:
	case ARG_XCLIENT:
	case ARG_TEXT: return false;
	}
	UNREACHABLE();
}

bool
pop3_client_send(struct pop3_client *c, enum pop3_command command, uint32_t msgno,
	uint32_t lines, struct buf *out)
{
	struct buf start = *out;
	int numbers;

	if (command >= POP3_COMMANDS || !may_send(c) ||
		!numbers_fit(command, msgno, &numbers))
		return false;
	const struct command_row *row = command_row(command);
	buf_put_str(out, row->name);
	if (numbers > 0) {
		buf_put_u8(out, ' ');
		buf_put_dec(out, msgno);
	}
	if (numbers > 1) {
		buf_put_u8(out, ' ');
		buf_put_dec(out, lines);
	}
	struct pop3_expected e = {
		.command = (uint8_t)command,
		.stuffing = POP3_STUFFED,
		.many = row->answer == MANY ||
			(row->answer == MANY_ALONE && numbers == 0),
		.msgno = numbers > 0 ? msgno : 0,
	};
	return end_command(c, e, out, start);
}

bool
pop3_client_retrieve(struct pop3_client *c, uint32_t msgno, enum pop3_stuffing stuffing,
	struct buf *out)
{
	if (!pop3_client_send(c, POP3_RETR, msgno, 0, out))
		return false;
	c->flight[(c->first + c->count - 1) % POP3_FLIGHT_MAX].stuffing =
		(uint8_t)stuffing;
	return true;
}

bool
pop3_client_send_text(struct pop3_client *c, enum pop3_command command, struct view text,
	struct buf *out)
{
	struct buf start = *out;

	if ((command != POP3_USER && command != POP3_PASS) || !may_send(c) ||
		!is_one_line(text))
		return false;
	buf_put_str(out, command_row(command)->name);
	buf_put_u8(out, ' ');
	buf_put_view(out, text);
	return end_command(
		c, (struct pop3_expected){.command = (uint8_t)command}, out, start);
}

static bool
is_digest(struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = ascii_lower(v.p[i]);
		if (!ascii_is_digit(c) && !(c >= 'a' && c <= 'f'))
			return false;
	}
	return v.n == APOP_DIGEST_OCTETS;
}

bool
pop3_client_apop(
	struct pop3_client *c, struct view name, struct view digest, struct buf *out)
{
	struct buf start = *out;

	if (!may_send(c) || !is_one_line(name) || !is_digest(digest))
		return false;
	buf_put_str(out, "APOP ");
	buf_put_view(out, name);
	buf_put_u8(out, ' ');
	buf_put_view(out, digest);
	return end_command(c, (struct pop3_expected){.command = POP3_PASS}, out, start);
}

static bool
is_mechanism(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		uint8_t c = ascii_lower((uint8_t)name[i]);
		if (!ascii_is_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_')
			return false;
	}
	return n > 0 && n <= MECHANISM_NAME_MAX;
}

bool
pop3_client_auth(struct pop3_client *c, const char *mechanism, const struct view *initial,
	struct buf *out)
{
	struct buf start = *out;

	if (!may_send(c) || !is_mechanism(mechanism))
		return false;
	buf_put_str(out, "AUTH ");
	buf_put_str(out, mechanism);
	if (initial)
		buf_put_u8(out, ' ');
	if (initial && initial->n == 0)
		buf_put_u8(out, '=');
	if (initial)
		base64_encode(*initial, out);
	return end_command(c, (struct pop3_expected){.command = POP3_AUTH}, out, start);
}

/* A line of AUTH is due, or may be sent ahead of its challenge. */
static bool
may_respond(const struct pop3_client *c)
{
	if (c->in_sasl)
		return true;
	return c->count > 0 && c->at < CLIENT_AT_STLS && last(c)->command == POP3_AUTH &&
		!last(c)->many;
}

static void
responded(struct pop3_client *c)
{
	if (!c->in_sasl)
		c->flight[(c->first + c->count - 1) % POP3_FLIGHT_MAX].msgno++;
	c->in_sasl = false;
}

bool
pop3_client_respond(struct pop3_client *c, struct view octets, struct buf *out)
{
	struct buf start = *out;

	if (!may_respond(c))
		return false;
	base64_encode(octets, out);
	if (!end_line(out, start))
		return false;
	responded(c);
	return true;
}

bool
pop3_client_cancel(struct pop3_client *c, struct buf *out)
{
	struct buf start = *out;

	if (!may_respond(c))
		return false;
	buf_put_u8(out, '*');
	if (!end_line(out, start))
		return false;
	responded(c);
	return true;
}
