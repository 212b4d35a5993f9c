/*
 * cases_tls.c: STLS (RFC 2595), the handshake, versions.
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <openssl/ssl.h>
#include <string.h>

static bool stls_twice(struct trial *t);
static bool inject_capa(struct trial *t);
static bool inject_user(struct trial *t);
static bool inject_split(struct trial *t);
static bool forgets_user(struct trial *t);
static bool plain_after(struct trial *t);
static bool garbage_after(struct trial *t);
static bool silence_after(struct trial *t);
static bool no_second_greeting(struct trial *t);
static bool version_old(struct trial *t);
static bool version_new(struct trial *t);
static bool plain_at_pop3s(struct trial *t);
static bool http_at_pop3s(struct trial *t);
static bool split_handshake(struct trial *t);
static bool cut_handshake(struct trial *t);
static bool huge_hello(struct trial *t);
static bool sslv2_hello(struct trial *t);
static bool alert_first(struct trial *t);
static bool other_alpn(struct trial *t);
static bool resumed(struct trial *t);
static bool many_handshakes(struct trial *t);
static bool renegotiation(struct trial *t);

#define S NEED_STLS
#define T NEED_TLS

const struct torture_case cases_tls[] = {
	ROW("stls-argument", "RFC 2595 s.4", SHOULD, AT_SOCKET, S, "STLS x: -ERR",
		SAY("STLS x\r\n", "-")),
	ROW("stls-no-greeting", "RFC 2595 s.4", MUST, AT_NOTHING, S,
		"no second greeting after STLS", .run = no_second_greeting),
	ROW("stls-twice", "RFC 2595 s.4", SHOULD, AT_NOTHING, S, "STLS within TLS: -ERR",
		.run = stls_twice),
	ROW("stls-inject-capa", "RFC 2595 s.4", MUST, AT_SOCKET, S,
		"CAPA behind STLS in one packet is not answered within TLS",
		.run = inject_capa),
	ROW("stls-inject-user", "RFC 2595 s.4", MUST, AT_SOCKET, S,
		"USER behind STLS in one packet is not obeyed", .run = inject_user),
	ROW("stls-inject-part", "RFC 2595 s.4", MUST, AT_SOCKET, S,
		"half a command behind STLS is not put before the first within TLS",
		.run = inject_split),
	ROW("stls-forgets-user", "robustness", ROBUST, AT_SOCKET,
		S | NEED_USER | NEED_LOGIN, "USER before STLS is forgotten",
		.run = forgets_user),
	ROW("stls-then-plain", "RFC 2595 s.4", MUST, AT_SOCKET, S,
		"plain commands after STLS are not answered", .run = plain_after),
	ROW("stls-then-garbage", "RFC 2595 s.4", ROBUST, AT_SOCKET, S,
		"garbage for a handshake: the end", .run = garbage_after),
	ROW("stls-then-close", "RFC 2595 s.4", ROBUST, AT_SOCKET, S,
		"a client that goes away after STLS: others are served",
		.run = silence_after),
	ROW("stls-alert-first", "RFC 8446 s.6", ROBUST, AT_SOCKET, S,
		"an alert for a handshake: the end", .run = alert_first),
	ROW("pop3s-plain", "RFC 8314 s.3.2", ROBUST, AT_SOCKET, NEED_POP3S,
		"plain commands at POP3S get no +OK", .run = plain_at_pop3s),
	ROW("pop3s-http", "RFC 8314 s.3.2", ROBUST, AT_SOCKET, NEED_POP3S,
		"a request of HTTP at POP3S: the end", .run = http_at_pop3s),
	ROW("tls-version-old", "RFC 8996 s.4", MUST, AT_NOTHING, T,
		"TLS 1.0 and 1.1 are refused", .run = version_old),
	ROW("tls-version-new", "RFC 8997 s.3", SHOULD, AT_NOTHING, T, "TLS 1.3 is spoken",
		.run = version_new),
	ROW("tls-handshake-split", "RFC 8446 s.5.1", MUST, AT_NOTHING, T,
		"a handshake octet by octet is served", .run = split_handshake),
	ROW("tls-handshake-cut", "robustness", ROBUST, AT_NOTHING, T,
		"a handshake that is cut: others are served", .run = cut_handshake),
	ROW("tls-hello-huge", "RFC 8446 s.5.1", ROBUST, AT_NOTHING, T,
		"a handshake message of 16 MiB announced: the end, or no memory for it",
		.run = huge_hello),
	ROW("tls-hello-sslv2", "RFC 8446 s.4.2.1", MUST, AT_NOTHING, T,
		"a hello of SSL 2.0: the end", .run = sslv2_hello),
	ROW("tls-alpn-other", "RFC 7301 s.3.2", ROBUST, AT_NOTHING, T,
		"ALPN 'http/1.1': an alert, or it is not chosen", .run = other_alpn),
	ROW("tls-resumption", "RFC 8446 s.2.2", ROBUST, AT_NOTHING, T,
		"a session that is taken up again is served", .run = resumed),
	ROW("tls-handshakes", "robustness", ROBUST, AT_NOTHING, T,
		"20 handshakes one after another are served", .run = many_handshakes),
	ROW("tls-renegotiation", "RFC 5746 s.4", ROBUST, AT_NOTHING, T,
		"renegotiation (TLS 1.2) is refused, or at least survived",
		.run = renegotiation),
	NO_MORE_ROWS,
};

/* ---- helpers ---- */

