/*
 * task_configure.c: --configure USER@DOMAIN: finds the server, tries it, logs in where
 * that can be done, and writes the account.
 */
#include "base/buf.h"
#include "base/check.h"
#include "fetch/configure_file.h"
#include "fetch/configure_find.h"
#include "fetch/configure_tell.h"
#include "fetch/pop_try.h"
#include "fetch/tasks.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define TRY_MS_MAX 15000 /* for each step with each server */
#define TEXT_MAX   32768

struct configuring {
	const struct fetch_command *command;
	struct fetch_account account; /* as it will be */
	const char *address, *domain;
	char local[256];  /* the address without its domain */
	bool user_given;  /* by --user */
	bool knows_login; /* it was tried and went well */
	struct places places;
	const struct place *place; /* the one that answers */
	struct pop_found found;
	struct pop_try *open;
	struct secret password, token;
	uint64_t timeout_ms;
};

static void
complain(const char *what, const char *why)
{
	(void)fprintf(stderr, "restante fetch: %s: %s\n", what, why);
}

/* ---- the server ---- */

static int
find(struct configuring *c)
{
	const struct fetch_account *a = &c->account;
	struct dns_servers dns;

	if (a->host[0]) {
		places_add(&c->places, a->host, a->port, a->tls, "--server", false);
		return 0;
	}
	if (!dns_is_name(c->domain)) {
		complain(c->domain,
			"is no domain name: write it in its ASCII form (xn--...), or "
			"give "
			"--server HOST");
		return EX_USAGE;
	}
	if (!dns_servers_find(c->command->dns, &dns)) {
		complain("--dns", "must be ADDRESS or ADDRESS:PORT");
		return EX_USAGE;
	}
	places_find(&c->places, c->domain, &dns);
	configure_tell_dns(c->command, c->domain, &c->places);
	if (c->places.none_offered) {
		complain(c->domain,
			"its DNS says that there is no POP3 server; --server HOST tries "
			"one "
			"all the same");
		return EX_UNAVAILABLE;
	}
	return 0;
}

static int
open_place(struct configuring *c, const struct place *p)
{
	c->account.host = p->host;
	c->account.port = p->port;
	c->account.tls = p->tls;
	return pop_try_open(&c->account, c->timeout_ms, &c->open, &c->found);
}

static int
try_all(struct configuring *c)
{
	bool bad_certificate = false, later = false;

	for (size_t i = 0; i < c->places.n; i++) {
		const struct place *p = &c->places.at[i];
		int r = open_place(c, p);

		configure_tell_try(c->command, p, &c->found, r == 0);
		if (r == 0) {
			c->place = p;
			return 0;
		}
		bad_certificate |= c->found.bad_certificate;
		later |= r == -EAGAIN;
	}
	complain(c->domain,
		bad_certificate
			? "no server could be used; of one the certificate is not "
			  "good: see above"
			: "no POP3 server was found; give --server HOST");
	if (bad_certificate)
		return EX_PROTOCOL;
	return later ? EX_TEMPFAIL : EX_UNAVAILABLE;
}

/* RFC 6186 s.4: what DNS alone says is not enough to send a password elsewhere. */
static int
agree(const struct configuring *c)
{
	char answer[16] = "";
	AUTO_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (!c->place->foreign)
		return 0;
	if (tty >= 0) {
		(void)dprintf(tty,
			"DNS says that %s serves %s, which is another domain.\n"
			"Shall mail be collected there? [y/N] ",
			c->place->host, c->domain);
		ssize_t n = read(tty, answer, sizeof(answer) - 1);
		if (n > 0 && (answer[0] == 'y' || answer[0] == 'Y'))
			return 0;
	}
	(void)fprintf(stderr,
		"restante fetch: %s lies outside %s, and only DNS names it. If it is "
		"right: "
		"--server %s:%u%s\n",
		c->place->host, c->domain, c->place->host, c->place->port,
		c->place->tls == FETCH_TLS_STLS ? " --tls stls" : "");
	return EX_USAGE;
}

/* ---- the login ---- */

