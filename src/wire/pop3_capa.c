#include "base/buf.h"
#include "pop3/server.h"
#include "wire/limits.h"
#include "wire/pop3_parse.h"

/* One line without mechanisms would promise AUTH and give nothing: then there is none. */
static void
put_sasl(const struct pop3_server *s, struct buf *out)
{
	bool any = false;

	for (int m = 0; m < POP3_MECHANISMS; m++) {
		if (!pop3_server_offers(s, (enum pop3_mechanism)m))
			continue;
		buf_put_str(out, any ? " " : "SASL ");
		buf_put_str(out, mechanism_row((enum pop3_mechanism)m)->name);
		any = true;
	}
	if (any)
		buf_put_str(out, "\r\n");
}

void
pop3_put_mechanisms(const struct pop3_server *s, struct buf *out)
{
	pop3_put_reply(POP3_OK_AUTH_LIST, (enum pop3_language)s->language, out);
	for (int m = 0; m < POP3_MECHANISMS; m++) {
		if (!pop3_server_offers(s, (enum pop3_mechanism)m))
			continue;
		buf_put_str(out, mechanism_row((enum pop3_mechanism)m)->name);
		buf_put_str(out, "\r\n");
	}
	pop3_put_end(out);
}

/* RFC 2449 s.6.5 and s.6.7: " USER" says that another CAPA after login tells more. */
static void
put_policy(const struct pop3_server *s, struct buf *out)
{
	const struct pop3_server_options *o = s->options;
	bool before = s->state != POP3_TRANSACTION;
	uint32_t expire = before ? o->expire_days : s->expire_days;

	buf_put_str(out, "EXPIRE ");
	if (expire == POP3_EXPIRE_NEVER)
		buf_put_str(out, "NEVER");
	else
		buf_put_dec(out, expire);
	buf_put_str(out, before && o->expire_differs ? " USER\r\n" : "\r\n");
	/* The largest of all users: who has none is told so after login (RFC 2449 s.5).
	 */
	if (o->login_delay_s == 0)
		return;
	buf_put_str(out, "LOGIN-DELAY ");
	buf_put_dec(out, before ? o->login_delay_s : s->login_delay_s);
	buf_put_str(out, before && o->login_delay_differs ? " USER\r\n" : "\r\n");
}

static void
put_implementation(struct view v, struct buf *out)
{
	size_t n = v.n < IMPLEMENTATION_MAX ? v.n : IMPLEMENTATION_MAX;

	if (n == 0)
		return;
	buf_put_str(out, "IMPLEMENTATION ");
	for (size_t i = 0; i < n; i++)
		buf_put_u8(out, v.p[i] >= 0x20 && v.p[i] <= 0x7E ? v.p[i] : '?');
	buf_put_str(out, "\r\n");
}

/*
 * RFC 2449 s.5: what is announced before login is announced after it, less STLS, which
 * is only for where it is permitted (RFC 2595 s.4), and XCLIENT, which is for the peer.
 */
void
pop3_put_capa(const struct pop3_server *s, struct buf *out)
{
	bool before = s->state != POP3_TRANSACTION;

	pop3_put_reply(POP3_OK_CAPA, (enum pop3_language)s->language, out);
	buf_put_str(out, "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
	if (pop3_server_offers_user(s))
		buf_put_str(out, "USER\r\n");
	put_sasl(s, out);
	if (before && s->link.tls_available && !s->link.tls)
		buf_put_str(out, "STLS\r\n");
	if (s->options->utf8)
		buf_put_str(out, "UTF8 USER\r\nLANG\r\n"); /* RFC 6856 s.2, s.3 */
	if (before && s->link.xclient)
		buf_put_str(out, "XCLIENT ADDR PORT\r\n");
	put_policy(s, out);
	put_implementation(s->options->implementation, out);
	pop3_put_end(out);
}
