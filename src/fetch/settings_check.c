#include "fetch/settings_reader.h"
#include "os/dial.h"

#include <string.h>

static bool
is_set(const struct fetch_values *v, enum fetch_option i)
{
	return v->levels[i] != FETCH_FROM_ROW;
}

/* Two options that cannot both be; the error is told at the nearer one. */
static void
exclude(struct settings_reader *r, const struct fetch_values *v, enum fetch_option one,
	enum fetch_option other, const char *why)
{
	char first[CONF_NAME_OCTETS_MAX + 3], second[CONF_NAME_OCTETS_MAX + 3];
	enum fetch_option at = v->levels[one] >= v->levels[other] ? one : other;

	settings_complain(r, v, at, "%s and %s contradict each other: %s",
		settings_called(v, one, first), settings_called(v, other, second), why);
}

static void
check_needed(struct settings_reader *r, const struct fetch_values *v,
	const struct fetch_account *a)
{
	enum fetch_task task = r->command->task;
	bool nameless = strstr(a->auth, "EXTERNAL") || strstr(a->auth, "GSSAPI");
	const char *how = r->one_account ? "--" : "";

	if (task == FETCH_CONFIGURE || task == FETCH_STATUS)
		return;
	if (v->server[0] == '\0')
		settings_complain(r, v, FETCH_OPTION_server,
			"%sserver is missing: HOST or HOST:PORT", how);
	if (v->user[0] == '\0' && !nameless)
		settings_complain(r, v, FETCH_OPTION_user,
			"%suser is missing: the name to log in with", how);
	if (task == FETCH_COLLECT && !v->adopt && !v->dry_run && a->targets_n == 0 &&
		v->deliver.n == 0)
		settings_complain(r, v, FETCH_OPTION_deliver,
			r->one_account
				? "no target: say --maildir DIR or --deliver "
				  "KIND:WHERE"
				: "no target: say deliver = maildir:DIR or the like");
}

static void
check_login(struct settings_reader *r, const struct fetch_values *v,
	const struct fetch_account *a)
{
	bool has_password = a->password.file || a->password.command ||
		a->password.credential || a->password.text || a->password.fd >= 0;
	bool same_level = false;

	if (v->apop && v->auth.n > 0 && !strstr(a->auth, "APOP"))
		exclude(r, v, FETCH_OPTION_apop, FETCH_OPTION_auth,
			"name APOP among the mechanisms, or leave one of them out");
	for (enum fetch_option i = FETCH_OPTION_password_file; i <= FETCH_OPTION_password;
		i++)
		same_level |= is_set(v, i) &&
			v->levels[i] == v->levels[FETCH_OPTION_token_command];
	if (a->token_command && has_password && same_level)
		settings_complain(r, v, FETCH_OPTION_token_command,
			"a token and a password: remove one of them");
	if (a->token_command && a->apop)
		exclude(r, v, FETCH_OPTION_token_command, FETCH_OPTION_apop,
			"APOP needs a password");
	if (v->recent && strncmp(v->user, "recent:", 7) == 0)
		exclude(r, v, FETCH_OPTION_recent, FETCH_OPTION_user,
			"the name begins with recent: already, remove one of them");
	if ((a->tls_options.certificate == NULL) != (a->tls_options.key == NULL))
		settings_complain(r, v,
			a->tls_options.key ? FETCH_OPTION_key : FETCH_OPTION_certificate,
			"certificate and key belong together, give the other one too");
	/* A ca may be there for targets, or for all accounts; a pin is this server's. */
	if (v->tls == FETCH_TLS_NONE && v->pin.n > 0)
		exclude(r, v, FETCH_OPTION_tls, FETCH_OPTION_pin,
			"without TLS there is no certificate to check");
}

