#include "base/cursor.h"
#include "ipc/permit.h"
#include "monitor/monitor_send.h"
#include "os/clock.h"
#include "stat/stat.h"

#define USERS_PAUSE_MS 100

/* False: the message is malformed or not allowed now. Each handler is of a row below. */
static bool
got_ready(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_ready ready;
	struct log_record r;
	bool serves = m->core->mode != CORE_MODE_START;

	if (!msg_ready_get(&ready, payload) || !core_ready(m->core, slot, clock_ms()))
		return false;
	if (slot == CORE_LOG)
		m->log_up = true;
	if (core_is_helper(slot) && serves)
		link_helper_auth(m, slot);
	log_begin(&r, slot >= CORE_KEEPER ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
		"process_ready");
	log_str(&r, "child", program_names[program_of(slot)]);
	log_number(&r, "child_pid", (uint64_t)m->children[slot].pid);
	log_number(&r, "cage", ready.cage);
	report(m, &r);
	return true;
}

static bool
got_full(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_front_full full;

	return msg_front_full_get(&full, payload) && full.full <= 1 &&
		core_full(m->core, slot, full.full, clock_ms());
}

static bool
got_tls_taken(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_front_tls_taken t;

	if (!msg_front_tls_taken_get(&t, payload) || t.taken > 1)
		return false;
	certificates_told(m, slot, t.generation, t.taken);
	return true;
}

static bool
got_grant(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_grant g;

	(void)slot;
	if (!msg_grant_get(&g, payload))
		return false;
	grant_received(m, &g);
	return true;
}

static bool
got_spool_ask(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_spool_ask ask;

	(void)slot;
	if (!msg_spool_ask_get(&ask, payload))
		return false;
	spool_asked(m, ask.session);
	return true;
}

static bool
got_users_ask(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_users_ask ask;
	uint64_t at = m->children[slot].users_sent_ms + USERS_PAUSE_MS;

	if (!msg_users_ask_get(&ask, payload))
		return false;
	if (clock_ms() >= at)
		setup_users(m);
	else
		(void)loop_timer_set(
			m->loop, &m->users, at); /* without memory auth asks again */
	return true;
}

static bool
got_log_ask(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_log_ask ask;

	(void)slot;
	if (!msg_log_ask_get(&ask, payload))
		return false;
	/* It asks at most every few seconds, and only where lines are lost. */
	(void)setup_log(m); /* has ended one that is stuck */
	return true;
}

static bool
got_idle(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_keeper_idle idle;

	if (!msg_keeper_idle_get(&idle, payload))
		return false;
	core_keeper_idle(m->core, slot, idle.attached, clock_ms());
	return true;
}

static bool
got_left(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_keeper_left left;

	if (!msg_keeper_left_get(&left, payload) || left.places.n % sizeof(uint32_t) != 0)
		return false;
	struct cursor c = cursor_over(left.places);
	while (c.n > 0)
		if (!core_left(m->core, slot, cursor_u32(&c)))
			return false;
	return true;
}

static bool
got_control(struct monitor *m, uint32_t slot, struct view payload)
{
	struct msg_control c;

	(void)slot;
	if (!msg_control_get(&c, payload))
		return false;
	if (c.command == CONTROL_RELOAD)
		monitor_reload(m);
	else if (c.command == CONTROL_DRAIN && m->core->mode == CORE_MODE_SERVE)
		monitor_drain(m);
	return c.command == CONTROL_RELOAD || c.command == CONTROL_DRAIN;
}

/*
 * The operator ends a session; its front may have ended it meanwhile. A front that has
 * not read so many yet is not ended for it: who is still there can be kicked again.
 */
static bool
got_kick(struct monitor *m, uint32_t slot, struct view payload)
{
	uint8_t octets[32];
	struct buf b = buf_over(octets, sizeof(octets));
	struct msg_kick k;

	(void)slot;
	if (!msg_kick_get(&k, payload))
		return false;
	msg_session_kick_put(&(struct msg_session_kick){.session = k.session}, &b);
	CHECK(!b.full);
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (core_lives(m->core, s) && m->core->at[s].incarnation == k.front &&
			m->children[s].source.fd >= 0)
			(void)!channel_send(
				m->children[s].source.fd, buf_view(&b), NULL, 0);
	return true;
}

/* Who may say what to the monitor; all else is a fault. */
static const struct {
	uint16_t number;
	uint8_t from; /* enum program, or PROGRAMS for all */
	bool (*got)(struct monitor *m, uint32_t slot, struct view payload);
} rows[] = {
	{MSG_READY, PROGRAMS, got_ready},
	{MSG_FRONT_FULL, PROGRAM_FRONT, got_full},
	{MSG_FRONT_TLS_TAKEN, PROGRAM_FRONT, got_tls_taken},
	{MSG_GRANT, PROGRAM_AUTH, got_grant},
	{MSG_USERS_ASK, PROGRAM_AUTH, got_users_ask},
	{MSG_SPOOL_ASK, PROGRAM_LMTPD, got_spool_ask},
	{MSG_LOG_ASK, PROGRAM_LOG, got_log_ask},
	{MSG_KEEPER_IDLE, PROGRAM_KEEPER, got_idle},
	{MSG_KEEPER_LEFT, PROGRAM_KEEPER, got_left},
	{MSG_CONTROL, PROGRAM_CONTROL, got_control},
	{MSG_KICK, PROGRAM_CONTROL, got_kick},
};

void
message_received(struct monitor *m, uint32_t slot, struct view message)
{
	struct view payload;
	uint16_t number = message_number(message, &payload);
	enum program from = program_of(slot);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].number != number ||
			(rows[i].from != PROGRAMS && rows[i].from != from))
			continue;
		if (!rows[i].got(m, slot, payload))
			child_fault(m, slot, message_name(number));
		return;
	}
	child_fault(m, slot, "sent a message that it may not send");
}
