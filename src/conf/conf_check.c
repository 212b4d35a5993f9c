#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "conf/conf_checks.h"
#include "conf/conf_reader.h"

#include <stdio.h>
#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
set_default(
	struct conf_reader *r, enum conf_option i, const char *text, struct conf_place at)
{
	/* A default that its own row refuses would be a mistake of ours. */
	bool fine = conf_value_set(r, &conf_rows[i], view_of(text), at);

	CHECK(fine || r->ini.errors > 0);
}

static void
default_listener(
	struct conf_reader *r, const char *name, const char *address, const char *tls)
{
	struct conf_listener *l = &r->conf->listeners[r->conf->listeners_n++];

	l->name = name;
	set_default(r, CONF_LISTENER_address, address, conf_of_listener(l));
	set_default(r, CONF_LISTENER_tls, tls, conf_of_listener(l));
}

static void
section_defaults(struct conf_reader *r, enum conf_section section, struct conf_place at)
{
	for (enum conf_option i = 0; i < CONF_OPTIONS; i++)
		if (conf_rows[i].section == section && !at.texts[i].p)
			set_default(r, i, conf_rows[i].def, at);
}

/* Empty: as the global option of the same name. */
static bool
inherits(struct conf_reader *r, struct conf_listener *l, enum conf_option own,
	enum conf_option global)
{
	if (l->texts[own].n > 0)
		return false;
	l->texts[own] = r->conf->texts[global];
	return true;
}

static void
listener_defaults(struct conf_reader *r, struct conf_listener *l)
{
	const struct conf *c = r->conf;

	section_defaults(r, CONF_SECTION_LISTENER, conf_of_listener(l));
	if (inherits(r, l, CONF_LISTENER_plaintext, CONF_GLOBAL_plaintext))
		l->plaintext = c->plaintext;
	if (inherits(r, l, CONF_LISTENER_tls_profile, CONF_GLOBAL_tls_profile))
		l->tls_profile = c->tls_profile;
	if (inherits(r, l, CONF_LISTENER_mechanisms, CONF_GLOBAL_mechanisms))
		l->mechanisms = c->mechanisms;
}

/* Empty, whether by default or by the file: what is made of the facts. */
static void
fill_empty(struct conf_reader *r, enum conf_option i, const char *text)
{
	if (r->conf->texts[i].n == 0)
		set_default(r, i, text, conf_of_global(r->conf));
}

void
conf_defaults(struct conf_reader *r, const struct conf_facts *facts)
{
	struct conf *c = r->conf;
	char text[128];
	uint32_t fronts = facts->processors < 2 ? 2 : facts->processors;

	section_defaults(r, CONF_SECTION_GLOBAL, conf_of_global(c));
	for (size_t i = 0; i < c->certificates_n; i++)
		section_defaults(r, CONF_SECTION_CERTIFICATE,
			conf_of_certificate(&c->certificates[i]));
	snprintf(text, sizeof(text), "%u", fronts > 32 ? 32 : fronts);
	fill_empty(r, CONF_GLOBAL_fronts, text);
	snprintf(text, sizeof(text), "%s/control", c->run_dir);
	fill_empty(r, CONF_GLOBAL_control_socket, text);
	fill_empty(r, CONF_GLOBAL_hostname,
		facts->hostname[0] ? facts->hostname : "localhost");
	if (c->listeners_n == 0) {
		default_listener(r, "pop3", "*:110", "no");
		default_listener(r, "pop3s", "*:995", "implicit");
	}
	for (size_t i = 0; i < c->listeners_n; i++)
		listener_defaults(r, &c->listeners[i]);
}

static void
check_maildrop(struct conf_reader *r)
{
	const char *m = r->conf->maildrop;
	uint32_t line = r->conf->lines[CONF_GLOBAL_maildrop];
	bool maildir = strncmp(m, "maildir:", 8) == 0;

	if (!maildir && strncmp(m, "mbox:", 5) != 0) {
		ini_report(&r->ini, line,
			"maildrop = %.80s: must begin with maildir: or mbox:", m);
		return;
	}
	const char *path = m + (maildir ? 8 : 5);
	const char *inbox = strstr(path, ":INBOX=");
	if (!maildir && inbox)
		path = inbox + 7;
	if (strchr(path, ':'))
		ini_report(&r->ini, line,
			"maildrop = %.80s: a path without a colon and further options, "
			"only mbox:DIR:INBOX=PATH may have one",
			m);
	if (path[0] != '/' && !(path[0] == '~' && (path[1] == '/' || path[1] == '\0')))
		ini_report(&r->ini, line,
			"maildrop = %.80s: the path must begin with / or ~/", m);
	for (const char *p = path; (p = strchr(p, '%')) != NULL; p += 2) {
		if (p[1] && strchr("und%", p[1]))
			continue;
		ini_report(&r->ini, line,
			"maildrop = %.80s: only %%u, %%n, %%d and %%%% may stand there",
			m);
		return;
	}
}

