#include "wire/smtp_client.h"

#include "base/buf.h"
#include "base/check.h"
#include "wire/sasl_line.h"

#include <string.h>

/* What EHLO told. */
static void
forget(struct smtp_client *c)
{
	c->has = 0;
	c->size_limit = 0;
	c->mechanisms_n = 0;
	c->mechanisms[0] = '\0';
}

void
smtp_client_init(struct smtp_client *c, bool lmtp)
{
	memset(c, 0, sizeof(*c));
	c->lmtp = lmtp;
	c->flight[0] = SMTP_GREETING;
	c->count = 1;
	c->closed_group = true;
}

void
smtp_client_secured(struct smtp_client *c)
{
	CHECK(c->securing);
	CHECK(c->count == 0);
	c->securing = false;
	forget(c);
}

/* Whether one more command may be written now. */
static bool
may_send(const struct smtp_client *c)
{
	if (c->broken || c->securing || c->in_login || c->count == SMTP_FLIGHT_MAX)
		return false;
	if (c->count == 0)
		return true;
	return !c->closed_group && (c->has & SMTP_PIPELINING);
}

static void
expect(struct smtp_client *c, enum smtp_command what, bool ends_group)
{
	CHECK(c->count < SMTP_FLIGHT_MAX);
	c->flight[(c->first + c->count) % SMTP_FLIGHT_MAX] = (uint8_t)what;
	c->count++;
	c->closed_group = ends_group;
}

/* A line is complete in `line`: out takes it whole or not at all. */
static bool
commit(struct smtp_client *c, struct buf *line, enum smtp_command what, bool ends_group,
	struct buf *out)
{
	buf_put_str(line, "\r\n");
	if (line->full || buf_room(out) < line->n || out->full)
		return false;
	buf_put_view(out, buf_view(line));
	expect(c, what, ends_group);
	return true;
}

static bool
is_word(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] <= 0x20 || v.p[i] >= 0x7F)
			return false;
	return v.n > 0;
}

bool
smtp_client_hello(struct smtp_client *c, struct view name, bool helo, struct buf *out)
{
	uint8_t storage[SMTP_COMMAND_MAX];
	struct buf line = buf_over(storage, sizeof(storage));

	if (!may_send(c) || c->count > 0 || !is_word(name))
		return false;
	c->extended = !helo || c->lmtp;
	buf_put_str(&line, c->lmtp ? "LHLO " : helo ? "HELO " : "EHLO ");
	buf_put_view(&line, name);
	if (!commit(c, &line, SMTP_EHLO, true, out))
		return false;
	forget(c);
	return true;
}

bool
smtp_client_send(struct smtp_client *c, enum smtp_command what, struct buf *out)
{
	static const char *const words[] = {[SMTP_TLS] = "STARTTLS",
		[SMTP_DATA] = "DATA",
		[SMTP_RSET] = "RSET",
		[SMTP_NOOP] = "NOOP",
		[SMTP_QUIT] = "QUIT"};
	uint8_t storage[16];
	struct buf line = buf_over(storage, sizeof(storage));

	CHECK(what < ARRAY_SIZE(words));
	CHECK(words[what]);
	if (!may_send(c))
		return false;
	buf_put_str(&line, words[what]);
	/* RFC 2920 s.3.1: only RSET among these may have more behind it. */
	return commit(c, &line, what, what != SMTP_RSET, out);
}

/* ---- AUTH, RFC 4954 -------------------------------------------------------------- */

bool
smtp_client_auth(struct smtp_client *c, const char *mechanism, const struct view *initial,
	struct buf *out)
{
	size_t at = out->n;
	struct view name = {(const uint8_t *)mechanism, strlen(mechanism)};

	if (!may_send(c) || c->count > 0 || !is_word(name))
		return false;
	buf_put_str(out, "AUTH ");
	buf_put_view(out, name);
	if (initial) {
		buf_put_str(out, " ");
		if (initial->n == 0)
			buf_put_str(out, "=");
		else
			base64_encode(*initial, out);
	}
	buf_put_str(out, "\r\n");
	if (out->full) {
		explicit_bzero(out->p + at, out->n - at);
		out->n = at;
		return false;
	}
	expect(c, SMTP_LOGIN, true);
	c->in_login = true;
	return true;
}

