/*
 * login_choose.c: which way to log in. Pure.
 *
 * Candidates are taken in order (of `auth`, else of logins.def); the first one that
 * nothing speaks against is chosen. What spoke against the others is kept, so that the
 * reason names what a person can change: the most telling obstacle wins.
 */
#include "base/ascii.h"
#include "base/buf.h"
#include "base/check.h"
#include "fetch/login_rows.h"

#include <string.h>

const struct login_row login_rows[LOGIN_ROWS] = {
#define LOGIN(id, name, needs, way, shows, one_flight)                                   \
	[LOGIN_ID_##id] = {name, LOGIN_NEEDS_##needs, LOGIN_BY_##way, shows, one_flight},
#include "fetch/logins.def"
#undef LOGIN
};

/* What speaks against a candidate; the later, the more it explains. */
enum obstacle {
	CLEAR,
	NOT_ASKED_FOR, /* not by default */
	NOT_OFFERED,
	NO_BINDING,
	NO_STAMP,
	NO_SECRET,
	NO_CERTIFICATE,
	NO_CAPA,
	REFUSED,   /* by this server, as such */
	WANTS_TLS, /* the server offers nothing else before STLS */
	IN_THE_CLEAR,
	OBSTACLES,
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, s ? strlen(s) : 0};
}

/* The next word of a list divided by blanks or commas; empty at its end. */
static struct view
word_take(struct view *rest)
{
	struct view w;

	while (rest->n > 0 &&
		(rest->p[0] == ' ' || rest->p[0] == ',' || rest->p[0] == '\t')) {
		rest->p++;
		rest->n--;
	}
	w = (struct view){rest->p, 0};
	while (rest->n > 0 && rest->p[0] != ' ' && rest->p[0] != ',' &&
		rest->p[0] != '\t') {
		rest->p++;
		rest->n--;
		w.n++;
	}
	return w;
}

static bool
words_have(const char *words, const char *name)
{
	struct view rest = view_of(words), w;

	while ((w = word_take(&rest)).n > 0)
		if (ascii_equal_nocase(w, view_of(name)))
			return true;
	return false;
}

enum login_id
login_row_find(struct view name)
{
	for (unsigned i = 0; i < LOGIN_ROWS; i++)
		if (ascii_equal_nocase(name, view_of(login_rows[i].name)))
			return (enum login_id)i;
	return LOGIN_ROWS;
}

/* Beside USER and SASL a server may have a CAPA that simply is poor. */
static bool
user_is_offered(const struct pop3_capabilities *caps)
{
	if (caps->has & POP3_CAPA_USER)
		return true;
	return !(caps->has & (POP3_CAPA_SASL | POP3_CAPA_STLS));
}

static enum obstacle
offered(enum login_id id, const struct login_facts *f, bool named)
{
	const struct pop3_capabilities *caps = f->capabilities;

	if (id == LOGIN_ID_APOP)
		return f->has_stamp ? CLEAR : NO_STAMP;
	if (!caps) /* no guess of AUTH; but a name in `auth` is none */
		return id == LOGIN_ID_USER || named ? CLEAR : NO_CAPA;
	if (id == LOGIN_ID_USER ? user_is_offered(caps)
				: pop3_capabilities_offer(caps, login_rows[id].name))
		return CLEAR;
	if (!f->tls && (caps->has & POP3_CAPA_STLS) &&
		!(caps->has & (POP3_CAPA_SASL | POP3_CAPA_USER)))
		return WANTS_TLS;
	return NOT_OFFERED;
}

static enum obstacle
equipped(enum login_id id, const struct fetch_account *a, const struct login_facts *f,
	bool named)
{
	switch (login_rows[id].needs) {
	case LOGIN_NEEDS_PASSWORD:
		if (!f->has_password)
			return NO_SECRET;
		return f->has_token && !named ? NOT_ASKED_FOR : CLEAR;
	case LOGIN_NEEDS_TOKEN: return f->has_token ? CLEAR : NO_SECRET;
	case LOGIN_NEEDS_CERTIFICATE:
		if (!a->tls_options.certificate || !f->tls)
			return NO_CERTIFICATE;
		return named || !(f->has_password || f->has_token) ? CLEAR
								   : NOT_ASKED_FOR;
	case LOGIN_NEEDS_TICKET:
		return named || !(f->has_password || f->has_token) ? CLEAR
								   : NOT_ASKED_FOR;
	}
	return NOT_ASKED_FOR;
}

static enum obstacle
against(enum login_id id, const struct fetch_account *a, const struct login_facts *f,
	bool named)
{
	bool plus = id == LOGIN_ID_SCRAM_SHA_256_PLUS || id == LOGIN_ID_SCRAM_SHA_1_PLUS;
	enum obstacle o = offered(id, f, named);

	if (id == LOGIN_ID_APOP && !a->apop && !named)
		return NOT_ASKED_FOR;
	if (o == CLEAR)
		o = equipped(id, a, f, named);
	if (o == CLEAR && plus && !f->has_binding)
		o = NO_BINDING;
	if (o == CLEAR && words_have(f->tried, login_rows[id].name))
		o = REFUSED;
	if (o == CLEAR && (login_rows[id].shows ? f->never_shown : f->only_shown))
		o = REFUSED;
	if (o == CLEAR && login_rows[id].shows && !f->tls && !a->plaintext)
		o = IN_THE_CLEAR;
	return o;
}

