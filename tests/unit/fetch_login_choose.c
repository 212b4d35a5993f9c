/*
 * Which way to log in: a table of servers, accounts and what they come to.
 */
#include "unit.h"

#include "base/ascii.h"
#include "base/check.h"
#include "fetch/login.h"

#include <string.h>

#define ALL                                                                              \
	"PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 "               \
	"SCRAM-SHA-256-PLUS XOAUTH2 OAUTHBEARER EXTERNAL GSSAPI"

enum {
	TLS = 1 << 0,
	BIND = 1 << 1,
	STAMP = 1 << 2,
	PASS = 1 << 3,
	TOKEN = 1 << 4,
	CERT = 1 << 5,
	APOP = 1 << 6,
	PLAINTEXT = 1 << 7,
	USER = 1 << 8,	  /* CAPA has USER */
	STLS = 1 << 9,	  /* and STLS */
	NOCAPA = 1 << 10, /* CAPA is unknown */
};

struct row {
	int line;
	unsigned flags;
	const char *sasl; /* NULL: no SASL row */
	const char *auth, *tried;
	const char *mechanism; /* NULL: none */
	const char *why;       /* part of it */
	bool plain, one_flight;
};
#define ROW(flags, sasl, auth, tried, ...)                                               \
	{                                                                                \
		__LINE__, flags, sasl, auth, tried, __VA_ARGS__                          \
	}
#define NONE(part)  NULL, part, false, false
#define HIDES(name) name, NULL, false, false
#define SHOWS(name) name, NULL, true, true