/* TCP, and STLS said where the run has that: what follows is the handshake. */
static bool
before_handshake(struct trial *t, struct link *l)
{
	return trial_open(t, l, AT_SOCKET) &&
		(t->all->options.tls == TORTURE_POP3S ||
			trial_expect(t, l, "STLS\r\n", "+"));
}

static bool
shake(struct trial *t, struct link *l, SSL_CTX *with)
{
	enum link_state s = link_handshake(l, with, NULL);

	return s == LINK_OPEN || trial_fail(t, "the handshake: %s", link_words(s));
}

/* Greeting where it comes now. */
static bool
greeted(struct trial *t, struct link *l)
{
	return t->all->options.tls != TORTURE_POP3S || trial_expect(t, l, "", "+");
}

static bool
others_are_served(struct trial *t)
{
	struct link other = {.fd = -1};
	bool good = trial_open(t, &other, AT_GREETING) && trial_quit(t, &other);

	link_close(&other);
	return good;
}

/* The end, without an octet that is plain POP3. */
static bool
ends_without_words(struct trial *t, struct link *l)
{
	for (;;) {
		struct view rest;
		enum link_state s = link_fill(l);

		rest = link_rest(l);
		if (rest.n >= 3 &&
			(memcmp(rest.p, "+OK", 3) == 0 || memcmp(rest.p, "-ER", 3) == 0))
			return trial_fail(t, "plain words came: %.20s",
				memcmp(rest.p, "+OK", 3) == 0 ? "+OK" : "-ERR");
		if (s == LINK_LATE)
			return trial_fail(t, "the server does not close");
		if (s != LINK_OPEN)
			return true;
	}
}

static bool
say_raw(struct trial *t, struct link *l, const char *p, size_t n)
{
	return link_send_raw(l, (struct view){(const uint8_t *)p, n}) != LINK_LATE ||
		trial_fail(t, "it does not take what is sent");
}

/* ---- STLS ---- */

static bool
no_second_greeting(struct trial *t)
{
	/* A greeting would be an answer too many before that to QUIT. */
	return trial_open(t, &t->link, AT_SOCKET) && trial_stls(t, &t->link, NULL) &&
		trial_quit(t, &t->link);
}

static bool
stls_twice(struct trial *t)
{
	return trial_open(t, &t->link, AT_SOCKET) && trial_stls(t, &t->link, NULL) &&
		trial_expect(t, &t->link, "STLS\r\n", "-") && trial_quit(t, &t->link);
}

/* The server may end the connection, or go on as if nothing had come. */
static bool
inject(struct trial *t, const char *text, const char *then, const char *pattern)
{
	struct answer a;

	if (!trial_ask(t, &t->link, text, &a))
		return false;
	if (a.sign != SIGN_OK)
		return true; /* it has seen it */
	if (link_rest(&t->link).n > 0)
		return trial_fail(t, "plain text came behind +OK");
	if (link_handshake(&t->link, t->all->tls, NULL) != LINK_OPEN)
		return true;
	if (!trial_say(t, &t->link, then, strlen(then)))
		return false;
	for (const char *p = pattern; *p; p++) {
		if (!trial_answer(t, &t->link, true, &a))
			return false;
		if (a.sign == SIGN_END)
			return true;
		if (a.sign != (*p == '+' ? SIGN_OK : SIGN_ERR))
			return trial_fail(
				t, "what was sent in the clear counts: %s", a.text);
	}
	return trial_quit(t, &t->link);
}

