/* setup.c: what each kind of process is told at its start. Fronts, helpers: setup_*.c. */
#include "monitor/monitor_send.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SYSLOG_RETRY_MS 2000

uint32_t
setup_uid(const struct monitor *m, enum service_uid which)
{
	return m->privileged ? m->core->limits.service_uids + (uint32_t)which : 0;
}

/* ---- lmtpd ---- */

static int
setup_lmtpd(struct monitor *m)
{
	const struct conf *c = m->settings.conf;
	struct msg_lmtp_setup s = {
		.incarnation = m->core->at[CORE_LMTPD].incarnation,
		.uid = setup_uid(m, UID_LMTPD),
		.connections_max = (uint32_t)c->lmtp_connections,
		.recipients_max = (uint32_t)c->lmtp_recipients,
		.timeout_s = seconds(c->lmtp_timeout_ms),
		.message_octets_max = c->message_size_max,
		.spool_memory = c->spool_memory,
		.spool_total = c->spool_total,
		.bare_line_ends = c->lmtp_bare_line_ends,
		.networks = {c->networks, c->networks_n},
		.hostname = view_of(c->hostname),
	};
	int rc = SEND(lmtp_setup, &s, CORE_LMTPD, &m->empty_dir, 1);

	if (rc < 0)
		return rc;
	setup_listeners(m, CORE_LMTPD);
	link_front_auth(m, CORE_LMTPD);
	return 0;
}

/* ---- auth ---- */

