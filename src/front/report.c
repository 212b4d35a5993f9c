/* Log lines and counters of the front. Failed logins are logged by auth, not here. */
#include "front/conn.h"

#include "base/check.h"
#include "ipc/log.h"
#include "ipc/mechanism.h"
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
	[SESSION_KICKED] = "kicked",
	[SESSION_TURNED_AWAY] = "address-refused",
};

static struct view
user_of(const struct conn *c)
{
	return (struct view){c->user, c->user_n};
}

static void
put_peer(struct log_record *r, const struct conn *c)
{
	log_address(r, "address", (struct view){c->address, sizeof(c->address)});
	log_number(r, "port", c->port);
	if (c->is_proxied)
		log_address(r, "via", (struct view){c->via, sizeof(c->via)});
	log_str(r, "tls", c->stream.ssl ? stream_version(&c->stream) : "no");
}

void
report_login(const struct conn *c)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_INFO, "login");
	log_text(&r, "user", user_of(c));
	log_str(&r, "mechanism", mechanism_name(c->mechanism));
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
	who_update(c);
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
		[REFUSAL_NO_USER] = STAT_LOGINS_TEMPORARY, /* lmtpd's */
		[REFUSAL_POLICY] = STAT_LOGINS_FAILED,
		[REFUSAL_TOO_MANY] = STAT_LOGINS_TEMPORARY,
		[REFUSAL_NOT_NOW] = STAT_LOGINS_TEMPORARY,
	};

	stat_add(counters[code < ARRAY_SIZE(counters) ? code : 0], 1);
}

void
report_away(struct front *f, enum turned_away why, const uint8_t *address)
{
	static const struct {
		enum stat_id counter;
		const char *what;
	} rows[AWAY_KINDS] = {
		[AWAY_DENIED] = {STAT_CONNECTIONS_DENIED, "in deny_file"},
		[AWAY_NO_PROXY] = {STAT_PROXY_REFUSED, "not in proxy_networks"},
		[AWAY_NO_HEADER] = {STAT_PROXY_REFUSED, "no PROXY header in time"},
	};
	uint64_t now = loop_now_ms(f->loop);
	struct log_record r;

	stat_add(rows[why].counter, 1);
	if (f->away_logged_ms[why] != 0 && now < f->away_logged_ms[why] + 1000)
		return;
	f->away_logged_ms[why] = now;
	log_begin(&r, LOG_LEVEL_WARNING, "turned_away");
	log_address(&r, "address", (struct view){address, FRONT_ADDRESS_OCTETS});
	log_str(&r, "reason", rows[why].what);
	log_send(&r);
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