static bool
inject_capa(struct trial *t)
{
	/* An answer to CAPA would be +OK. */
	return inject(t, "STLS\r\nCAPA\r\n", "XYZZY\r\n", "-");
}

static bool
inject_user(struct trial *t)
{
	return inject(
		t, "STLS\r\nUSER nobody-of-that-name\r\n", "PASS x\r\nXYZZY\r\n", "--");
}

static bool
inject_split(struct trial *t)
{
	return inject(t, "STLS\r\nXYZZY ", "", "");
}

static bool
forgets_user(struct trial *t)
{
	struct answer a;

	if (!trial_ask(t, &t->link, "USER $U\r\n", &a))
		return false;
	if (a.sign != SIGN_OK)
		return trial_skip(t, "USER is refused before STLS, as it may be");
	return trial_stls(t, &t->link, NULL) &&
		trial_expect(t, &t->link, "PASS $P\r\n", "-") && trial_quit(t, &t->link);
}

static bool
plain_after(struct trial *t)
{
	return trial_expect(t, &t->link, "STLS\r\n", "+") &&
		say_raw(t, &t->link, "CAPA\r\nUSER x\r\nQUIT\r\n", 20) &&
		ends_without_words(t, &t->link);
}

static bool
garbage_after(struct trial *t)
{
	static const char garbage[] = "\xde\xad\xbe\xef\x00\xff\x13\x37garbage garbage";

	return trial_expect(t, &t->link, "STLS\r\n", "+") &&
		say_raw(t, &t->link, garbage, sizeof(garbage)) &&
		ends_without_words(t, &t->link) && others_are_served(t);
}

static bool
silence_after(struct trial *t)
{
	if (!trial_expect(t, &t->link, "STLS\r\n", "+"))
		return false;
	link_half_close(&t->link);
	return trial_end(t, &t->link, true) && others_are_served(t);
}

static bool
alert_first(struct trial *t)
{
	static const char alert[] = {0x15, 3, 1, 0, 2, 2, 40};

	return trial_expect(t, &t->link, "STLS\r\n", "+") &&
		say_raw(t, &t->link, alert, sizeof(alert)) &&
		ends_without_words(t, &t->link);
}

static bool
plain_at_pop3s(struct trial *t)
{
	return say_raw(t, &t->link, "CAPA\r\nQUIT\r\n", 12) &&
		ends_without_words(t, &t->link);
}

static bool
http_at_pop3s(struct trial *t)
{
	return say_raw(t, &t->link, "GET / HTTP/1.1\r\n\r\n", 18) &&
		ends_without_words(t, &t->link);
}

/* ---- the handshake ---- */

/* A handshake with these versions only; *ret says whether it stood. */
static bool
try_versions(struct trial *t, int least, int most, bool *ret)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	bool good = before_handshake(t, &t->link);

	/* Ours must be willing, so that it is the server that refuses. */
	good = good && c && SSL_CTX_set_min_proto_version(c, least) == 1 &&
		SSL_CTX_set_max_proto_version(c, most) == 1 &&
		SSL_CTX_set_cipher_list(c, "ALL:@SECLEVEL=0") == 1;
	if (good)
		*ret = link_handshake(&t->link, c, NULL) == LINK_OPEN;
	link_close(&t->link);
	SSL_CTX_free(c);
	return good;
}

static bool
version_old(struct trial *t)
{
	bool stood = false;

	return try_versions(t, TLS1_VERSION, TLS1_1_VERSION, &stood) &&
		(!stood || trial_fail(t, "it speaks TLS 1.1 or older"));
}

static bool
version_new(struct trial *t)
{
	bool stood = false;

	return try_versions(t, TLS1_3_VERSION, TLS1_3_VERSION, &stood) &&
		(stood || trial_fail(t, "it does not"));
}

static bool
split_handshake(struct trial *t)
{
	if (!before_handshake(t, &t->link))
		return false;
	t->link.piece = 1;
	if (!shake(t, &t->link, t->all->tls))
		return false;
	t->link.piece = 0;
	return greeted(t, &t->link) && trial_quit(t, &t->link);
}

