#include "base/buf.h"
#include "pop3/server.h"
#include "wire/limits.h"
#include "wire/pop3_parse.h"

static bool
is_offered(const struct pop3_server *s, enum pop3_mechanism m)
{
	return !mechanism_row(m)->plaintext || pop3_server_may_login(s);
}

/* One line without mechanisms would promise AUTH and give nothing: then there is none. */
static void
put_sasl(const struct pop3_server *s, struct buf *out)
{
	bool any = false;

	for (int m = 0; m < POP3_MECHANISMS; m++) {
		if (!is_offered(s, (enum pop3_mechanism)m))
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
	pop3_put_reply(POP3_OK_AUTH_LIST, out);
	for (int m = 0; m < POP3_MECHANISMS; m++) {
		if (!is_offered(s, (enum pop3_mechanism)m))
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

	buf_put_str(out, "EXPIRE ");
	if (o->expire_days == POP3_EXPIRE_NEVER)
		buf_put_str(out, "NEVER");
	else
		buf_put_dec(out, o->expire_days);
	buf_put_str(out, before && o->expire_differs ? " USER\r\n" : "\r\n");
	if (o->login_delay_s == 0)
		return;
	buf_put_str(out, "LOGIN-DELAY ");
	buf_put_dec(out, o->login_delay_s);
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
 * is only for where it is permitted (RFC 2595 s.4).
 */
void
pop3_put_capa(const struct pop3_server *s, struct buf *out)
{
	pop3_put_reply(POP3_OK_CAPA, out);
	buf_put_str(out, "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
	if (pop3_server_may_login(
		    s)) /* threats: no USER while TLS is required and absent */
		buf_put_str(out, "USER\r\n");
	put_sasl(s, out);
	if (s->state != POP3_TRANSACTION && s->link.tls_available && !s->link.tls)
		buf_put_str(out, "STLS\r\n");
	put_policy(s, out);
	put_implementation(s->options->implementation, out);
	pop3_put_end(out);
}
