#include "base/ascii.h"
#include "base/check.h"
#include "monitor/monitor.h"
#include "os/clock.h"
#include "stat/stat.h"

#include <stdio.h>
#include <string.h>

/* What a running office cannot change: said, not silently ignored. */
static void
report_fixed(struct monitor *m, const struct conf *old, const struct conf *new)
{
	static const char *const fixed[] = {
		"service_uids",
		"run_dir",
		"control_socket",
		"metrics",
		"front_sessions",
	};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (!view_equal(conf_get(old, fixed[i]), conf_get(new, fixed[i])))
			report_text(m, LOG_LEVEL_WARNING,
				"%s takes effect when restanted is restarted", fixed[i]);
	}
}

/* The one of that number that the process serves, or NULL. */
static const struct listen_socket *
socket_of(const struct monitor *m, uint32_t slot, const struct listen_socket *sockets,
	size_t n, uint32_t number)
{
	for (size_t i = 0; i < n; i++)
		if (sockets[i].number == number && setup_serves(m, slot, &sockets[i]))
			return &sockets[i];
	return NULL;
}

static void
tell_listener_gone(struct monitor *m, uint32_t slot, uint32_t number)
{
	uint8_t storage[16];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_front_listener_gone gone = {.listener = number};

	msg_front_listener_gone_put(&gone, &out);
	(void)child_send(
		m, slot, buf_view(&out), NULL, 0); /* has ended one that is stuck */
}

/* What it had before the reload, so that it hears of changes only. */
struct before {
	struct listen_socket sockets[LISTEN_SOCKETS_MAX];
	size_t sockets_n;
};

static void
tell_listeners(struct monitor *m, uint32_t slot, const struct before *b)
{
	for (size_t i = 0; i < b->sockets_n; i++) {
		const struct listen_socket *old = &b->sockets[i];
		if (setup_serves(m, slot, old) &&
			!socket_of(m, slot, m->sockets, m->sockets_n, old->number))
			tell_listener_gone(m, slot, old->number);
	}
	for (size_t i = 0; i < m->sockets_n; i++) {
		const struct listen_socket *now = &m->sockets[i];
		const struct listen_socket *old =
			socket_of(m, slot, b->sockets, b->sockets_n, now->number);
		if (!setup_serves(m, slot, now))
			continue;
		if (old && old->tls == now->tls && old->plaintext == now->plaintext &&
			old->protocol == now->protocol &&
			listen_rules_equal(&old->rules, &now->rules) &&
			strcmp(old->name, now->name) == 0)
			continue;
		/* Changed: it is another listener from now on, on the same socket. */
		if (old)
			tell_listener_gone(m, slot, now->number);
		setup_listener(m, slot, now);
	}
}

static void
tell_front(struct monitor *m, uint32_t slot, const struct before *b)
{
	uint8_t state = m->core->at[slot].state;

	if (state == CORE_DRAINING || state == CORE_ENDING)
		return;
	setup_front_options(m, slot);
	/* The certificate first: a new listener may be the first that needs it. */
	certificates_to_front(m, slot);
	tell_listeners(m, slot, b);
}

static void
tell_lmtpd(struct monitor *m, const struct before *b)
{
	uint8_t state = m->core->at[CORE_LMTPD].state;

	if (state != CORE_DRAINING && state != CORE_ENDING)
		tell_listeners(m, CORE_LMTPD, b);
}

/* A queue that is full is load, and no fault: that one stays for keeper_idle. */
static void
retire_keepers(struct monitor *m)
{
	uint8_t storage[16];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_keeper_retire retire = {0};

	msg_keeper_retire_put(&retire, &out);
	CHECK(!out.full);
	for (uint32_t s = CORE_KEEPER; s < CORE_KEEPER + m->core->keeper_top; s++)
		if (core_is_retired(m->core, s))
			(void)!channel_send(
				m->children[s].source.fd, buf_view(&out), NULL, 0);
}

static bool
differs(const struct conf *a, const struct conf *b, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!view_equal(conf_get(a, names[i]), conf_get(b, names[i])))
			return true;
	return false;
}