static bool
cut_handshake(struct trial *t)
{
	static const char head[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

	for (int i = 0; i < 5; i++) {
		if (!before_handshake(t, &t->link) ||
			!say_raw(t, &t->link, head, sizeof(head) - 1))
			return false;
		if (i % 2)
			link_reset(&t->link);
		else
			link_close(&t->link);
	}
	return others_are_served(t);
}

static bool
huge_hello(struct trial *t)
{
	uint8_t record[16384 + 5] = {0x16, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF, 3, 3};

	if (!before_handshake(t, &t->link))
		return false;
	for (int i = 0; i < 64 && t->link.state == LINK_OPEN; i++) {
		enum link_state s =
			link_send_raw(&t->link, (struct view){record, sizeof(record)});
		if (s == LINK_LATE)
			return trial_fail(t, "it neither takes nor refuses it");
		memset(record + 5, 0, sizeof(record) - 5);
	}
	link_close(&t->link);
	return others_are_served(t);
}

static bool
sslv2_hello(struct trial *t)
{
	static const char hello[] = "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"
				    "\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80"
				    "\x05\x00\x80\x06\x00\x40\x07\x00\xc0"
				    "0123456789abcdef";

	return before_handshake(t, &t->link) &&
		say_raw(t, &t->link, hello, sizeof(hello) - 1) &&
		ends_without_words(t, &t->link);
}

static bool
other_alpn(struct trial *t)
{
	static const uint8_t offer[] = "\x08http/1.1";
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	const uint8_t *chosen = NULL;
	unsigned n = 0;
	bool good = c && SSL_CTX_set_alpn_protos(c, offer, sizeof(offer) - 1) == 0 &&
		before_handshake(t, &t->link);

	if (good && link_handshake(&t->link, c, NULL) == LINK_OPEN) {
		SSL_get0_alpn_selected(t->link.ssl, &chosen, &n);
		good = n == 0 || trial_fail(t, "it says that it speaks HTTP");
	}
	link_close(&t->link);
	SSL_CTX_free(c);
	return good && others_are_served(t);
}

static bool
resumed(struct trial *t)
{
	SSL_CTX *c = t->all->tls;
	SSL_SESSION *session = NULL;
	bool good = before_handshake(t, &t->link) && shake(t, &t->link, c) &&
		greeted(t, &t->link) && trial_expect(t, &t->link, "XYZZY\r\n", "-");

	if (good)
		session = SSL_get1_session(t->link.ssl);
	good = good && trial_quit(t, &t->link);
	/* Else the library holds the session to be a bad one, for how its connection
	 * ended. */
	if (t->link.ssl)
		SSL_set_shutdown(t->link.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	link_close(&t->link);
	if (!good || !session || !SSL_SESSION_is_resumable(session)) {
		SSL_SESSION_free(session);
		return good && trial_skip(t, "the server gives no sessions");
	}
	good = before_handshake(t, &t->link);
	t->link.resume = session;
	good = good && shake(t, &t->link, c);
	bool reused = good && SSL_session_reused(t->link.ssl) == 1;
	good = good && greeted(t, &t->link) && trial_quit(t, &t->link);
	t->link.resume = NULL;
	SSL_SESSION_free(session);
	return good && (reused || trial_skip(t, "no session is taken up again"));
}

static bool
many_handshakes(struct trial *t)
{
	for (int i = 0; i < 20; i++)
		if (!others_are_served(t))
			return false;
	return true;
}

static bool
renegotiation(struct trial *t)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	bool good = c && SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION) == 1 &&
		before_handshake(t, &t->link);

	if (good && link_handshake(&t->link, c, NULL) != LINK_OPEN) {
		SSL_CTX_free(c);
		return trial_skip(t, "TLS 1.2 is not spoken");
	}
	if (good && greeted(t, &t->link) && SSL_renegotiate(t->link.ssl) == 1) {
		(void)SSL_do_handshake(t->link.ssl);
		(void)link_flush(&t->link);
		/* An alert, the end, or a whole new handshake: all of it is borne. */
		(void)link_fill(&t->link);
	}
	link_close(&t->link);
	SSL_CTX_free(c);
	return good && others_are_served(t);
}