static bool
has_source(const struct fetch_secret_source *s)
{
	return s->file || s->command || s->credential || s->text || s->fd >= 0;
}

/* 0; also where there is none and nobody to ask. */
static int
get_secret(struct configuring *c)
{
	const struct fetch_account *a = &c->account;
	char why[POP_WHY_MAX], prompt[600];
	int r;

	if (a->token_command) {
		r = secret_token(a->token_command, &c->token, why, sizeof(why));
	} else {
		(void)snprintf(prompt, sizeof(prompt),
			"Password of %.250s at %.250s: ", c->address, a->host);
		r = secret_read(&a->password, has_source(&a->password) ? NULL : prompt,
			&c->password, why, sizeof(why));
		if (r == -ENOENT && !has_source(&a->password))
			return 0;
	}
	if (r == 0)
		return 0;
	complain("the login", why);
	return EX_NOINPUT;
}

/* One name: 0, or what pop_try_login says. */
static int
log_in_as(struct configuring *c, const char *user)
{
	struct configure_login l = {.user = user, .messages = UINT32_MAX};
	int r = 0;

	c->account.user = user;
	if (!c->open)
		r = open_place(c, c->place);
	if (r == 0)
		r = pop_try_login(c->open, &c->account,
			c->password.octets ? &c->password : NULL,
			c->token.octets ? &c->token : NULL, &l.mechanism, &l.messages);
	l.why = r == 0 ? NULL : c->found.why;
	configure_tell_login(c->command, &l);
	pop_try_close(&c->open);
	return r;
}

/* RFC 6186 s.4: the whole address first, then what stands before the @. */
static int
log_in(struct configuring *c)
{
	bool ours = c->account.tls_options.certificate != NULL;

	if (!c->password.octets && !c->token.octets && !ours) {
		pop_try_close(&c->open);
		configure_tell_login(c->command, NULL);
		return 0;
	}
	int r = log_in_as(c, c->user_given ? c->account.user : c->address);
	if (r == -EACCES && !c->user_given)
		r = log_in_as(c, c->local);
	if (r == 0) {
		c->knows_login = true;
		return 0;
	}
	complain("the login", "nothing was written");
	if (r == -EACCES)
		return EX_NOPERM;
	return r == -ENOTSUP ? EX_PROTOCOL : EX_TEMPFAIL;
}

/* ---- the account ---- */

static bool
put_secret(struct buf *b, const struct configuring *c)
{
	const struct fetch_account *a = &c->account;
	const struct fetch_secret_source *s = &a->password;

	if (a->token_command)
		return configure_put(b, "token_command", a->token_command);
	if (s->file)
		return configure_put(b, "password_file", s->file);
	if (s->command)
		return configure_put(b, "password_command", s->command);
	if (s->credential)
		return configure_put(b, "password_credential", s->credential);
	buf_put_str(b, "# Without one of these the password is asked on the terminal.\n");
	(void)configure_put(b, "# password_file", "~/.config/restante/password");
	buf_put_str(b, "# password_command = secret-tool lookup mail ");
	buf_put_str(b, c->address);
	buf_put_str(b, "\n");
	return true;
}

static const char *const tls_names[] = {
	[FETCH_TLS_TLS] = "tls",
	[FETCH_TLS_STLS] = "stls",
	[FETCH_TLS_NONE] = "none",
};

