#include "base/ascii.h"
#include "base/buf.h"
#include "fetch/settings_reader.h"
#include "os/dial.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the server's words are for it (RFC 5034; the registry of SASL mechanisms). */
static const char *const mechanisms[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS",
	"SCRAM-SHA-256", "SCRAM-SHA-1", "GSSAPI", "CRAM-MD5", "OAUTHBEARER", "XOAUTH2",
	"EXTERNAL", "PLAIN", "USER", "LOGIN", "APOP"};

const char *
settings_printf(struct ini *ini, const char *fmt, ...)
{
	char text[CONF_PATH_OCTETS_MAX + 16];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return ini_keep(ini, settings_view(text));
}

/* Empty texts are what is not there. */
static const char *
or_null(const char *text)
{
	return text[0] ? text : NULL;
}

/* The name in the state has a host in it, and case tells no two hosts apart. It does tell
 * two zones apart (RFC 4007 s.11), which are names of interfaces. */
static void
lower_host(char *host)
{
	for (; *host && *host != '%'; host++)
		*host = (char)ascii_lower((uint8_t)*host);
}

static void
set_server(
	struct settings_reader *r, const struct fetch_values *v, struct fetch_account *a)
{
	char host[256], called[CONF_NAME_OCTETS_MAX + 3];
	uint16_t port = v->tls == FETCH_TLS_TLS ? 995 : 110;

	a->host = "";
	a->port = port;
	if (v->server[0] == '\0')
		return;
	if (!dial_split(v->server, port, host, sizeof(host), &a->port) || a->port == 0) {
		settings_complain(r, v, FETCH_OPTION_server,
			"%s %.80s: must be HOST, HOST:PORT or [IPV6]:PORT",
			settings_called(v, FETCH_OPTION_server, called), v->server);
		return;
	}
	lower_host(host);
	a->host = ini_keep(&r->ini, settings_view(host));
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)ascii_lower((uint8_t)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 64 hex digits, with colons or without. */
static bool
read_pin(const char *text, uint8_t ret[TLS_PIN_OCTETS])
{
	size_t n = 0;

	if (strncmp(text, "sha256:", 7) == 0)
		text += 7;
	while (text[0] && text[1] && n < TLS_PIN_OCTETS) {
		int high = hex(text[0]), low = hex(text[1]);
		if (high < 0 || low < 0)
			return false;
		ret[n++] = (uint8_t)(16 * high + low);
		text += 2;
		text += text[0] == ':' && text[1];
	}
	return n == TLS_PIN_OCTETS && text[0] == '\0';
}

static void
set_tls(struct settings_reader *r, const struct fetch_values *v, struct fetch_account *a)
{
	char called[CONF_NAME_OCTETS_MAX + 3];

	a->tls = v->tls;
	a->tls_options.ca_file = or_null(v->ca);
	a->tls_options.certificate = or_null(v->certificate);
	a->tls_options.key = or_null(v->key);
	for (size_t i = 0; i < v->pin.n && i < TLS_PINS_MAX; i++)
		if (!read_pin(v->pin.at[i], a->tls_options.pins[a->tls_options.pins_n++]))
			settings_complain(r, v, FETCH_OPTION_pin,
				"%s %.80s: must be a SHA-256 as 64 hex digits",
				settings_called(v, FETCH_OPTION_pin, called),
				v->pin.at[i]);
	/* Who types it knows it; in a file it could have been there for years. */
	a->plaintext = v->plaintext ||
		(v->levels[FETCH_OPTION_tls] == FETCH_FROM_LINE &&
			v->tls == FETCH_TLS_NONE);
	a->forget_tls = v->forget_tls;
}

/*
 * Of several sources of one secret the one of the nearest level counts: an account's own
 * before [defaults]. Two of one level contradict each other.
 */
static bool
pick(struct settings_reader *r, const struct fetch_values *v,
	const enum fetch_option *sources, size_t n, enum fetch_option *ret)
{
	char first[CONF_NAME_OCTETS_MAX + 3], second[CONF_NAME_OCTETS_MAX + 3];
	int best = FETCH_FROM_ROW;
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		int level = v->levels[sources[i]];
		if (level == FETCH_FROM_ROW || level < best)
			continue;
		if (found && level == best)
			settings_complain(r, v, sources[i],
				"%s and %s exclude each other, remove one of them",
				settings_called(v, *ret, first),
				settings_called(v, sources[i], second));
		*ret = sources[i];
		best = level;
		found = true;
	}
	return found;
}

static void
set_passwords(
	struct settings_reader *r, const struct fetch_values *v, struct fetch_account *a)
{
	static const enum fetch_option own[] = {FETCH_OPTION_password_file,
		FETCH_OPTION_password_fd, FETCH_OPTION_password_command,
		FETCH_OPTION_password_credential, FETCH_OPTION_password};
	static const enum fetch_option smtp[] = {FETCH_OPTION_smtp_password_file,
		FETCH_OPTION_smtp_password_command, FETCH_OPTION_smtp_password_credential,
		FETCH_OPTION_smtp_password};
	enum fetch_option i = FETCH_OPTIONS;

