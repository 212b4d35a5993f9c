/* Log lines and counters of the front. Failed logins are logged by auth, not here. */
#include "front/conn.h"

#include "ipc/log.h"
#include "stat/stat.h"

#include <string.h>
#include <unistd.h>

static const char *const reasons[] = {
	[SESSION_QUIT] = "quit",
	[SESSION_BAD_COMMANDS] = "bad-commands",
	[SESSION_LOGIN_FAILURES] = "login-failures",
	[SESSION_TIMEOUT] = "timeout",
	[SESSION_INJECTION] = "octets-after-stls",
	[SESSION_LOST_KEEPER] = "lost-keeper",
	[SESSION_FILE_CHANGED] = "file-changed",
	[SESSION_PEER] = "closed-by-client",
	[SESSION_YIELDED] = "newer-login",
	[SESSION_DRAINED] = "stopping",
};

static struct view
user_of(const struct conn *c)
{
	if (!c->user)
		return (struct view){NULL, 0};
	return (struct view){(const uint8_t *)c->user, strlen(c->user)};
}

static void
put_peer(struct log_record *r, const struct conn *c)
{
	log_address(r, "address", (struct view){c->address, sizeof(c->address)});
	log_number(r, "port", c->port);
	log_str(r, "tls", c->stream.ssl ? stream_version(&c->stream) : "no");
}

void
report_login(const struct conn *c)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_INFO, "login");
	log_text(&r, "user", user_of(c));
	log_number(&r, "session", c->number);
	put_peer(&r, c);
	log_number(&r, "messages", c->check.snapshot.count);
	log_number(&r, "octets", c->check.snapshot.octets);
	log_send(&r);
}

/* Without a login only what an operator may want to see of a stranger. */
static bool
is_notable(const struct conn *c)
{
	enum session_reason why = session_reason(&c->session);

	return c->is_attached || why == SESSION_BAD_COMMANDS ||
		why == SESSION_INJECTION || why == SESSION_LOGIN_FAILURES;
}

void
report_logout(const struct conn *c)
{
	const struct session_counts *n = session_counts(&c->session);
	struct log_record r;

	stat_set(STAT_LOG_DROPPED, log_dropped());
	if (!is_notable(c))
		return;
	log_begin(&r, LOG_LEVEL_INFO, c->is_attached ? "logout" : "disconnect");
	if (c->is_attached)
		log_text(&r, "user", user_of(c));
	log_number(&r, "session", c->number);
	put_peer(&r, c);
	log_str(&r, "reason", reasons[session_reason(&c->session)]);
	log_number(&r, "commands", n->commands);
	log_number(&r, "bad", n->commands_bad);
	log_number(&r, "retrieved", n->retrieved);
	log_number(&r, "topped", n->topped);
	log_number(&r, "deleted", n->deleted);
	log_number(&r, "octets", n->octets);
	log_number(&r, "duration_ms", loop_now_ms(c->front->loop) - c->begun_ms);
	log_send(&r);
}

static void
add(enum stat_id id, uint64_t now, uint64_t before)
{
	if (now > before)
		stat_add(id, now - before);
}

void
report_counts(struct conn *c)
{
	const struct session_counts *n = session_counts(&c->session), *o = &c->reported;

	if (n->commands == o->commands && n->retrieved == o->retrieved &&
		n->topped == o->topped)
		return;
	add(STAT_COMMANDS, n->commands, o->commands);
	add(STAT_COMMANDS_BAD, n->commands_bad, o->commands_bad);
	add(STAT_RETRIEVED, n->retrieved, o->retrieved);
	add(STAT_TOPPED, n->topped, o->topped);
	add(STAT_OCTETS_OUT, n->octets, o->octets);
	c->reported = *n;
}

void
report_refusal(uint8_t code)
{
	static const enum stat_id counters[] = {
		[0] = STAT_LOGINS_TEMPORARY,
		[REFUSAL_CREDENTIALS] = STAT_LOGINS_FAILED,
		[REFUSAL_TEMPORARY] = STAT_LOGINS_TEMPORARY,
		[REFUSAL_PERMANENT] = STAT_LOGINS_TEMPORARY,
		[REFUSAL_IN_USE] = STAT_LOGINS_IN_USE,
		[REFUSAL_CONNECTIONS] = STAT_LOGINS_IN_USE,
		[REFUSAL_BUSY] = STAT_LOGINS_TEMPORARY,
		[REFUSAL_LOGIN_DELAY] = STAT_LOGINS_TEMPORARY,
	};

	stat_add(counters[code <= REFUSAL_LOGIN_DELAY ? code : 0], 1);
}

void
report_fault(const char *peer, uint16_t number, const char *what)
{
	struct log_record r;

	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_begin(&r, LOG_LEVEL_ERROR, "protocol_fault");
	log_str(&r, "peer", peer);
	log_str(&r, "message", message_name(number));
	log_str(&r, "what", what);
	log_send(&r);
}

void
report_error(const char *event, const char *what, int err)
{
	struct log_record r;

	log_begin(&r, err < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, event);
	log_str(&r, "what", what);
	if (err < 0)
		log_error(&r, "error", err);
	log_send(&r);
}

void
report_start(const struct front *f, uint32_t cage)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_DEBUG, "start");
	log_number(&r, "front", f->index);
	log_number(&r, "incarnation", f->incarnation);
	log_number(&r, "sessions", f->sessions_max);
	log_number(&r, "ahead", f->ahead_max);
	log_str(&r, "dot", f->dot->name);
	log_number(&r, "cage", cage);
	log_send(&r);
}