static void
check_owners(struct conf_reader *r)
{
	struct conf *c = r->conf;
	const struct conf_list *groups = &c->mail_groups;
	uint64_t gid;

	if (c->mail_uid_min > c->mail_uid_max)
		ini_report(&r->ini,
			c->lines[CONF_GLOBAL_mail_uid_min]
				? c->lines[CONF_GLOBAL_mail_uid_min]
				: c->lines[CONF_GLOBAL_mail_uid_max],
			"mail_uid_min is above mail_uid_max, exchange them");
	if (c->mail_uid > 0 &&
		(c->mail_uid < c->mail_uid_min || c->mail_uid > c->mail_uid_max))
		ini_report(&r->ini, c->lines[CONF_GLOBAL_mail_uid],
			"mail_uid is not within mail_uid_min and mail_uid_max, change "
			"one of them");
	if (c->mail_gid > 0 &&
		(c->mail_gid < c->mail_uid_min || c->mail_gid > c->mail_uid_max))
		ini_report(&r->ini, c->lines[CONF_GLOBAL_mail_gid],
			"mail_gid is not within mail_uid_min and mail_uid_max, change "
			"one of them");
	for (size_t i = 0; i < groups->n; i++) {
		/* Group 0 owns much of a system; a process that parses mail is never in
		 * it. */
		if (!num_decimal(view_of(groups->at[i]), 4294967293, &gid) || gid == 0)
			ini_report(&r->ini, c->lines[CONF_GLOBAL_mail_groups],
				"mail_groups: %.40s: must be a number from 1 to "
				"4294967293",
				groups->at[i]);
		else
			c->mail_group_ids[c->mail_groups_n++] = (uint32_t)gid;
	}
}

static void
check_roots(struct conf_reader *r)
{
	const struct conf_list *roots = &r->conf->mail_roots;
	uint32_t line = r->conf->lines[CONF_GLOBAL_mail_roots];

	for (size_t i = 0; i < roots->n; i++) {
		if (!conf_path_is_normal(view_of(roots->at[i])))
			ini_report(&r->ini, line,
				"mail_roots: %.80s: must be an absolute path below / "
				"without "
				"`.`, `..`, `//` or a slash at its end",
				roots->at[i]);
		for (size_t j = 0; j < i; j++)
			if (strcmp(roots->at[i], roots->at[j]) == 0)
				ini_report(&r->ini, line,
					"mail_roots: %.80s is there twice, remove one",
					roots->at[i]);
	}
}

static void
check_service_id(struct conf_reader *r, const char *name, uint64_t id, uint32_t line)
{
	uint64_t first = r->conf->service_uids;

	if (first == 0 || first > 4294967200 || id < first || id > first + 63)
		return;
	ini_report(&r->ini, line,
		"%s lies among the 64 numbers from service_uids on, change one of them",
		name);
}

/* Each process has a uid and a gid of its own, which nobody else may share. */
static void
check_service_uids(struct conf_reader *r)
{
	const struct conf *c = r->conf;
	const struct {
		enum conf_option option;
		uint64_t id;
	} ids[] = {
		{CONF_GLOBAL_mail_uid, c->mail_uid},
		{CONF_GLOBAL_mail_gid, c->mail_gid},
		{CONF_GLOBAL_sql_uid, c->sql_uid},
		{CONF_GLOBAL_ldap_uid, c->ldap_uid},
		{CONF_GLOBAL_command_uid, c->command_uid},
		{CONF_GLOBAL_command_gid, c->command_gid},
	};

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		check_service_id(r, conf_rows[ids[i].option].name, ids[i].id,
			c->lines[ids[i].option]);
	for (size_t i = 0; i < c->listeners_n; i++)
		check_service_id(r, "socket_group", c->listeners[i].socket_group,
			c->listeners[i].lines[CONF_LISTENER_socket_group]);
	for (size_t i = 0; i < c->mail_groups_n; i++)
		check_service_id(r, "one of mail_groups", c->mail_group_ids[i],
			c->lines[CONF_GLOBAL_mail_groups]);
}

static void
check_listener(struct conf_reader *r, struct conf_listener *l)
{
	struct conf *c = r->conf;

	if (l->protocol == CONF_PROTOCOL_LMTP) {
		conf_check_lmtp(r, l);
		return;
	}
	if (l->texts[CONF_LISTENER_address].n == 0) {
		if (l->lines[CONF_LISTENER_address] == 0)
			ini_report(&r->ini, l->line,
				"listener %s needs `address = ADDRESS:PORT`", l->name);
		return;
	}
	conf_check_socket_options(r, l);
	if (strncmp(l->address, "unix:", 5) == 0) {
		ini_report(&r->ini, l->lines[CONF_LISTENER_address],
			"address = %.112s: a unix socket is for `protocol = lmtp`",
			l->address);
		return;
	}
	if (!conf_address_read(l->texts[CONF_LISTENER_address], &l->at)) {
		ini_report(&r->ini, l->lines[CONF_LISTENER_address],
			"address = %.64s: must be 192.0.2.1:110, [2001:db8::1]:110 or "
			"*:110",
			l->address);
		return;
	}
	conf_check_address_once(r, l);
	conf_check_login(r, l);
	if (c->has_tls)
		return;
	if (l->tls == CONF_TLS_IMPLICIT)
		ini_report(&r->ini, l->line,
			"listener %s speaks TLS: set tls_certificate and tls_key",
			l->name);
	else if (l->plaintext == CONF_PLAINTEXT_NEVER &&
		l->protocol != CONF_PROTOCOL_KPOP)
		ini_report(&r->ini, l->line,
			"nobody could log in on listener %s: set tls_certificate and "
			"tls_key, or "
			"allow plaintext",
			l->name);
}

void
conf_check(struct conf_reader *r)
{
	struct conf *c = r->conf;

	check_maildrop(r);
	check_owners(r);
	check_roots(r);
	check_service_uids(r);
	if (c->metrics[0] != '\0') {
		c->has_metrics =
			conf_address_read(c->texts[CONF_GLOBAL_metrics], &c->metrics_at);
		c->has_metrics &= !c->metrics_at.any;
		if (!c->has_metrics)
			ini_report(&r->ini, c->lines[CONF_GLOBAL_metrics],
				"metrics = %.64s: must be one address and a port, as "
				"127.0.0.1:9110",
				c->metrics);
	}
	conf_check_delivery(r);
	conf_check_logins(r);
	for (size_t i = 0; i < c->listeners_n; i++)
		check_listener(r, &c->listeners[i]);
}
