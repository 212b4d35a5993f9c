#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "conf/conf_table.h"
#include "ctl/sandbox_office.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* What differs from the defaults of options.def, each still open to --set. */
struct setting {
	const char *name, *value;
};

struct sink {
	struct conf_sink sink;
	bool silent;
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
tell(struct conf_sink *sink, const char *line)
{
	const struct sink *s = (const struct sink *)sink;

	if (!s->silent)
		(void)office_say(0, "%s", line);
}

/* "NAME:OPTION=VALUE" is of a section; without a colon before the `=` it is global. */
struct set {
	struct view section, option;
	const char *value;
	enum conf_section kind;
};

static bool
is_listener(struct view name)
{
	static const char *const names[] = {"pop3", "pop3s", "kpop", "lmtp"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (view_equal(name, view_of(names[i])))
			return true;
	return false;
}

static struct set
split_set(const char *text)
{
	const char *equal = strchr(text, '=');
	struct set s = {.option = {(const uint8_t *)text, (size_t)(equal - text)},
		.value = equal + 1};
	const uint8_t *colon = memchr(s.option.p, ':', s.option.n);

	if (!colon)
		return s;
	s.section = (struct view){s.option.p, (size_t)(colon - s.option.p)};
	s.option = (struct view){colon + 1, s.option.n - s.section.n - 1};
	s.kind =
		is_listener(s.section) ? CONF_SECTION_LISTENER : CONF_SECTION_CERTIFICATE;
	return s;
}

static int
unknown_option(const char *set, const struct set *s)
{
	struct view name = s->option;
	const char *near = conf_suggest(s->kind, name);

	if (s->kind == CONF_SECTION_GLOBAL && conf_row_find(CONF_SECTION_LISTENER, name))
		return office_say(EX_USAGE,
			"--set %.200s: belongs to a listener; say it as pop3:%.200s, or "
			"pop3s: and so on",
			set, set);
	return office_say(EX_USAGE, "--set %.200s: there is no such option%s%s%s", set,
		near ? "; did you mean " : " (see restante.conf(5))", near ? near : "",
		near ? "?" : "");
}

/* mail_uid and mail_gid decide how the users file is filled in, so they are read early.
 */
static int
note_owner(struct office *f, const char *set, struct view name, const char *value)
{
	bool uid = name.n == 8 && memcmp(name.p, "mail_uid", 8) == 0;
	bool gid = name.n == 8 && memcmp(name.p, "mail_gid", 8) == 0;
	uint64_t n = 0;

	if (!uid && !gid)
		return 0;
	if (value[0] != '\0' &&
		(!num_decimal(view_of(value), UINT32_MAX - 2, &n) || n == 0))
		return office_say(EX_USAGE,
			"--set %.200s: must be a number from 1 to 4294967293", set);
	*(uid ? &f->mail_uid : &f->mail_gid) = (uint32_t)n;
	return 0;
}

/* What the sandbox itself says of a listener. */
static bool
is_fixed(const struct set *s)
{
	return s->kind == CONF_SECTION_LISTENER &&
		(view_equal(s->option, VIEW("address")) ||
			view_equal(s->option, VIEW("protocol")) ||
			view_equal(s->option, VIEW("tls")));
}

int
office_sets_check(struct office *f)
{
	for (size_t i = 0; i < f->o.sets_n; i++) {
		const char *set = f->o.sets[i], *equal = strchr(set, '=');
		if (!equal || equal == set)
			return office_say(
				EX_USAGE, "--set %.200s: give OPTION=VALUE", set);
		if (strpbrk(set, "\n\r"))
			return office_say(
				EX_USAGE, "--set %.80s: a line break in it", set);
		struct set s = split_set(set);
		if (!conf_row_find(s.kind, s.option))
			return unknown_option(set, &s);
		if (is_fixed(&s))
			return office_say(EX_USAGE,
				"--set %.200s: use --pop3, --pop3s, --kpop and --lmtp",
				set);
		int rc = s.section.n > 0 ? 0 : note_owner(f, set, s.option, s.value);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* The last --set of that name, or NULL. */
static const char *
set_of(const struct office *f, const char *name, size_t n)
{
	for (size_t i = f->o.sets_n; i > 0; i--) {
		const char *set = f->o.sets[i - 1];
		if (strncmp(set, name, n) == 0 && set[n] == '=')
			return set + n + 1;
	}
	return NULL;
}

/* Those of one section. An option stands there once: the last one wins, as usual for
 * arguments. */
static void
put_sets(const struct office *f, FILE *out, struct view section)
{
	for (size_t i = 0; i < f->o.sets_n; i++) {
		const char *set = f->o.sets[i];
		size_t name = strcspn(set, "=");
		struct set s = split_set(set);
		if (view_equal(s.section, section) && set_of(f, set, name) == s.value)
			fprintf(out, "%.*s = %s\n", (int)s.option.n,
				(const char *)s.option.p, s.value);
	}
}

static void
put_settings(const struct office *f, FILE *out, const struct setting *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!set_of(f, s[i].name, strlen(s[i].name)))
			fprintf(out, "%s = %s\n", s[i].name, s[i].value);
	put_sets(f, out, (struct view){NULL, 0});
}

/* A section for each certificate that --set names. */
static void
put_certificates(const struct office *f, FILE *out)
{
	for (size_t i = 0; i < f->o.sets_n; i++) {
		struct set s = split_set(f->o.sets[i]);
		bool first = s.kind == CONF_SECTION_CERTIFICATE;
		for (size_t j = 0; j < i && first; j++)
			first = !view_equal(split_set(f->o.sets[j]).section, s.section);
		if (!first)
			continue;
		fprintf(out, "\n[certificate %.*s]\n", (int)s.section.n,
			(const char *)s.section.p);
		put_sets(f, out, s.section);
	}
}

static void
put_listener(const struct office *f, const struct office_listener *l, FILE *out)
{
	fprintf(out, "\n[listener %s]\naddress = %s\n", l->name, l->text);
	if (strcmp(l->name, "lmtp") == 0)
		fputs("protocol = lmtp\n", out);
	if (strcmp(l->name, "kpop") == 0)
		fputs("protocol = kpop\n", out);
	if (l->tls)
		fputs("tls = implicit\n", out);
	/* As open as a port of loopback is. */
	if (l->fd < 0 && !set_of(f, "lmtp:socket_mode", 16))
		fputs("socket_mode = 0666\n", out);
	put_sets(f, out, view_of(l->name));
}

static void
put_conf(struct office *f, FILE *out, const char *roots)
{
	char users[1024], cert[1024], key[1024], spool[1024], low[16];
	struct setting settings[] = {
		{"users_file", users},
		{"tls_certificate", cert},
		{"tls_key", key},
		{"run_dir", f->run_dir},
		{"spool_dir", spool},
		{"hostname", "localhost"},
		{"mail_roots", roots},
		{"mail_uid_min", low},
		{"plaintext", "loopback"},
		{"growing_penalty", "no"},
		{"login_failure_delay", "500ms"},
		{"connections_per_address", "500"},
		{"drain_timeout", "2s"},
	};

	snprintf(users, sizeof(users), "%s/users", f->dir);
	snprintf(cert, sizeof(cert), "%s/cert.pem", f->dir);
	snprintf(key, sizeof(key), "%s/key.pem", f->dir);
	snprintf(spool, sizeof(spool), "%s/spool", f->dir);
	snprintf(low, sizeof(low), "%u", f->id_min < 500 ? f->id_min : 500);
	fputs(OFFICE_MARK " at each start; changes here are lost.\n", out);
	put_settings(f, out, settings, ARRAY_SIZE(settings));
	for (size_t i = 0; i < f->listeners_n; i++)
		put_listener(f, &f->listeners[i], out);
	put_certificates(f, out);
}

static int
check_conf(struct office *f)
{
	struct sink s = {.sink.error = tell};
	struct conf *conf = conf_new();
	char path[1024];
	int rc = 0;

	if (!conf)
		return office_say(EX_OSERR, "out of memory");
	snprintf(path, sizeof(path), "%s/restante.conf", f->dir);
	if (conf_load_file(path, &s.sink, conf) != 0)
		rc = office_say(EX_USAGE, "see the values of --set");
	f->drain_ms = conf->drain_timeout_ms;
	conf_free(&conf);
	return rc;
}

int
office_conf(struct office *f)
{
	char *roots = NULL, *text = NULL;
	size_t n = 0;
	FILE *out = NULL;
	int rc = set_of(f, "mail_roots", 10) ? 0 : office_roots(f, &roots);

	if (rc == 0) {
		out = open_memstream(&text, &n);
		if (!out)
			rc = office_say(EX_OSERR, "out of memory");
	}
	if (out) {
		put_conf(f, out, roots ? roots : "");
		if (fclose(out) != 0)
			rc = office_say(EX_OSERR, "out of memory");
	}
	if (rc == 0)
		rc = office_write(f, "restante.conf", 0644,
			(struct view){(const uint8_t *)text, n});
	if (rc == 0)
		rc = check_conf(f);
	free(roots);
	free(text);
	return rc;
}

/* Which of them a listener of that file is. */
static char *
before_of(struct office_before *b, const struct conf_listener *l)
{
	if (l->protocol == CONF_PROTOCOL_LMTP)
		return b->lmtp;
	if (l->protocol == CONF_PROTOCOL_KPOP)
		return b->kpop;
	return l->tls == CONF_TLS_IMPLICIT ? b->pop3s : b->pop3;
}

void
office_listeners_before(struct office *f, struct office_before *ret)
{
	struct sink s = {.sink.error = tell, .silent = true};
	struct conf *conf = conf_new();
	char path[1024];

	*ret = (struct office_before){0};
	snprintf(path, sizeof(path), "%s/restante.conf", f->dir);
	/* A file that somebody spoilt is no obstacle: free ports, and it is written anew.
	 */
	if (conf && conf_load_file(path, &s.sink, conf) == 0)
		for (size_t i = 0; i < conf->listeners_n; i++)
			snprintf(before_of(ret, &conf->listeners[i]), sizeof(ret->pop3),
				"%s", conf->listeners[i].address);
	conf_free(&conf);
}