/* Those whose own options or files changed; others go on, and keep their connections. */
static void
replace_helpers(struct monitor *m, const struct conf *old)
{
	for (uint32_t b = 0; b < CORE_BACKENDS; b++) {
		bool same = setup_helper_files_are_as_seen(m, b);
		if (!same || setup_helper_differs(b, old, m->settings.conf))
			core_renew_helpers(m->core, b, clock_ms());
	}
}

/*
 * auth, log and lmtpd take their options at their start. What waits in their channels is
 * not lost for log; for auth it is asked again by the fronts; lmtpd finishes first.
 */
static void
replace_changed(struct monitor *m, const struct conf *old)
{
	static const char *const of_log[] = {"log", "log_level"};
	static const char *const of_auth[] = {"maildrop", "mail_uid", "mail_gid",
		"users_file", "auth_threads", "auth_queue", "auth_cache",
		"log_unknown_names", "recipient_delimiter", "databases", "hostname",
		"realm", "auth_helper_timeout", "auth_cache_unseen",
		"login_failure_delay", "growing_penalty", "logins_per_minute",
		"logins_burst", "login_delay", "expire", "connections_per_user",
		"trusted_networks", "log_fail2ban", "login_timeout", "sql_stores",
		"ldap_stores"};
	static const char *const of_lmtpd[] = {"lmtp_networks", "lmtp_connections",
		"lmtp_recipients", "lmtp_timeout", "lmtp_bare_line_ends",
		"message_size_max", "spool_memory", "spool_total", "hostname"};
	const struct conf *now = m->settings.conf;

	if (differs(old, now, of_log, ARRAY_SIZE(of_log)))
		core_replace(m->core, CORE_LOG, clock_ms());
	if (differs(old, now, of_auth, ARRAY_SIZE(of_auth)))
		core_replace(m->core, CORE_AUTH, clock_ms());
	else if (core_lives(m->core, CORE_AUTH))
		setup_users(m);
	if (differs(old, now, of_lmtpd, ARRAY_SIZE(of_lmtpd)))
		core_renew_lmtpd(m->core, clock_ms());
}

/* front_sessions and what is fixed stay as they were: processes were made for them. */
static struct core_limits
limits_after(const struct monitor *m, const struct settings *s)
{
	struct core_limits l = settings_limits(m, s);

	l.service_uids = m->core->limits.service_uids;
	l.one_shot = m->core->limits.one_shot;
	return l;
}

static bool
reload(struct monitor *m)
{
	struct settings fresh, old = m->settings;
	struct before b = {.sockets_n = m->sockets_n};

	memcpy(b.sockets, m->sockets, sizeof(b.sockets));
	if (!settings_load(m, m->conf_path, &fresh))
		return false;
	if (!assets_helpers(m, fresh.conf) || !listen_apply(m, fresh.conf)) {
		settings_done(&fresh);
		return false;
	}
	report_fixed(m, old.conf, fresh.conf);
	m->settings = fresh;
	certificates_succeed(m, &old.tls);
	m->tls_generation++;
	struct core_limits limits = limits_after(m, &fresh);
	if (core_lives(m->core, CORE_KEYS))
		certificates_to_keys(m);
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (core_lives(m->core, s))
			tell_front(m, s, &b);
	if (core_lives(m->core, CORE_LMTPD))
		tell_lmtpd(m, &b);
	/* Those that this starts get everything as it is now. */
	core_reload(m->core, &limits, clock_ms());
	replace_helpers(m, old.conf);
	replace_changed(m, old.conf);
	retire_keepers(m);
	watched_begin(m);
	settings_done(&old);
	return true;
}

void
monitor_reload(struct monitor *m)
{
	char state[96];

	/* Its processes are told what they need from the configuration that stands. */
	if (m->core->mode == CORE_MODE_START)
		m->reload_waits = true;
	if (m->core->mode != CORE_MODE_SERVE)
		return;
	(void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)clock_ms() * 1000);
	notify_send(m, state);
	if (reload(m)) {
		stat_add(STAT_RELOADS, 1);
		report_text(m, LOG_LEVEL_INFO,
			"the configuration was read again and is in force");
	} else {
		report_text(m, LOG_LEVEL_ERROR,
			"the configuration has errors; the one before stays in force");
	}
	notify_send(m, "READY=1\nSTATUS=serving");
}
