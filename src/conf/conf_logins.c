/* conf_logins.c: what must fit together before anybody can log in. */
#include "base/check.h"
#include "conf/conf_checks.h"

#include <string.h>

const char *const conf_mechanism_names[CONF_MECHANISMS] = {NULL, "USER", "PLAIN", "LOGIN",
	"CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256",
	"SCRAM-SHA-256-PLUS", "EXTERNAL", "GSSAPI", "OAUTHBEARER", "XOAUTH2", "APOP",
	NULL};

/* The place of a mechanism in the table. */
enum { EXTERNAL = 9, GSSAPI = 10, OAUTHBEARER = 11, XOAUTH2 = 12, APOP = 13, KPOP = 14 };

static bool
is_set(const struct conf *c, const char *name)
{
	return conf_get(c, name).n > 0;
}

static uint32_t
mechanism_bits(struct conf_reader *r, uint32_t line, const struct conf_list *l)
{
	uint32_t bits = 0;

	if (l->n == 0)
		return UINT32_MAX;
	for (size_t i = 0; i < l->n; i++) {
		size_t at = conf_find_word(r, "mechanisms", line, l->at[i],
			conf_mechanism_names, CONF_MECHANISMS);
		if (at > 0 && (bits & 1u << at) != 0)
			ini_report(&r->ini, line,
				"mechanisms: %s is there twice, remove one",
				conf_mechanism_names[at]);
		bits |= at > 0 ? 1u << at : 0;
	}
	return bits;
}

/* ---- global options ---- */

static bool
anybody_asks_for_certificates(const struct conf *c)
{
	for (size_t i = 0; i < c->listeners_n; i++)
		if (c->listeners[i].client_certificates != CONF_CERTIFICATES_NO)
			return true;
	return false;
}

/* A mechanism that was named, and that nothing could serve. */
static void
check_named(struct conf_reader *r, uint32_t line, uint32_t bits)
{
	const struct conf *c = r->conf;

	if (bits == UINT32_MAX)
		return;
	if (bits & 1u << GSSAPI && !is_set(c, "krb5_keytab"))
		ini_report(&r->ini, line, "mechanisms: GSSAPI needs krb5_keytab, set it");
	if (bits & (1u << OAUTHBEARER | 1u << XOAUTH2) && !is_set(c, "oauth_jwks") &&
		!is_set(c, "oauth_introspection"))
		ini_report(&r->ini, line,
			"mechanisms: OAUTHBEARER and XOAUTH2 need oauth_jwks or "
			"oauth_introspection, set one");
	if (bits & 1u << EXTERNAL && !anybody_asks_for_certificates(c))
		ini_report(&r->ini, line,
			"mechanisms: EXTERNAL needs a listener with `client_certificates "
			"= ask` or `require`");
}

static void
check_pair(struct conf_reader *r, const char *first, uint32_t first_line,
	const char *second, uint32_t second_line, bool has_first, bool has_second)
{
	if (has_first != has_second)
		ini_report(&r->ini, first_line ? first_line : second_line,
			"%s and %s belong together, set the other one too", first,
			second);
}

static void
check_certificates(struct conf_reader *r)
{
	struct conf *c = r->conf;

	check_pair(r, "tls_certificate", c->lines[CONF_GLOBAL_tls_certificate], "tls_key",
		c->lines[CONF_GLOBAL_tls_key], c->tls_certificate[0] != '\0',
		c->tls_key[0] != '\0');
	c->has_tls = c->tls_certificate[0] != '\0' && c->tls_key[0] != '\0';
	if (c->tls_ocsp[0] != '\0' && c->tls_certificate[0] == '\0')
		ini_report(&r->ini, c->lines[CONF_GLOBAL_tls_ocsp],
			"tls_ocsp is of tls_certificate: set that too");
	for (size_t i = 0; i < c->certificates_n; i++) {
		const struct conf_certificate *one = &c->certificates[i];
		if (one->certificate[0] == '\0' || one->key[0] == '\0')
			ini_report(&r->ini, one->line,
				"certificate %s needs `certificate = FILE` and `key = "
				"FILE`",
				one->name);
		else
			c->has_tls = true;
	}
}

