#include "fetch/configure_tell.h"

#include "base/buf.h"
#include "fetch/fetch_json.h"

#include <stdio.h>
#include <string.h>

#define LINE_MAX_OCTETS 8192

static const char *const tls_names[] = {
	[FETCH_TLS_TLS] = "tls",
	[FETCH_TLS_STLS] = "stls",
	[FETCH_TLS_NONE] = "none",
};

static void
begin(struct buf *b, const char *event)
{
	buf_put_str(b, "{");
	json_field_text(b, "event", text_view(event), 32);
}

static void
end(struct buf *b)
{
	buf_put_str(b, "}\n");
	if (!b->full)
		(void)fwrite(b->p, 1, b->n, stdout);
	(void)fflush(stdout);
}

/* "NAME  text", for people. */
static void
row(const char *name, const char *text)
{
	uint8_t storage[1200];
	struct buf b = buf_over(storage, sizeof(storage) - 1);

	text_printable(&b, text_view(text), 1000, false);
	storage[b.n] = '\0';
	(void)printf("  %-12s %s\n", name, (const char *)storage);
}

void
configure_tell_dns(
	const struct fetch_command *c, const char *domain, const struct places *p)
{
	uint8_t storage[LINE_MAX_OCTETS];
	struct buf b = buf_over(storage, sizeof(storage));
	uint64_t named = 0;

	for (size_t i = 0; i < p->n; i++)
		named += p->at[i].source[0] == '_';
	if (c->settings.json) {
		begin(&b, "dns");
		json_field_text(&b, "domain", text_view(domain), 300);
		json_field_number(&b, "servers", named);
		json_field_bool(&b, "none_offered", p->none_offered);
		if (p->why[0])
			json_field_text(&b, "why", text_view(p->why), 300);
		end(&b);
		return;
	}
	if (c->settings.quiet)
		return;
	if (p->why[0])
		(void)printf("The DNS of %s could not be asked (%s).\n", domain, p->why);
	else if (named > 0)
		(void)printf("The DNS of %s names %llu server%s.\n", domain,
			(unsigned long long)named, named == 1 ? "" : "s");
	else if (!p->none_offered)
		(void)printf(
			"The DNS of %s names no POP3 server; trying the usual names.\n",
			domain);
}

static void
json_try(const struct place *p, const struct pop_found *f, bool good)
{
	uint8_t storage[LINE_MAX_OCTETS];
	struct buf b = buf_over(storage, sizeof(storage));

	begin(&b, good ? "found" : "tried");
	json_field_text(&b, "server", text_view(p->host), 300);
	json_field_number(&b, "port", p->port);
	json_field_text(&b, "tls", text_view(tls_names[p->tls]), 8);
	json_field_text(&b, "source", text_view(p->source), 32);
	json_field_bool(&b, "foreign", p->foreign);
	if (f->tls)
		json_field_text(&b, "tls_version", text_view(f->tls), 32);
	if (f->certificate[0])
		json_field_text(&b, "certificate", text_view(f->certificate), 300);
	if (f->pin[0])
		json_field_text(&b, "pin", text_view(f->pin), 80);
	if (good)
		json_field_text(&b, "mechanisms",
			(struct view){(const uint8_t *)f->capabilities.mechanisms,
				f->capabilities.mechanisms_n},
			600);
	else
		json_field_text(&b, "why", text_view(f->why), POP_WHY_MAX);
	end(&b);
}

static void
tell_mechanisms(const struct pop_found *f)
{
	char text[700];

	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)f->capabilities.mechanisms_n,
		f->capabilities.mechanisms, f->capabilities.mechanisms_n > 0 ? " " : "",
		!f->has_capabilities || (f->capabilities.has & POP3_CAPA_USER) ? "USER"
									       : "");
	row("Logins", text);
}

void
configure_tell_try(const struct fetch_command *c, const struct place *p,
	const struct pop_found *f, bool good)
{
	char text[1000];

	if (c->settings.json) {
		json_try(p, f, good);
		return;
	}
	if (c->settings.quiet && good)
		return;
	if (!good) {
		(void)snprintf(text, sizeof(text), "%s:%u (%s): %s", p->host, p->port,
			tls_names[p->tls], f->why);
		row("No", text);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s:%u (%s, %s)", p->host, p->port,
		f->tls ? f->tls : "no TLS", p->source);
	row("Server", text);
	if (f->certificate[0])
		row("Certificate", f->certificate);
	if (f->pin[0])
		row("Key", f->pin);
	tell_mechanisms(f);
	(void)fflush(stdout);
}

void
configure_tell_login(const struct fetch_command *c, const struct configure_login *l)
{
	uint8_t storage[LINE_MAX_OCTETS];
	struct buf b = buf_over(storage, sizeof(storage));
	char text[800];

	if (c->settings.json) {
		begin(&b, "login");
		json_field_bool(&b, "tried", l != NULL);
		if (l) {
			json_field_text(&b, "user", text_view(l->user), 600);
			json_field_bool(&b, "ok", !l->why);
		}
		if (l && l->why)
			json_field_text(&b, "why", text_view(l->why), POP_WHY_MAX);
		if (l && l->mechanism)
			json_field_text(&b, "mechanism", text_view(l->mechanism), 32);
		if (l && l->messages != UINT32_MAX)
			json_field_number(&b, "messages", l->messages);
		end(&b);
		return;
	}
	if (c->settings.quiet && !(l && l->why))
		return;
	if (!l)
		(void)snprintf(text, sizeof(text), "not tried, there is no password");
	else if (l->why)
		(void)snprintf(
			text, sizeof(text), "refused for %.250s: %s", l->user, l->why);
	else if (l->messages == UINT32_MAX)
		(void)snprintf(
			text, sizeof(text), "%.250s, by %s", l->user, l->mechanism);
	else
		(void)snprintf(text, sizeof(text), "%.250s, by %s; %u messages are there",
			l->user, l->mechanism, l->messages);
	row("Login", text);
	(void)fflush(stdout);
}

void
configure_tell_written(const struct fetch_command *c, const char *name,
	const struct fetch_account *a, bool knows_login)
{
	const struct fetch_secret_source *s = &a->password;
	uint8_t storage[LINE_MAX_OCTETS];
	struct buf b = buf_over(storage, sizeof(storage));

	if (c->settings.json) {
		begin(&b, "written");
		json_field_text(&b, "account", text_view(name), 100);
		json_field_text(&b, "file", text_view(c->config), 4096);
		json_field_text(&b, "user", text_view(a->user), 600);
		json_field_bool(&b, "logged_in", knows_login);
		end(&b);
		return;
	}
	if (c->settings.quiet)
		return;
	(void)printf("Written: [account %s] in %s\n", name, c->config);
	if (!s->file && !s->command && !s->credential && !a->token_command)
		(void)printf(
			"Say there where the password comes from, or it is asked each "
			"time.\n");
	(void)printf("Look what is there:  restante fetch --list %s\n"
		     "Collect it:          restante fetch %s\n",
		name, name);
}