static bool
put_server(struct buf *b, const struct configuring *c)
{
	const struct fetch_account *a = &c->account;
	bool usual = a->port == (a->tls == FETCH_TLS_TLS ? 995 : 110);
	char server[DNS_NAME_MAX + 16], pin[2 * TLS_PIN_OCTETS + 1];
	bool v6 = strchr(a->host, ':') != NULL, good;

	if (usual)
		(void)snprintf(server, sizeof(server), "%s", a->host);
	else
		(void)snprintf(server, sizeof(server), v6 ? "[%s]:%u" : "%s:%u", a->host,
			a->port);
	good = configure_put(b, "server", server);
	/* Always: [defaults] may say otherwise. */
	good &= configure_put(b, "tls", tls_names[a->tls]);
	if (a->tls_options.ca_file)
		good &= configure_put(b, "ca", a->tls_options.ca_file);
	for (size_t i = 0; i < a->tls_options.pins_n; i++) {
		for (size_t k = 0; k < TLS_PIN_OCTETS; k++)
			(void)snprintf(pin + 2 * k, 3, "%02x", a->tls_options.pins[i][k]);
		buf_put_str(b, i == 0 ? "pin = " : ", ");
		buf_put_str(b, pin);
	}
	if (a->tls_options.pins_n > 0)
		buf_put_str(b, "\n");
	if (a->tls_options.certificate)
		good &= configure_put(b, "certificate", a->tls_options.certificate) &&
			configure_put(b, "key", a->tls_options.key);
	if (a->plaintext && a->tls == FETCH_TLS_NONE)
		buf_put_str(b, "plaintext = yes\n");
	if (a->socks5)
		good &= configure_put(b, "socks5", a->socks5);
	return good;
}

static bool
put_account(struct buf *b, const struct configuring *c, const char *name)
{
	const struct fetch_account *a = &c->account;
	bool good;

	buf_put_str(b, "[account ");
	buf_put_str(b, name);
	buf_put_str(b, "]\n");
	good = put_server(b, c);
	good &= configure_put(b, "user", a->user);
	good &= put_secret(b, c);
	if (a->apop)
		buf_put_str(b, "apop = yes\n");
	if (a->recent)
		buf_put_str(b, "recent = yes\n");
	if (a->keep)
		buf_put_str(b, "keep = yes\n");
	else
		buf_put_str(b,
			"# keep = yes leaves mail on the server; without it what was "
			"collected is deleted there.\n");
	for (size_t i = 0; i < a->targets_n; i++)
		good &= configure_put(b, "deliver", a->targets[i].text);
	if (a->targets_n == 0)
		good &= configure_put(b, "deliver", "maildir:~/Maildir");
	return good && !b->full;
}

static int
write_account(struct configuring *c)
{
	char name[CONFIGURE_NAME_MAX], why[PATH_MAX + 256];
	AUTO_FREE uint8_t *text = malloc(TEXT_MAX);
	struct buf b = buf_over(text, text ? TEXT_MAX : 0);

	if (!text) {
		complain("the account", "out of memory");
		return EX_OSERR;
	}
	if (!c->command->config) {
		complain("the account", "there is no home directory: give --config FILE");
		return EX_USAGE;
	}
	configure_name(c->address, name);
	if (!put_account(&b, c, name)) {
		complain("the account",
			"a value holds a control character or quotes, which the file "
			"cannot "
			"hold");
		return EX_USAGE;
	}
	int r = configure_append(
		c->command->config, name, buf_view(&b), why, sizeof(why));
	if (r < 0) {
		(void)fprintf(stderr, "restante fetch: %s\n", why);
		return r == -EEXIST ? EX_CONFIG : EX_CANTCREAT;
	}
	configure_tell_written(c->command, name, &c->account, c->knows_login);
	return 0;
}

static int
run(struct configuring *c)
{
	int r = find(c);

	if (r == 0)
		r = try_all(c);
	if (r == 0)
		r = agree(c);
	if (r == 0)
		r = get_secret(c);
	if (r == 0)
		r = log_in(c);
	if (r == 0)
		r = write_account(c);
	return r;
}

int
task_configure(const struct fetch_command *command)
{
	const struct fetch_account *a = &command->settings.accounts[0];
	const char *address = command->argument, *at = strrchr(address, '@');
	struct configuring c = {.command = command, .account = *a, .address = address};

	CHECK(command->settings.accounts_n == 1);
	CHECK(at);
	c.domain = at + 1;
	(void)snprintf(c.local, sizeof(c.local), "%.*s", (int)(at - address), address);
	c.user_given = strcmp(a->user, address) != 0;
	c.timeout_ms = a->timeout_ms < TRY_MS_MAX ? a->timeout_ms : TRY_MS_MAX;
	int r = run(&c);
	pop_try_close(&c.open);
	secret_wipe(&c.password);
	secret_wipe(&c.token);
	return r;
}
