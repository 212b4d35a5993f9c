#include "base/buf.h"
#include "base/check.h"
#include "pop3/server.h"
#include "wire/limits.h"
#include "wire/sasl_line.h"

#include <string.h>

/* Cut where the line would grow beyond RFC 1939 s.3; two octets are left for its end. */
void
pop3_line_view(struct pop3_line *l, struct view v)
{
	size_t room = POP3_REPLY_MAX - 2 - (size_t)l->n;
	size_t n = v.n < room ? v.n : room;

	/* RFC 2449 s.3: CHAR; and no octet that a terminal or a log obeys (wire point
	 * 47). */
	for (size_t i = 0; i < n; i++)
		l->octets[l->n + i] = v.p[i] >= 0x20 && v.p[i] <= 0x7E ? v.p[i] : '?';
	l->n = (uint16_t)(l->n + n);
}

void
pop3_line_text(struct pop3_line *l, const char *text)
{
	pop3_line_view(l, (struct view){(const uint8_t *)text, strlen(text)});
}

void
pop3_line_number(struct pop3_line *l, uint64_t n)
{
	uint8_t digits[20];
	struct buf b = buf_over(digits, sizeof(digits));

	buf_put_dec(&b, n);
	pop3_line_view(l, buf_view(&b));
}

void
pop3_line_end(const struct pop3_line *l, struct buf *out)
{
	CHECK(l->n <= POP3_REPLY_MAX - 2);
	if (buf_room(out) < (size_t)l->n + 2) {
		out->full = true;
		return;
	}
	buf_put(out, l->octets, l->n);
	buf_put_str(out, "\r\n");
}

/* No "<", which clients take for the start of an APOP stamp (wire point 43), no "["
 * either. */
static void
put_hostname(struct pop3_line *l, struct view name)
{
	size_t n = name.n < HOSTNAME_MAX ? name.n : HOSTNAME_MAX;

	for (size_t i = 0; i < n; i++) {
		bool odd = name.p[i] == '<' || name.p[i] == '>' || name.p[i] == '[' ||
			name.p[i] == ']';
		pop3_line_view(l, odd ? VIEW("?") : (struct view){name.p + i, 1});
	}
}

/* The stamp is auth's: "<digits.digits@host>", and stands only where APOP works. */
void
pop3_put_greeting(const struct pop3_server *s, struct view stamp, struct buf *out)
{
	struct pop3_line l;

	pop3_line_start(&l, POP3_OK_GREETING, (enum pop3_language)s->language);
	/* With a stamp, which names the host, the line could be too long for both. */
	if (s->options->hostname.n > 0 && stamp.n == 0) {
		pop3_line_text(&l, " ");
		put_hostname(&l, s->options->hostname);
	}
	pop3_line_word(&l, POP3_WORD_READY);
	if (stamp.n > 0)
		pop3_line_text(&l, " ");
	pop3_line_view(&l, stamp);
	pop3_line_end(&l, out);
}

/* Groups of three octets are four on the wire; the last group may be a part. */
bool
pop3_put_challenge(struct pop3_challenge *c, struct buf *out)
{
	size_t room = buf_room(out), begin = c->begun ? 0 : 2;

	if (room < begin + 4 + 2)
		return false;
	/* RFC 5034 s.4: "+" and SP, also where nothing follows. */
	if (!c->begun)
		buf_put_str(out, "+ ");
	c->begun = true;
	size_t n = (room - begin - 2) / 4 * 3;
	if (n > c->left.n)
		n = c->left.n;
	base64_encode((struct view){c->left.p, n}, out);
	c->left.p += n;
	c->left.n -= n;
	if (c->left.n > 0)
		return false;
	buf_put_str(out, "\r\n");
	return true;
}

/* Rows start with a digit and hold no line end, so there is nothing to stuff. */
void
pop3_put_size_row(uint32_t msgno, uint64_t octets, struct buf *out)
{
	buf_put_dec(out, msgno);
	buf_put_u8(out, ' ');
	buf_put_dec(out, octets);
	buf_put_str(out, "\r\n");
}

void
pop3_put_uidl_row(uint32_t msgno, struct view uidl, struct buf *out)
{
	buf_put_dec(out, msgno);
	buf_put_u8(out, ' ');
	buf_put_view(out, uidl);
	buf_put_str(out, "\r\n");
}

void
pop3_put_end(struct buf *out)
{
	buf_put_str(out, ".\r\n");
}
