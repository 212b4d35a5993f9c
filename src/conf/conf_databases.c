/* conf_databases.c: what each database, and who knows tokens and tickets, cannot do
 * without: said before anything is started. The files are looked at by the monitor. */
#include "base/ascii.h"
#include "base/check.h"
#include "conf/conf_checks.h"

#include <string.h>

const char *const conf_backend_names[CONF_BACKENDS] = {
	NULL, "file", "system", "sql", "ldap", "command"};
const char *const conf_store_names[CONF_STORES] = {
	NULL, "hash", "scram-sha-256", "scram-sha-1", "plain"};

enum { SYSTEM = 2, SQL = 3, LDAP = 4, COMMAND = 5 };

static bool
is_alnum(uint8_t c)
{
	uint8_t l = ascii_lower(c);

	return ascii_is_digit(c) || (l >= 'a' && l <= 'z');
}

static bool
is_set(const struct conf *c, enum conf_option option)
{
	return c->texts[option].n > 0;
}

/* The first of these that stands in the file, to point at. */
static uint32_t
line_of(const struct conf *c, enum conf_option a, enum conf_option b)
{
	return c->lines[a] > 0 ? c->lines[a] : c->lines[b];
}

static void
fill_backends(struct conf_reader *r)
{
	struct conf *c = r->conf;
	const struct conf_list *l = &c->databases;
	uint32_t line = c->lines[CONF_GLOBAL_databases];

	for (size_t i = 0; i < l->n; i++) {
		size_t at = conf_find_word(r, "databases", line, l->at[i],
			conf_backend_names, CONF_BACKENDS);
		if (at == 0)
			continue;
		if (memchr(c->backends, (int)at, c->backends_n))
			ini_report(&r->ini, line,
				"databases: %s is there twice, remove one",
				conf_backend_names[at]);
		else
			c->backends[c->backends_n++] = (uint8_t)at;
		/* It cannot say that it does not know a name. */
		if (at == COMMAND && i + 1 < l->n)
			ini_report(&r->ini, line,
				"databases: command answers for every name, put it last");
	}
}

/* ---- what a database needs ---- */

static const struct need {
	uint8_t backend;
	enum conf_option option;
	const char *for_what;
} needs[] = {
	{SQL, CONF_GLOBAL_sql_database, "sqlite:PATH, or where PostgreSQL is"},
	{LDAP, CONF_GLOBAL_ldap_uri, "where the directory is"},
	{LDAP, CONF_GLOBAL_ldap_base, "the entry below which users are"},
	{COMMAND, CONF_GLOBAL_command_path, "the program that checks passwords"},
};

static void
check_needs(struct conf_reader *r)
{
	const struct conf *c = r->conf;

	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		const struct need *n = &needs[i];
		if (memchr(c->backends, n->backend, c->backends_n) &&
			!is_set(c, n->option))
			ini_report(&r->ini, c->lines[CONF_GLOBAL_databases],
				"databases: %s needs %s (%s), set it",
				conf_backend_names[n->backend], conf_rows[n->option].name,
				n->for_what);
	}
}

/* A name of a file in /etc/pam.d, and no way to another directory. */
static void
check_pam(struct conf_reader *r)
{
	const struct conf *c = r->conf;
	const char *s = c->pam_service;
	bool good = *s != '.';

	for (; *s; s++)
		good &= is_alnum((uint8_t)*s) || strchr("._-", *s) != NULL;
	if (!good)
		ini_report(&r->ini, c->lines[CONF_GLOBAL_pam_service],
			"pam_service = %.64s: must be the name of a file of /etc/pam.d: "
			"letters, digits, . _ and -, with no . in front",
			c->pam_service);
}

/* The bits of sql_stores and ldap_stores. */
static uint8_t
stored_forms(
	struct conf_reader *r, enum conf_option option, const struct conf_list *words)
{
	uint32_t line = r->conf->lines[option];
	const char *name = conf_rows[option].name;
	uint8_t forms = 0;