static const struct row rows[] = {
	/* The order of the best offered. */
	ROW(TLS | BIND | PASS | USER, ALL, "", "", HIDES("SCRAM-SHA-256-PLUS")),
	ROW(TLS | BIND | PASS | USER, ALL, "", "SCRAM-SHA-256-PLUS",
		HIDES("SCRAM-SHA-1-PLUS")),
	ROW(TLS | PASS | USER, ALL, "", "", HIDES("SCRAM-SHA-256")),
	ROW(TLS | PASS | USER, ALL, "", "SCRAM-SHA-256", HIDES("SCRAM-SHA-1")),
	ROW(TLS | PASS | USER, ALL, "", "SCRAM-SHA-1 SCRAM-SHA-256", HIDES("CRAM-MD5")),
	ROW(TLS | PASS | USER, ALL, "", "SCRAM-SHA-1 SCRAM-SHA-256 CRAM-MD5",
		SHOWS("PLAIN")),
	ROW(TLS | PASS | USER, ALL, "", "SCRAM-SHA-1 SCRAM-SHA-256 CRAM-MD5 PLAIN",
		SHOWS("USER")),
	ROW(TLS | PASS | USER, "LOGIN", "", "USER", "LOGIN", NULL, true, false),
	ROW(TLS | BIND | PASS | USER, "PLAIN SCRAM-SHA-1-PLUS SCRAM-SHA-256", "", "",
		HIDES("SCRAM-SHA-1-PLUS")),
	ROW(TLS | PASS | USER, "PLAIN LOGIN", "", "", SHOWS("PLAIN")),
	ROW(TLS | PASS | USER, "LOGIN", "", "", SHOWS("USER")),
	ROW(TLS | PASS, "LOGIN", "", "", "LOGIN", NULL, true, false),
	ROW(TLS | PASS | USER, NULL, "", "", SHOWS("USER")),
	/* A poor CAPA; none at all. */
	ROW(TLS | PASS, NULL, "", "", SHOWS("USER")),
	ROW(TLS | PASS | NOCAPA, NULL, "", "", SHOWS("USER")),
	ROW(TLS | PASS | NOCAPA, NULL, "", "USER", NONE("has refused: USER")),
	ROW(TLS | PASS | NOCAPA, NULL, "scram-sha-256", "", HIDES("SCRAM-SHA-256")),
	ROW(TLS | TOKEN | NOCAPA, NULL, "", "", NONE("name the mechanism in auth")),
	ROW(TLS | TOKEN | NOCAPA, NULL, "xoauth2", "", SHOWS("XOAUTH2")),
	ROW(PASS | NOCAPA, NULL, "", "", NONE("use tls = stls or tls")),
	ROW(PASS | NOCAPA | PLAINTEXT, NULL, "", "", SHOWS("USER")),
	/* Without TLS nothing that shows the password. */
	ROW(PASS | USER, ALL, "", "", HIDES("SCRAM-SHA-256")),
	ROW(PASS | USER, "PLAIN CRAM-MD5", "", "", HIDES("CRAM-MD5")),
	ROW(PASS, "PLAIN", "", "",
		NONE("the server offers only PLAIN and this connection has "
		     "no TLS: use tls = stls or tls, or plaintext = yes")),
	ROW(PASS | USER, "PLAIN LOGIN", "", "", NONE("only USER PLAIN LOGIN and")),
	ROW(PASS | USER | PLAINTEXT, "PLAIN LOGIN", "", "", SHOWS("PLAIN")),
	ROW(PASS | USER | PLAINTEXT, "PLAIN SCRAM-SHA-1", "", "", HIDES("SCRAM-SHA-1")),
	ROW(PASS | USER, "PLAIN", "plain", "", NONE("has no TLS")),
	ROW(PASS | USER, "PLAIN CRAM-MD5", "", "CRAM-MD5", NONE("has no TLS")),
	ROW(TOKEN | USER, "XOAUTH2", "", "", NONE("has no TLS")),
	ROW(TOKEN | USER | PLAINTEXT, "XOAUTH2", "", "", SHOWS("XOAUTH2")),
	ROW(PASS | STLS, NULL, "", "", NONE("before TLS: use tls = stls or tls")),
	ROW(PASS | STLS | PLAINTEXT, NULL, "", "",
		NONE("before TLS: use tls = stls or tls")),
	ROW(PASS | STLS | USER | PLAINTEXT, NULL, "", "", SHOWS("USER")),
	/* -PLUS. */
	ROW(TLS | PASS, "SCRAM-SHA-256-PLUS", "", "",
		NONE("-PLUS needs TLS with channel")),
	ROW(PASS, "SCRAM-SHA-1-PLUS SCRAM-SHA-1", "", "", HIDES("SCRAM-SHA-1")),
	/* Tokens: only with them, and then nothing else unless named. */
	ROW(TLS | TOKEN | USER, ALL, "", "", SHOWS("OAUTHBEARER")),
	ROW(TLS | TOKEN | USER, "PLAIN XOAUTH2", "", "", SHOWS("XOAUTH2")),
	ROW(TLS | TOKEN | PASS | USER, ALL, "", "", SHOWS("OAUTHBEARER")),
	ROW(TLS | TOKEN | PASS | USER, ALL, "", "OAUTHBEARER XOAUTH2",
		NONE("has refused")),
	ROW(TLS | TOKEN | PASS | USER, ALL, "xoauth2 plain", "XOAUTH2", SHOWS("PLAIN")),
	ROW(TLS | TOKEN, "PLAIN", "", "", NONE("no tokens: give a password")),
	ROW(TLS | PASS, "XOAUTH2 OAUTHBEARER", "", "",
		NONE("for that give token_command")),
	ROW(TLS, "PLAIN", "", "", NONE("give a password")),
	/* Kerberos and certificates. */
	ROW(TLS, ALL, "", "", HIDES("GSSAPI")),
	ROW(TLS | PASS | USER, "GSSAPI PLAIN", "", "", SHOWS("PLAIN")),
	ROW(TLS | PASS | USER, "GSSAPI PLAIN", "gssapi", "", HIDES("GSSAPI")),
	ROW(0, "GSSAPI", "", "", HIDES("GSSAPI")),
	ROW(TLS | CERT, "EXTERNAL PLAIN", "", "", "EXTERNAL", NULL, false, true),
	ROW(TLS | CERT | PASS, "EXTERNAL PLAIN", "", "", SHOWS("PLAIN")),
	ROW(TLS | CERT | PASS, "EXTERNAL PLAIN", "external", "", "EXTERNAL", NULL, false,
		true),
	ROW(TLS, "EXTERNAL", "", "",
		NONE("a client certificate: set certificate and key")),
	ROW(CERT, "EXTERNAL", "external", "", NONE("EXTERNAL needs TLS")),
	/* APOP only where the account says so, and then alone. */
	ROW(PASS | STAMP | USER, "PLAIN", "", "", NONE("has no TLS")),
	ROW(PASS | STAMP | USER | APOP, ALL, "", "", "APOP", NULL, false, true),
	ROW(PASS | USER | APOP, ALL, "", "", NONE("no stamp for APOP")),
	ROW(PASS | STAMP | NOCAPA | APOP, NULL, "", "", "APOP", NULL, false, true),
	ROW(PASS | STAMP | USER | APOP, ALL, "", "APOP", NONE("has refused: APOP")),
	ROW(PASS | STAMP | USER, ALL, "apop", "", "APOP", NULL, false, true),
	ROW(TLS | PASS | USER | APOP, "PLAIN", "plain", "", SHOWS("PLAIN")),
	/* auth restricts and orders. */
	ROW(TLS | BIND | PASS | USER, ALL, "plain", "", SHOWS("PLAIN")),
	ROW(TLS | PASS | USER, ALL, "cram-md5, Scram-Sha-256", "", HIDES("CRAM-MD5")),
	ROW(TLS | PASS | USER, ALL, "CRAM-MD5 SCRAM-SHA-256", "CRAM-MD5",
		HIDES("SCRAM-SHA-256")),
	ROW(TLS | PASS | USER, "PLAIN", "scram-sha-256", "",
		NONE("offers USER PLAIN, nothing of what auth allows")),
	ROW(TLS | PASS | USER, "PLAIN", "plain", "PLAIN", NONE("allow more in auth")),
	ROW(TLS | PASS | USER, "PLAIN", "foo plain", "", SHOWS("PLAIN")),
	ROW(TLS | PASS | USER, "PLAIN", "foo", "",
		NONE("auth names foo, which is unknown; ")),
	ROW(TLS | PASS | USER, "PLAIN", "  , ", "", SHOWS("PLAIN")),
	/* What a server may think of. */
	ROW(TLS | PASS, "DIGEST-MD5 NTLM", "", "",
		NONE("offers DIGEST-MD5 NTLM, nothing that")),
	ROW(TLS | PASS, "\033[2J \001", "", "", NONE("offers no way to log in,")),
	ROW(TLS | PASS, "PLAINER XPLAIN", "", "", NONE("PLAINER XPLAIN")),
	ROW(TLS | PASS, "A1 A2 A3 A4 A5 A6 A7 A8 A9 B1 B2 B3 B4 B5 B6 B7 B8 B9 C1 C2 C3",
		"", "", NONE(" ..., nothing")),
};

