/* setup_front.c: what fronts are told at their start and after a reload. */
#include "ipc/permit.h"
#include "monitor/monitor_send.h"

_Static_assert((unsigned)UID_FRONTS + CORE_FRONTS <= CORE_SERVICE_UIDS,
	"each front has a uid of its own");

/* child_send has ended one that is stuck, here and below. */
void
setup_front_options(struct monitor *m, uint32_t slot)
{
	const struct conf *c = m->settings.conf;
	struct msg_front_options o = {
		.idle_timeout_s = seconds(c->idle_timeout_ms),
		.login_timeout_s = seconds(c->login_timeout_ms),
		.max_bad_commands = (uint32_t)c->max_bad_commands,
		.max_login_failures = (uint32_t)c->max_login_failures,
		.connections_per_address = (uint32_t)c->connections_per_address,
		.expire_days = c->expire == CONF_NEVER ? UINT32_MAX : (uint32_t)c->expire,
		.login_delay_s = seconds(c->login_delay_ms),
		.last = c->last,
		.mark_seen = c->mark_seen,
		.utf8 = c->utf8,
		.language = view_of(c->language),
		.hostname = view_of(c->hostname),
	};

	(void)SEND(front_options, &o, slot, NULL, 0);
}

/* lmtpd has those for mail servers; of the others each class of fronts has its own. */
bool
setup_serves(const struct monitor *m, uint32_t slot, const struct listen_socket *s)
{
	if (slot == CORE_LMTPD || s->protocol == CONF_PROTOCOL_LMTP)
		return slot == CORE_LMTPD && s->protocol == CONF_PROTOCOL_LMTP;
	return core_class(m->core, slot) == s->rules.asserts;
}

static struct view
networks_of(const struct conf_networks *n)
{
	return (struct view){n->octets, n->n};
}

void
setup_listener(struct monitor *m, uint32_t slot, const struct listen_socket *s)
{
	const struct listen_rules *rules = &s->rules;
	struct msg_front_listener pop3 = {.listener = s->number,
		.implicit_tls = s->tls == CONF_TLS_IMPLICIT,
		.plaintext = s->plaintext,
		.name = view_of(s->name),
		.kpop = s->protocol == CONF_PROTOCOL_KPOP,
		.apop = rules->apop,
		.asserts = rules->asserts,
		.client_certificates = rules->client_certificates,
		.tls_profile = rules->tls_profile,
		.mechanisms = rules->mechanisms,
		.proxy_networks = networks_of(&rules->proxies),
		.xclient_networks = networks_of(&rules->xclients),
		.old_tls_networks = networks_of(&rules->old_tls)};
	struct msg_lmtp_listener lmtp = {
		.listener = s->number, .local = s->local, .name = view_of(s->name)};

	CHECK(setup_serves(m, slot, s));
	if (slot == CORE_LMTPD)
		(void)SEND(lmtp_listener, &lmtp, slot, &s->fd, 1);
	else
		(void)SEND(front_listener, &pop3, slot, &s->fd, 1);
}

void
setup_listeners(struct monitor *m, uint32_t slot)
{
	for (size_t i = 0; i < m->sockets_n; i++)
		if (setup_serves(m, slot, &m->sockets[i]))
			setup_listener(m, slot, &m->sockets[i]);
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

/* Without it the front's sessions are not seen by `restante who`, which is all. */
static void
setup_front_who(struct monitor *m, uint32_t slot)
{
	struct msg_front_who who = {0};

	if (m->children[slot].who_fd >= 0)
		(void)SEND(front_who, &who, slot, &m->children[slot].who_fd, 1);
}

int
setup_front(struct monitor *m, uint32_t slot)
{
	uint32_t index = slot - CORE_FRONT;
	struct msg_front_setup s = {
		.incarnation = m->core->at[slot].incarnation,
		.index = index,
		.fronts = CORE_FRONTS,
		.uid = m->privileged ? setup_uid(m, UID_FRONTS) + index : 0,
		.sessions_max = m->front_sessions,
		.implementation = VIEW("Restante"),
	};
	int rc = SEND(front_setup, &s, slot, &m->empty_dir, 1);

	if (rc < 0)
		return rc;
	setup_front_options(m, slot);
	setup_front_who(m, slot);
	link_front_keys(m, slot);
	certificates_to_front(m, slot);
	watched_deny_to_front(m, slot);
	rc = setup_front_peers(m, slot);
	setup_listeners(m, slot);
	link_front_auth(m, slot);
	return rc;
}