/* What the server offers, as far as there is room; words that are none are left out. */
static void
put_offer(struct buf *b, const struct pop3_capabilities *caps)
{
	struct view rest = {(const uint8_t *)caps->mechanisms, caps->mechanisms_n}, w;
	size_t start = b->n;

	if (user_is_offered(caps))
		buf_put_str(b, "USER");
	while ((w = word_take(&rest)).n > 0 && b->n - start < 40) {
		bool good = w.n <= 20;

		for (size_t i = 0; i < w.n; i++)
			good = good && ascii_is_graph(w.p[i]);
		if (!good)
			continue;
		if (b->n > start)
			buf_put_str(b, " ");
		buf_put_view(b, w);
	}
	if (w.n > 0)
		buf_put_str(b, " ...");
	if (b->n == start)
		buf_put_str(b, "no way to log in");
}

static void
put_secret_advice(struct buf *b, const struct login_facts *f)
{
	if (!f->has_password && f->has_token)
		buf_put_str(b, " and no tokens: give a password");
	else if (!f->has_password)
		buf_put_str(b,
			" and nothing was given for it: give a password (or "
			"token_command for OAUTHBEARER, XOAUTH2)");
	else
		buf_put_str(b, "; for that give token_command");
}

static void
put_advice(struct buf *b, enum obstacle worst, const struct fetch_account *a,
	const struct login_facts *f)
{
	bool listed = a->auth && a->auth[0];

	switch (worst) {
	case IN_THE_CLEAR:
		buf_put_str(b,
			" and this connection has no TLS: use tls = stls or tls, or "
			"plaintext = yes if all on the way may read the password");
		return;
	case WANTS_TLS: buf_put_str(b, " before TLS: use tls = stls or tls"); return;
	case REFUSED:
		buf_put_str(b, " and has refused: ");
		buf_put_view(b,
			(struct view){(const uint8_t *)f->tried,
				strlen(f->tried) < 50 ? strlen(f->tried) : 50});
		buf_put_str(b, listed ? ": allow more in auth" : "; ask its provider");
		return;
	case NO_CAPA:
		buf_put_str(b, ": name the mechanism in auth, or give a password");
		return;
	case NO_CERTIFICATE:
		buf_put_str(b,
			"; EXTERNAL needs TLS and a client certificate: set "
			"certificate and key");
		return;
	case NO_SECRET: put_secret_advice(b, f); return;
	case NO_STAMP:
		buf_put_str(b, " and no stamp for APOP in its greeting: take apop away");
		return;
	case NO_BINDING:
		buf_put_str(b,
			" and -PLUS needs TLS with channel binding here: use tls, or "
			"allow it without -PLUS in auth");
		return;
	case NOT_OFFERED:
	case NOT_ASKED_FOR:
	case CLEAR:
	case OBSTACLES: break;
	}
	buf_put_str(b,
		listed ? ", nothing of what auth allows: allow more in auth, or leave "
			 "it empty"
		       : ", nothing that can be done here");
}

static void
explain(struct login_choice *ret, enum obstacle worst, struct view unknown,
	const struct fetch_account *a, const struct login_facts *f)
{
	struct buf b = buf_over(ret->why, sizeof(ret->why) - 1);

	if (unknown.n > 0) {
		buf_put_str(&b, "auth names ");
		buf_put_view(
			&b, (struct view){unknown.p, unknown.n < 20 ? unknown.n : 20});
		buf_put_str(&b, ", which is unknown; ");
	}
	if (f->capabilities) {
		buf_put_str(&b, "the server offers ");
		if (worst == IN_THE_CLEAR)
			buf_put_str(&b, "only ");
		put_offer(&b, f->capabilities);
	} else {
		buf_put_str(&b, "the server does not say what it offers (CAPA)");
	}
	put_advice(&b, worst, a, f);
	ret->why[b.n] = '\0';
}

static void
choose(struct login_choice *ret, enum login_id id)
{
	ret->mechanism = login_rows[id].name;
	ret->plain = login_rows[id].shows;
	ret->one_flight = login_rows[id].one_flight;
}

/* True where it was chosen. */
static bool
consider(enum login_id id, bool named, const struct fetch_account *a,
	const struct login_facts *f, enum obstacle *worst, struct login_choice *ret)
{
	enum obstacle o = against(id, a, f, named);

	if (o == CLEAR)
		choose(ret, id);
	else if (o > *worst)
		*worst = o;
	return o == CLEAR;
}

/* What worked is no better than what the account wants now. */
static bool
may_work_again(const struct fetch_account *a, const struct login_facts *f)
{
	if (!f->worked || a->apop)
		return false;
	return !a->auth || !a->auth[0] || words_have(a->auth, f->worked);
}

void
login_choose(const struct fetch_account *a, const struct login_facts *f,
	struct login_choice *ret)
{
	struct view rest = view_of(a->auth), unknown = {NULL, 0}, w;
	enum obstacle worst = CLEAR;
	bool named = false;

	CHECK(ARRAY_SIZE(login_rows) == LOGIN_ROWS);
	memset(ret, 0, sizeof(*ret));
	if (may_work_again(a, f)) {
		enum login_id id = login_row_find(view_of(f->worked));

		if (id != LOGIN_ROWS &&
			consider(id, a->auth && a->auth[0], a, f, &worst, ret))
			return;
	}
	if (a->apop) {
		named = true;
		if (consider(LOGIN_ID_APOP, true, a, f, &worst, ret))
			return;
	}
	while ((w = word_take(&rest)).n > 0) {
		enum login_id id = login_row_find(w);

		named = true;
		if (id == LOGIN_ROWS)
			unknown = w;
		else if (consider(id, true, a, f, &worst, ret))
			return;
	}
	for (unsigned i = 0; !named && i < LOGIN_ROWS; i++)
		if (consider((enum login_id)i, false, a, f, &worst, ret))
			return;
	explain(ret, worst, unknown, a, f);
}