static void
check_row(const struct row *r)
{
	struct pop3_capabilities caps = {.has = POP3_CAPA_TOP | POP3_CAPA_UIDL};
	struct fetch_account a = {.name = "a", .user = "anna", .auth = r->auth};
	struct login_facts f = {.tried = r->tried};
	struct login_choice c;

	memset(&c, 0xAA, sizeof(c));
	if (r->sasl) {
		caps.has |= POP3_CAPA_SASL;
		caps.mechanisms_n = (uint16_t)strlen(r->sasl);
		memcpy(caps.mechanisms, r->sasl, caps.mechanisms_n);
	}
	caps.has |= r->flags & USER ? POP3_CAPA_USER : 0;
	caps.has |= r->flags & STLS ? POP3_CAPA_STLS : 0;
	f.capabilities = r->flags & NOCAPA ? NULL : &caps;
	f.tls = r->flags & TLS;
	f.has_binding = r->flags & BIND;
	f.has_stamp = r->flags & STAMP;
	f.has_password = r->flags & PASS;
	f.has_token = r->flags & TOKEN;
	a.apop = r->flags & APOP;
	a.plaintext = r->flags & PLAINTEXT;
	a.tls_options.certificate = r->flags & CERT ? "/cert.pem" : NULL;
	login_choose(&a, &f, &c);

	if (!r->mechanism != !c.mechanism ||
		(c.mechanism && strcmp(r->mechanism, c.mechanism) != 0) ||
		(r->why && !strstr(c.why, r->why)) || c.plain != r->plain ||
		c.one_flight != r->one_flight)
		fail_msg("line %d: %s, plain %d, one flight %d, \"%s\"", r->line,
			c.mechanism ? c.mechanism : "none", c.plain, c.one_flight, c.why);
	if (c.mechanism)
		assert_string_equal(c.why, "");
	for (const char *p = c.why; *p; p++)
		assert_true(ascii_is_graph((uint8_t)*p) || *p == ' ');
}

