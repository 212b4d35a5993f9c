#include "base/check.h"
#include "monitor/monitor.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define UID_LOG	    1 /* from service_uids on */
#define UID_AUTH    2
#define UID_CONTROL 3
#define UID_LMTPD   4
#define UID_FRONTS  8

#define SYSLOG_RETRY_MS 2000

_Static_assert(
	UID_FRONTS + CORE_FRONTS <= CORE_SERVICE_UIDS, "each front has a uid of its own");

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static uint32_t
service_uid(const struct monitor *m, uint32_t offset)
{
	return m->privileged ? m->core->limits.service_uids + offset : 0;
}

/* Whole seconds, never less than what was asked for; the messages have 32 bits. */
static uint32_t
seconds(uint64_t ms)
{
	uint64_t s = ms / 1000 + (ms % 1000 > 0);

	return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

/* name: of the message; m, slot, fds and n as in child_send. */
#define SEND(name, message, slot, fds, n)                                                \
	({                                                                               \
		uint8_t storage_[MESSAGE_OCTETS_MAX / 4];                                \
		struct buf out_ = buf_over(storage_, sizeof(storage_));                  \
		msg_##name##_put((message), &out_);                                      \
		CHECK(!out_.full);                                                       \
		child_send(m, (slot), buf_view(&out_), (fds), (n));                      \
	})

/* ---- fronts ---- */

void
setup_front_options(struct monitor *m, uint32_t slot)
{
	const struct conf *c = m->settings.conf;
	struct msg_front_options o = {
		.idle_timeout_s = seconds(c->idle_timeout_ms),
		.login_timeout_s = seconds(c->login_timeout_ms),
		.max_bad_commands = (uint32_t)c->max_bad_commands,
		.max_login_failures = (uint32_t)c->max_login_failures,
		.login_failure_delay_ms = (uint32_t)c->login_failure_delay_ms,
		.connections_per_address = (uint32_t)c->connections_per_address,
		.expire_days = c->expire == CONF_NEVER ? UINT32_MAX : (uint32_t)c->expire,
		.login_delay_s = seconds(c->login_delay_ms),
		.last = c->last,
		.mark_seen = c->mark_seen,
		.growing_penalty = c->growing_penalty,
	};

	(void)SEND(front_options, &o, slot, NULL,
		0); /* child_send has ended one that is stuck */
}

bool
setup_serves(uint32_t slot, const struct listen_socket *s)
{
	return (slot == CORE_LMTPD) == (s->protocol == CONF_PROTOCOL_LMTP);
}

/* child_send has ended one that is stuck. */
void
setup_listener(struct monitor *m, uint32_t slot, const struct listen_socket *s)
{
	struct msg_front_listener pop3 = {.listener = s->number,
		.implicit_tls = s->tls == CONF_TLS_IMPLICIT,
		.plaintext = s->plaintext,
		.name = view_of(s->name)};
	struct msg_lmtp_listener lmtp = {.listener = s->number,
		.local = listen_is_unix(s->fd),
		.name = view_of(s->name)};

	CHECK(setup_serves(slot, s));
	if (slot == CORE_LMTPD)
		(void)SEND(lmtp_listener, &lmtp, slot, &s->fd, 1);
	else
		(void)SEND(front_listener, &pop3, slot, &s->fd, 1);
}

static void
setup_listeners(struct monitor *m, uint32_t slot)
{
	for (size_t i = 0; i < m->sockets_n; i++)
		if (setup_serves(slot, &m->sockets[i]))
			setup_listener(m, slot, &m->sockets[i]);
}

static void
renew_ticket_keys(struct monitor *m)
{
	uint64_t now = clock_ms();

	if (now < m->ticket_keys_until_ms)
		return;
	m->ticket_keys_until_ms = now + TICKET_KEY_MS;
	/* Without randomness there must be no tickets, and no service. */
	if (getrandom(m->ticket_keys, sizeof(m->ticket_keys), 0) !=
		sizeof(m->ticket_keys))
		core_drain(m->core, now);
}

void
setup_front_tls(struct monitor *m, uint32_t slot)
{
	const int fds[2] = {m->settings.certificate, m->settings.key};
	uint8_t storage[256];
	struct buf out = buf_over(storage, sizeof(storage));

	if (fds[0] < 0)
		return;
	renew_ticket_keys(m);
	struct msg_front_tls tls = {.generation = m->tls_generation,
		.ticket_keys = {m->ticket_keys, sizeof(m->ticket_keys)}};
	msg_front_tls_put(&tls, &out);
	CHECK(!out.full);
	(void)child_send(
		m, slot, buf_view(&out), fds, 2); /* has ended one that is stuck */
	explicit_bzero(storage, sizeof(storage));
}

static int
setup_front_peers(struct monitor *m, uint32_t slot)
{
	int fds[CORE_FRONTS];
	size_t n = 0;
	uint32_t own = slot - CORE_FRONT;
	struct msg_front_peers p = {
		.count = CORE_FRONTS, .key = {m->peers_key, sizeof(m->peers_key)}};

	_Static_assert(CORE_FRONTS <= MESSAGE_FDS_MAX, "one message carries all tables");
	fds[n++] = m->peers[own];
	for (uint32_t i = 0; i < CORE_FRONTS; i++)
		if (i != own)
			fds[n++] = m->peers_read[i];
	return SEND(front_peers, &p, slot, fds, n);
}

/* A channel between this front, or lmtpd, and auth, if both are there. */
void
setup_front_auth(struct monitor *m, uint32_t slot)
{
	const struct core_process *auth = &m->core->at[CORE_AUTH];
	int pair[2];

	if (!core_lives(m->core, CORE_AUTH) || !core_lives(m->core, slot) ||
		m->children[CORE_AUTH].source.fd < 0 || m->children[slot].source.fd < 0)
		return;
	if (channel_pair(pair) < 0) {
		child_fault(m, slot, "no descriptors for its channel to auth");
		return;
	}
	AUTO_FD for_auth = pair[0], for_front = pair[1];
	struct msg_auth_front to_auth = {
		.front = m->core->at[slot].incarnation, .delivers = slot == CORE_LMTPD};
	struct msg_front_auth to_front = {.auth_incarnation = auth->incarnation};
	if (SEND(auth_front, &to_auth, CORE_AUTH, &for_auth, 1) == 0)
		(void)SEND(front_auth, &to_front, slot, &for_front, 1);
}

void
setup_front_gone(struct monitor *m, uint32_t slot)
{
	struct msg_auth_front gone = {.front = m->core->at[slot].incarnation, .gone = 1};

	(void)SEND(auth_front, &gone, CORE_AUTH, NULL, 0);
}

static int
setup_front(struct monitor *m, uint32_t slot)
{
	const struct conf *c = m->settings.conf;
	uint32_t index = slot - CORE_FRONT;
	struct msg_front_setup s = {
		.incarnation = m->core->at[slot].incarnation,
		.index = index,
		.fronts = CORE_FRONTS,
		.uid = service_uid(m, UID_FRONTS + index),
		.sessions_max = m->front_sessions,
		.hostname = view_of(c->hostname),
		.implementation = VIEW("Restante"),
	};
	int rc = SEND(front_setup, &s, slot, &m->empty_dir, 1);

	if (rc < 0)
		return rc;
	setup_front_options(m, slot);
	setup_listeners(m, slot);
	setup_front_tls(m, slot);
	rc = setup_front_peers(m, slot);
	setup_front_auth(m, slot);
	return rc;
}

/* ---- lmtpd ---- */

static int
setup_lmtpd(struct monitor *m)
{
	const struct conf *c = m->settings.conf;
	struct msg_lmtp_setup s = {
		.incarnation = m->core->at[CORE_LMTPD].incarnation,
		.uid = service_uid(m, UID_LMTPD),
		.connections_max = (uint32_t)c->lmtp_connections,
		.recipients_max = (uint32_t)c->lmtp_recipients,
		.timeout_s = seconds(c->lmtp_timeout_ms),
		.message_octets_max = c->message_size_max,
		.spool_memory = c->spool_memory,
		.spool_total = c->spool_total,
		.networks = {c->networks, c->networks_n},
		.hostname = view_of(c->hostname),
	};
	int rc = SEND(lmtp_setup, &s, CORE_LMTPD, &m->empty_dir, 1);

	if (rc < 0)
		return rc;
	setup_listeners(m, CORE_LMTPD);
	setup_front_auth(m, CORE_LMTPD);
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
		.uid = service_uid(m, UID_AUTH),
		.threads = (uint32_t)c->auth_threads,
		.queue_max = (uint32_t)c->auth_queue,
		.cache_s = seconds(c->auth_cache_ms),
		.mail_uid = (uint32_t)c->mail_uid,
		.mail_gid = (uint32_t)c->mail_gid,
		.log_unknown_names = c->log_unknown_names,
		.maildrop = view_of(c->maildrop),
		.users_name = view_of(c->users_file),
		.delimiter = {(const uint8_t *)&c->delimiter, c->delimiter != 0},
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
		setup_front_auth(m, s);
	return 0;
}

/* ---- keepers, log, control ---- */

static int
setup_keeper(struct monitor *m, uint32_t slot)
{
	const struct conf *c = m->settings.conf;
	const struct core_process *p = &m->core->at[slot];
	struct msg_keeper_setup s = {
		.threads = p->one_session ? 1 : (uint32_t)c->keeper_threads,
		/* One that is not shared has nothing to wait for. */
		.idle_s = p->one_session ? 1 : seconds(c->keeper_idle_ms),
		.mark_seen = c->mark_seen,
		.lock_takeover_s = seconds(c->lock_takeover_ms),
		.connections_per_user = (uint32_t)c->connections_per_user,
		.login_delay_s = seconds(c->login_delay_ms),
		.mbox_unquote = c->mbox_unquote,
		.mbox_lengths = c->mbox_lengths,
		.mbox_rename = c->mbox_rename,
		.folders = {(const uint8_t *)c->folders, c->folders_n},
		.hostname = view_of(c->hostname),
	};

	CHECK(p->root < CONF_LIST_MAX);
	return SEND(keeper_setup, &s, slot, &m->settings.roots[p->root], 1);
}

int
setup_log(struct monitor *m)
{
	const struct conf *c = m->settings.conf;
	struct msg_log_setup s = {.uid = service_uid(m, UID_LOG),
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
		.uid = service_uid(m, UID_CONTROL), .operator_uid = m->operator_uid};
	const int fds[3] = {m->empty_dir, m->control_fd, m->metrics_fd};

	return SEND(control_setup, &s, CORE_CONTROL, fds, m->metrics_fd >= 0 ? 3 : 2);
}

int
setup_child(struct monitor *m, uint32_t slot)
{
	switch (program_of(slot)) {
	case PROGRAM_LOG: return setup_log(m);
	case PROGRAM_CONTROL: return setup_control(m);
	case PROGRAM_AUTH: return setup_auth(m);
	case PROGRAM_LMTPD: return setup_lmtpd(m);
	case PROGRAM_FRONT: return setup_front(m, slot);
	case PROGRAM_KEEPER: return setup_keeper(m, slot);
	case PROGRAMS: break;
	}
	UNREACHABLE();
}