void
setup_users(struct monitor *m)
{
	AUTO_FD fd = open(m->settings.conf->users_file,
		O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct msg_auth_users users = {.error = fd < 0 ? (uint32_t)errno : 0};

	m->children[CORE_AUTH].users_sent_ms = clock_ms();
	(void)SEND(auth_users, &users, CORE_AUTH, &fd,
		fd >= 0); /* an auth that is gone asks anew */
}

static int
setup_auth_options(struct monitor *m)
{
	const struct conf *c = m->settings.conf;
	struct msg_auth_setup s = {
		.uid = setup_uid(m, UID_AUTH),
		.threads = (uint32_t)c->auth_threads,
		.queue_max = (uint32_t)c->auth_queue,
		.cache_s = seconds(c->auth_cache_ms),
		.mail_uid = (uint32_t)c->mail_uid,
		.mail_gid = (uint32_t)c->mail_gid,
		.log_unknown_names = c->log_unknown_names,
		.maildrop = view_of(c->maildrop),
		.users_name = view_of(c->users_file),
		.delimiter = {(const uint8_t *)&c->delimiter, c->delimiter != 0},
		.databases = {c->backends, c->backends_n},
		.stores = {c->stores, c->backends_n},
		.talk_s = seconds(c->login_timeout_ms),
		.hostname = view_of(c->hostname),
		.realm = view_of(c->realm[0] ? c->realm : c->hostname),
		.helper_timeout_ms = (uint32_t)c->auth_helper_timeout_ms,
		.unseen_cache_s = seconds(c->auth_cache_unseen_ms),
		.failure_delay_ms = (uint32_t)c->login_failure_delay_ms,
		.growing_penalty = c->growing_penalty,
		.logins_per_minute = (uint32_t)c->logins_per_minute,
		.logins_burst = (uint32_t)c->logins_burst,
		.login_delay_s = seconds(c->login_delay_ms),
		.expire_days = c->expire == CONF_NEVER ? UINT32_MAX : (uint32_t)c->expire,
		.connections_per_user = (uint32_t)c->connections_per_user,
		.trusted_networks = {c->trusted.octets, c->trusted.n},
		.fail2ban = c->log_fail2ban,
		.key = {m->salts_key, sizeof(m->salts_key)},
	};

	return SEND(auth_setup, &s, CORE_AUTH, &m->empty_dir, 1);
}

static int
setup_auth(struct monitor *m)
{
	int rc = setup_auth_options(m);

	if (rc < 0)
		return rc;
	setup_users(m);
	for (uint32_t s = CORE_LMTPD; s < CORE_KEEPER; s++)
		link_front_auth(m, s);
	for (uint32_t s = CORE_HELPER; s < CORE_LMTPD; s++)
		link_helper_auth(m, s);
	link_control_auth(m);
	return 0;
}

/* ---- keepers, log, control ---- */

static int
setup_keeper(struct monitor *m, uint32_t slot)
{
	const struct conf *c = m->settings.conf;
	const struct core_process *p = &m->core->at[slot];
	uint8_t octets[CONF_LIST_MAX * sizeof(uint32_t)];
	struct buf groups = buf_over(octets, sizeof(octets));
	struct msg_keeper_setup s = {
		.uid = m->privileged ? p->uid : 0,
		.gid = m->privileged ? p->gid : 0,
		.threads = p->one_session ? 1 : (uint32_t)c->keeper_threads,
		/* One that is not shared has nothing to wait for. */
		.idle_s = p->one_session ? 1 : seconds(c->keeper_idle_ms),
		.mark_seen = c->mark_seen,
		.lock_takeover_s = seconds(c->lock_takeover_ms),
		.mbox_unquote = c->mbox_unquote,
		.mbox_lengths = c->mbox_lengths,
		.mbox_rename = c->mbox_rename,
		.folders = {(const uint8_t *)c->folders, c->folders_n},
		.hostname = view_of(c->hostname),
		.utf8_downgrade = c->utf8_downgrade,
		.sessions_max = m->core->limits.keeper_places,
	};

	CHECK(p->root < CONF_LIST_MAX);
	for (size_t i = 0; m->privileged && i < c->mail_groups_n; i++)
		buf_put_u32(&groups, c->mail_group_ids[i]);
	s.groups = buf_view(&groups);
	return SEND(keeper_setup, &s, slot, &m->settings.roots[p->root], 1);
}

int
setup_log(struct monitor *m)
{
	const struct conf *c = m->settings.conf;
	struct msg_log_setup s = {.uid = setup_uid(m, UID_LOG),
		.syslog = c->log == CONF_LOG_SYSLOG,
		.level = (uint8_t)(c->log_level + 1)};
	int out = assets_log_out(m);

	if (out < 0) {
		/* A syslog that is away for now: stderr, rather than nowhere. */
		s.syslog = 0;
		(void)loop_timer_set(m->loop, &m->syslog, clock_ms() + SYSLOG_RETRY_MS);
		out = m->log_out = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	}
	if (out < 0)
		return -EBADF;
	const int fds[2] = {m->empty_dir, out};
	return SEND(log_setup, &s, CORE_LOG, fds, 2);
}

static int
setup_control(struct monitor *m)
{
	struct msg_control_setup s = {
		.uid = setup_uid(m, UID_CONTROL), .operator_uid = m->operator_uid};
	const int fds[3] = {m->empty_dir, m->control.fd, m->metrics_fd};

	int rc = SEND(control_setup, &s, CORE_CONTROL, fds, m->metrics_fd >= 0 ? 3 : 2);

	if (rc == 0)
		link_control_auth(m);
	return rc;
}

int
setup_child(struct monitor *m, uint32_t slot)
{
	enum program program = program_of(slot);

	if (core_is_helper(slot))
		return setup_helper(m, slot);
	switch (program) {
	case PROGRAM_LOG: return setup_log(m);
	case PROGRAM_CONTROL: return setup_control(m);
	case PROGRAM_AUTH: return setup_auth(m);
	case PROGRAM_KEYS: return setup_keys(m);
	case PROGRAM_LMTPD: return setup_lmtpd(m);
	case PROGRAM_FRONT: return setup_front(m, slot);
	case PROGRAM_KEEPER: return setup_keeper(m, slot);
	case PROGRAM_HELPER:
	case PROGRAM_HELPER_LAST:
	case PROGRAMS: break;
	}
	UNREACHABLE();
}