bool
smtp_client_respond(struct smtp_client *c, struct view octets, struct buf *out)
{
	size_t at = out->n;

	if (c->broken || !c->in_login || c->count > 0)
		return false;
	if (octets.n > 0)
		base64_encode(octets, out);
	buf_put_str(out, "\r\n");
	if (out->full) {
		explicit_bzero(out->p + at, out->n - at);
		out->n = at;
		return false;
	}
	expect(c, SMTP_LOGIN, true);
	return true;
}

bool
smtp_client_cancel(struct smtp_client *c, struct buf *out)
{
	if (c->broken || !c->in_login || c->count > 0 || buf_room(out) < 3)
		return false;
	buf_put_str(out, "*\r\n");
	expect(c, SMTP_LOGIN, true);
	return true;
}

/* ---- a message -------------------------------------------------------------------- */

/*
 * Not the grammar of RFC 5321 s.4.1.2, which the server checks: only what could be taken
 * for another command, another parameter or the end of the path is kept out.
 */
bool
smtp_path_is_good(struct view path, bool *ret_utf8)
{
	bool quoted = false, utf8 = false;

	if (path.n > SMTP_PATH_MAX)
		return false;
	for (size_t i = 0; i < path.n; i++) {
		uint8_t o = path.p[i];

		if (o < 0x20 || o == 0x7F)
			return false;
		if (!quoted && (o == ' ' || o == '<' || o == '>'))
			return false;
		utf8 = utf8 || o >= 0x80;
		if (o == '"')
			quoted = !quoted;
		else if (quoted && o == '\\' && ++i < path.n &&
			(path.p[i] < 0x20 || path.p[i] >= 0x7F))
			return false;
	}
	*ret_utf8 = utf8;
	return !quoted;
}

static bool
put_path(const struct smtp_client *c, struct view path, bool *ret_utf8, struct buf *line)
{
	if (!smtp_path_is_good(path, ret_utf8))
		return false;
	if (*ret_utf8 && !(c->has & SMTP_SMTPUTF8))
		return false;
	buf_put_str(line, "<");
	buf_put_view(line, path);
	buf_put_str(line, ">");
	return true;
}

bool
smtp_client_mail(struct smtp_client *c, struct view sender, uint64_t octets,
	struct view envid, bool utf8, struct buf *out)
{
	uint8_t storage[SMTP_COMMAND_MAX];
	struct buf line = buf_over(storage, sizeof(storage));
	bool sender_utf8;

	if (!may_send(c))
		return false;
	buf_put_str(&line, "MAIL FROM:");
	if (!put_path(c, sender, &sender_utf8, &line))
		return false;
	if (octets > 0 && (c->has & SMTP_SIZE)) {
		buf_put_str(&line, " SIZE=");
		buf_put_dec(&line, octets);
	}
	/* RFC 6152 s.3: it says that octets above 127 may come, not that they do. */
	if (c->has & SMTP_8BITMIME)
		buf_put_str(&line, " BODY=8BITMIME");
	if ((utf8 || sender_utf8) && (c->has & SMTP_SMTPUTF8))
		buf_put_str(&line, " SMTPUTF8");
	/* RFC 3461 s.4.4; hex digits need no xtext. */
	if (envid.n > 0 && envid.n <= 100 && (c->has & SMTP_DSN) && is_word(envid)) {
		buf_put_str(&line, " ENVID=");
		buf_put_view(&line, envid);
	}
	return commit(c, &line, SMTP_MAIL, false, out);
}

bool
smtp_client_rcpt(struct smtp_client *c, struct view recipient, struct buf *out)
{
	uint8_t storage[SMTP_COMMAND_MAX];
	struct buf line = buf_over(storage, sizeof(storage));
	bool utf8;

	if (!may_send(c) || recipient.n == 0)
		return false;
	buf_put_str(&line, "RCPT TO:");
	if (!put_path(c, recipient, &utf8, &line))
		return false;
	return commit(c, &line, SMTP_RCPT, false, out);
}

bool
smtp_client_body(struct smtp_client *c, uint32_t accepted)
{
	uint32_t replies = c->lmtp ? accepted : 1;

	if (c->broken || c->securing || c->in_login || c->count > 0 || replies == 0 ||
		replies > SMTP_RECIPIENTS_MAX)
		return false;
	for (uint32_t i = 0; i < replies; i++)
		expect(c, SMTP_BODY, false);
	return true;
}