static void
every_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

/* `tried` and `auth` as long as they get: why is cut whole, and ended. */
static void
why_is_bounded(void **state)
{
	char many[2048];
	struct fetch_account a = {.auth = many};
	struct login_facts f = {.tls = true, .has_password = true, .tried = many};
	struct login_choice c;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(many); i++)
		many[i] = "USER "[i % 5];
	many[sizeof(many) - 1] = '\0';
	login_choose(&a, &f, &c);
	assert_null(c.mechanism);
	assert_non_null(memchr(c.why, '\0', sizeof(c.why)));
	assert_non_null(strstr(c.why, "has refused: USER"));
}

/* What worked where better ones were refused, as far as it is allowed; the others after a
 * refusal; and never what shows the password to a server that may be false. */
static void
after_a_refusal(void **state)
{
	static const struct {
		const char *worked, *auth, *tried, *mechanism;
		bool only_shown, never_shown, apop;
	} cases[] = {
		{"PLAIN", "", "", "PLAIN", false, false, false},
		{"PLAIN", "", "PLAIN", "SCRAM-SHA-256", false, false, false},
		{"PLAIN", "CRAM-MD5 PLAIN", "", "PLAIN", false, false, false},
		{"PLAIN", "CRAM-MD5", "", "CRAM-MD5", false, false, false},
		{"PLAIN", "", "", "SCRAM-SHA-256", false, true, false},
		{"PLAIN", "", "", NULL, false, false, true},
		{"NTLM", "", "", "SCRAM-SHA-256", false, false, false},
		{NULL, "", "SCRAM-SHA-256", "PLAIN", true, false, false},
		{NULL, "", "PLAIN", "USER", true, false, false},
		{NULL, "CRAM-MD5", "", NULL, true, false, false},
		{NULL, "", "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5", NULL, false, true,
			false},
	};
	struct pop3_capabilities caps = {
		.has = POP3_CAPA_SASL | POP3_CAPA_USER, .mechanisms_n = sizeof(ALL) - 1};

	(void)state;
	memcpy(caps.mechanisms, ALL, sizeof(ALL) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fetch_account a = {.auth = cases[i].auth, .apop = cases[i].apop};
		struct login_facts f = {.capabilities = &caps,
			.tls = true,
			.has_password = true,
			.tried = cases[i].tried,
			.worked = cases[i].worked,
			.only_shown = cases[i].only_shown,
			.never_shown = cases[i].never_shown};
		struct login_choice c;

		login_choose(&a, &f, &c);
		if (!c.mechanism != !cases[i].mechanism ||
			(c.mechanism && strcmp(c.mechanism, cases[i].mechanism) != 0))
			fail_msg("case %zu: %s", i, c.mechanism ? c.mechanism : c.why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),
		cmocka_unit_test(why_is_bounded),
		cmocka_unit_test(after_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