	for (size_t i = 0; i < words->n; i++) {
		size_t at = conf_find_word(
			r, name, line, words->at[i], conf_store_names, CONF_STORES);
		if (at > 0 && (forms & 1u << (at - 1)) != 0)
			ini_report(&r->ini, line, "%s: %s is there twice, remove one",
				name, conf_store_names[at]);
		forms |= (uint8_t)(at > 0 ? 1u << (at - 1) : 0);
	}
	return forms;
}

static void
fill_stores(struct conf_reader *r)
{
	struct conf *c = r->conf;
	uint8_t sql = stored_forms(r, CONF_GLOBAL_sql_stores, &c->sql_stores);
	uint8_t ldap = stored_forms(r, CONF_GLOBAL_ldap_stores, &c->ldap_stores);

	/* A bind brings the password to the directory: what it stores is never seen. */
	if (ldap != 0 && c->ldap_auth_bind)
		ini_report(&r->ini, c->lines[CONF_GLOBAL_ldap_stores],
			"ldap_stores counts only where passwords are checked here: set "
			"ldap_auth_bind = no, or remove it");
	for (size_t i = 0; i < c->backends_n; i++) {
		if (c->backends[i] == SQL)
			c->stores[i] = sql;
		if (c->backends[i] == LDAP)
			c->stores[i] = ldap;
	}
}

/* ---- tokens and tickets ---- */

static void
check_oauth(struct conf_reader *r)
{
	const struct conf *c = r->conf;
	bool jwks = is_set(c, CONF_GLOBAL_oauth_jwks);
	bool asks = is_set(c, CONF_GLOBAL_oauth_introspection);
	bool audience = c->oauth_audience.n > 0;

	if (jwks && asks)
		ini_report(&r->ini, c->lines[CONF_GLOBAL_oauth_introspection],
			"oauth_jwks and oauth_introspection are two ways to one answer, "
			"remove one");
	if (jwks && (!is_set(c, CONF_GLOBAL_oauth_issuer) || !audience))
		ini_report(&r->ini, c->lines[CONF_GLOBAL_oauth_jwks],
			"oauth_jwks needs oauth_issuer and oauth_audience: without them "
			"tokens for other programs would do");
	if (asks && !audience && c->oauth_scope.n == 0)
		ini_report(&r->ini, c->lines[CONF_GLOBAL_oauth_introspection],
			"oauth_introspection needs oauth_audience or oauth_scope: "
			"without "
			"them tokens for other programs would do");
	if (is_set(c, CONF_GLOBAL_oauth_client_id) !=
		is_set(c, CONF_GLOBAL_oauth_secret_file))
		ini_report(&r->ini,
			line_of(c, CONF_GLOBAL_oauth_client_id,
				CONF_GLOBAL_oauth_secret_file),
			"oauth_client_id and oauth_secret_file belong together, set the "
			"other one too");
	if (!jwks && !asks && c->lines[CONF_GLOBAL_oauth_issuer] > 0)
		ini_report(&r->ini, c->lines[CONF_GLOBAL_oauth_issuer],
			"oauth_issuer is of tokens: set oauth_jwks or "
			"oauth_introspection too");
}

static void
check_krb5(struct conf_reader *r)
{
	const struct conf *c = r->conf;
	bool keytab = is_set(c, CONF_GLOBAL_krb5_keytab);

	if (keytab != is_set(c, CONF_GLOBAL_krb5_realm))
		ini_report(&r->ini,
			line_of(c, CONF_GLOBAL_krb5_keytab, CONF_GLOBAL_krb5_realm),
			"krb5_keytab and krb5_realm belong together, set the other one "
			"too");
}

static void
check_ldap_bind(struct conf_reader *r)
{
	const struct conf *c = r->conf;

	if (is_set(c, CONF_GLOBAL_ldap_bind_dn) !=
		is_set(c, CONF_GLOBAL_ldap_bind_password_file))
		ini_report(&r->ini,
			line_of(c, CONF_GLOBAL_ldap_bind_dn,
				CONF_GLOBAL_ldap_bind_password_file),
			"ldap_bind_dn and ldap_bind_password_file belong together, set "
			"the other one too");
}

void
conf_check_databases(struct conf_reader *r)
{
	fill_backends(r);
	fill_stores(r);
	check_needs(r);
	check_pam(r);
	check_ldap_bind(r);
	check_oauth(r);
	check_krb5(r);
}