/* A token or password for the POP3 server is never shown to another one. */
static void
check_smtp_login(struct settings_reader *r, const struct fetch_values *v,
	const struct fetch_account *a)
{
	bool has_password = a->smtp_password.file || a->smtp_password.command ||
		a->smtp_password.credential || a->smtp_password.text;

	if (v->smtp_user[0] == '\0' && has_password)
		settings_complain(r, v, FETCH_OPTION_smtp_user,
			"smtp_password needs smtp_user, say it too");
	if (v->smtp_user[0] && !has_password && !strstr(a->auth, "GSSAPI"))
		settings_complain(r, v, FETCH_OPTION_smtp_user,
			"smtp_user needs a password of its own: say "
			"smtp_password_file, smtp_password_command, "
			"smtp_password_credential or smtp_password");
}

static void
check_policies(struct settings_reader *r, const struct fetch_values *v)
{
	static const struct {
		enum fetch_option i;
	} with_keep[] = {{FETCH_OPTION_delete_after}, {FETCH_OPTION_delete_larger},
		{FETCH_OPTION_keep_newest}};
	const uint64_t values[] = {v->delete_after_ms, v->delete_larger, v->keep_newest};
	char called[CONF_NAME_OCTETS_MAX + 3];

	for (size_t k = 0; k < sizeof(values) / sizeof(values[0]) && !v->keep; k++)
		if (values[k] != CONF_NEVER)
			settings_complain(r, v, with_keep[k].i,
				"%s needs keep: without it all that was collected is "
				"deleted at once",
				settings_called(v, with_keep[k].i, called));
	if (v->keep && v->delete_after_ms == 0)
		exclude(r, v, FETCH_OPTION_keep, FETCH_OPTION_delete_after,
			"0 deletes at once; remove keep, or say after how long");
	if (v->skip_larger != CONF_NEVER && v->delete_larger != CONF_NEVER &&
		v->delete_larger >= v->skip_larger)
		exclude(r, v, FETCH_OPTION_delete_larger, FETCH_OPTION_skip_larger,
			"what is that large is never fetched, so never deleted");
	if (v->adopt && v->dry_run)
		exclude(r, v, FETCH_OPTION_adopt, FETCH_OPTION_dry_run,
			"one changes what is remembered, the other nothing");
	if (v->adopt && v->retry_aside)
		exclude(r, v, FETCH_OPTION_adopt, FETCH_OPTION_retry_aside,
			"one fetches nothing, the other what was put aside");
	if (v->poll_min_ms > v->poll_max_ms)
		exclude(r, v, FETCH_OPTION_poll_min, FETCH_OPTION_poll_max,
			"the shortest time is above the longest, exchange them");
}

/* USER:PASSWORD@ is a secret like any other. */
static void
check_proxy(struct settings_reader *r, const struct fetch_values *v)
{
	const char *at = strrchr(v->socks5, '@');
	char host[256];
	uint16_t port = 0;

	if (v->socks5[0] == '\0')
		return;
	if (at && v->levels[FETCH_OPTION_socks5] == FETCH_FROM_LINE)
		settings_complain(r, v, FETCH_OPTION_socks5,
			"--socks5: everybody on this machine can read a command line "
			"(ps), "
			"so put a proxy with a password into the file");
	else if (at && !r->is_private)
		settings_complain(r, v, FETCH_OPTION_socks5,
			"socks5: the file can be read by others or is not yours, so it "
			"must hold no password: chmod 600 it");
	if (!dial_split(at ? at + 1 : v->socks5, 1080, host, sizeof(host), &port) ||
		port == 0)
		settings_complain(r, v, FETCH_OPTION_socks5,
			"socks5: must be HOST:PORT or USER:PASSWORD@HOST:PORT");
}

void
settings_check(struct settings_reader *r, const struct fetch_values *v,
	const struct fetch_account *a)
{
	check_needed(r, v, a);
	check_login(r, v, a);
	check_smtp_login(r, v, a);
	check_policies(r, v);
	check_proxy(r, v);
}