void
conf_check_logins(struct conf_reader *r)
{
	struct conf *c = r->conf;

	check_certificates(r);
	conf_check_databases(r);
	conf_check_networks(r, "trusted_networks", c->lines[CONF_GLOBAL_trusted_networks],
		&c->trusted_networks, &c->trusted);
	conf_check_networks(r, "old_tls_networks", c->lines[CONF_GLOBAL_old_tls_networks],
		&c->old_tls_networks, &c->old_tls);
	c->mechanism_bits =
		mechanism_bits(r, c->lines[CONF_GLOBAL_mechanisms], &c->mechanisms);
	check_named(r, c->lines[CONF_GLOBAL_mechanisms], c->mechanism_bits);
	if (strcmp(c->language, "en") != 0 && strcmp(c->language, "de") != 0)
		ini_report(&r->ini, c->lines[CONF_GLOBAL_language],
			"language = %.15s: must be en or de", c->language);
}

/* ---- listeners ---- */

static void
check_kpop(struct conf_reader *r, struct conf_listener *l)
{
	/* What its protocol decides already. */
	static const enum conf_option useless[] = {CONF_LISTENER_tls,
		CONF_LISTENER_plaintext, CONF_LISTENER_apop, CONF_LISTENER_mechanisms,
		CONF_LISTENER_client_certificates};

	for (size_t i = 0; i < ARRAY_SIZE(useless); i++)
		if (l->lines[useless[i]] > 0)
			ini_report(&r->ini, l->lines[useless[i]],
				"%s is for `protocol = pop3`: over kpop only tickets "
				"count, remove it",
				conf_rows[useless[i]].name);
	if (!is_set(r->conf, "krb5_keytab"))
		ini_report(&r->ini, l->line, "listener %s speaks kpop: set krb5_keytab",
			l->name);
	l->mechanism_bits = 1u << KPOP;
}

static void
check_mechanisms(struct conf_reader *r, struct conf_listener *l)
{
	uint32_t line = l->lines[CONF_LISTENER_mechanisms];

	if (line == 0 || l->mechanisms.n == 0) {
		l->mechanism_bits = r->conf->mechanism_bits;
		return;
	}
	l->mechanism_bits = mechanism_bits(r, line, &l->mechanisms);
	check_named(r, line, l->mechanism_bits);
	if (l->mechanism_bits == UINT32_MAX)
		return;
	if (l->mechanism_bits & 1u << APOP && !l->apop)
		ini_report(&r->ini, line,
			"mechanisms: APOP on listener %s needs `apop = yes`", l->name);
	if (l->mechanism_bits & 1u << EXTERNAL &&
		l->client_certificates == CONF_CERTIFICATES_NO)
		ini_report(&r->ini, line,
			"mechanisms: EXTERNAL on listener %s needs `client_certificates "
			"= ask` or `require`",
			l->name);
}

void
conf_check_login(struct conf_reader *r, struct conf_listener *l)
{
	conf_check_networks(r, "proxy_networks", l->lines[CONF_LISTENER_proxy_networks],
		&l->proxy_networks, &l->proxies);
	conf_check_networks(r, "xclient_networks",
		l->lines[CONF_LISTENER_xclient_networks], &l->xclient_networks,
		&l->xclients);
	if (l->client_certificates != CONF_CERTIFICATES_NO && !r->conf->has_tls)
		ini_report(&r->ini, l->lines[CONF_LISTENER_client_certificates],
			"client_certificates come with TLS: set tls_certificate and "
			"tls_key");
	if (l->protocol == CONF_PROTOCOL_KPOP)
		check_kpop(r, l);
	else
		check_mechanisms(r, l);
}