	a->password.fd = a->smtp_password.fd = -1;
	(void)pick(r, v, own, sizeof(own) / sizeof(own[0]), &i); /* none: i stays */
	if (i == FETCH_OPTION_password_file)
		a->password.file = or_null(v->password_file);
	else if (i == FETCH_OPTION_password_fd && v->password_fd != CONF_NEVER)
		a->password.fd = (int)v->password_fd;
	else if (i == FETCH_OPTION_password_command)
		a->password.command = or_null(v->password_command);
	else if (i == FETCH_OPTION_password_credential)
		a->password.credential = or_null(v->password_credential);
	else if (i == FETCH_OPTION_password)
		a->password.text = or_null(v->password);
	a->token_command = or_null(v->token_command);
	i = FETCH_OPTIONS;
	(void)pick(r, v, smtp, sizeof(smtp) / sizeof(smtp[0]), &i);
	if (i == FETCH_OPTION_smtp_password_file)
		a->smtp_password.file = or_null(v->smtp_password_file);
	else if (i == FETCH_OPTION_smtp_password_command)
		a->smtp_password.command = or_null(v->smtp_password_command);
	else if (i == FETCH_OPTION_smtp_password_credential)
		a->smtp_password.credential = or_null(v->smtp_password_credential);
	else if (i == FETCH_OPTION_smtp_password)
		a->smtp_password.text = or_null(v->smtp_password);
}

static const char *
mechanism(const char *word)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
		if (ascii_equal_nocase(settings_view(word), settings_view(mechanisms[i])))
			return mechanisms[i];
	return NULL;
}

static const char *
near_mechanism(const char *word)
{
	const char *best = "PLAIN";
	size_t best_d = SIZE_MAX, d;

	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		if (!conf_name_is_near(
			    settings_view(word), settings_view(mechanisms[i]), &d) ||
			d >= best_d)
			continue;
		best_d = d;
		best = mechanisms[i];
	}
	return best;
}

static void
set_auth(struct settings_reader *r, const struct fetch_values *v, struct fetch_account *a)
{
	char words[512], called[CONF_NAME_OCTETS_MAX + 3];
	struct buf b = buf_over(words, sizeof(words) - 1);

	a->apop = v->apop;
	for (size_t i = 0; i < v->auth.n; i++) {
		const char *name = mechanism(v->auth.at[i]);
		if (!name) {
			settings_complain(r, v, FETCH_OPTION_auth,
				"%s: %.40s: no mechanism of that name, for instance %s",
				settings_called(v, FETCH_OPTION_auth, called),
				v->auth.at[i], near_mechanism(v->auth.at[i]));
			continue;
		}
		a->apop |= strcmp(name, "APOP") == 0;
		if (b.n > 0)
			buf_put_str(&b, " ");
		buf_put_str(&b, name);
	}
	words[b.n] = '\0';
	a->auth = ini_keep(&r->ini, settings_view(words));
}

static void
set_policies(const struct fetch_values *v, struct fetch_account *a)
{
	a->keep = v->keep;
	a->adopt = v->adopt;
	a->dry_run = v->dry_run;
	a->retry_aside = v->retry_aside;
	a->recent = v->recent;
	a->delete_after_ms = v->delete_after_ms;
	a->delete_larger = v->delete_larger;
	a->skip_larger = v->skip_larger;
	a->keep_newest = v->keep_newest;
	a->order = v->order;
	a->commit_messages = v->commit_messages;
	a->commit_after_ms = v->commit_after_ms;
	a->window = (uint32_t)v->window;
	a->messages_max = v->messages_max;
	a->tries = (uint32_t)v->tries;
	a->tombstones_ms = v->tombstones_ms;
	a->line_ends = v->line_ends;
	a->trace = v->trace;
	a->drop_from_line = v->drop_from_line;
	a->timeout_ms = v->timeout_ms;
	a->program_timeout_ms = v->program_timeout_ms;
	a->poll_ms = v->poll_ms;
	a->poll_min_ms = v->poll_min_ms;
	a->poll_max_ms = v->poll_max_ms;
}

bool
settings_account(struct settings_reader *r, struct fetch_values *v, const char *name,
	struct fetch_account *ret)
{
	static_assert(FETCH_NEVER == CONF_NEVER, "never is never");
	struct fetch_account a = {.name = name, .user = v->user};
	size_t errors = r->ini.errors + r->line.errors;

	set_server(r, v, &a);
	if (!a.name)
		a.name = settings_printf(&r->ini, "%s@%s", v->user, a.host);
	set_tls(r, v, &a);
	set_passwords(r, v, &a);
	set_auth(r, v, &a);
	a.socks5 = or_null(v->socks5);
	settings_targets(r, v, &a);
	a.recipient = v->recipient;
	a.sender = v->sender;
	a.smtp_user = v->smtp_user;
	a.smtp_tls = v->smtp_tls;
	a.filter = or_null(v->filter);
	set_policies(v, &a);
	settings_check(r, v, &a);
	*ret = a;
	return r->ini.errors + r->line.errors == errors;
}
