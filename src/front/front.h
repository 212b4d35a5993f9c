/*
 * front.h: one front process as a value: its loop, its channels, its connections. One
 * thread; everything hangs on struct front.
 *
 *     main.c          the start-up checklist
 *     monitor_link.c  what the monitor says, at start and later (options.c, handed.c)
 *     rules.c         what the connections of a listener obey
 *     accept.c        listening sockets, places, limits (deny.c, peers.c)
 *     opening.c       what comes before the session: PROXY header, Kerberos
 *     auth_link.c     logins: questions to auth and its refusals
 *     conn.c          one connection: which step comes next, and when it waits
 *     conn_io.c       its octets in and out
 *     keeper_link.c   its channel to a keeper: snapshot, verdict
 *     transfer.c      slices: asked ahead, held, given back
 *     pump.c, body.c  a message from its slice to the output
 *     who.c           the table of sessions for `restante who`
 *     report.c        log lines and counters
 */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include "front/front_state.h"

/* ---- main.c ---- */
/* The process ends with this status after the round. */
void front_end(struct front *f, int status);

/* ---- monitor_link.c ---- */
/* Waits for the first message, which must be the set-up. 0 or -errno. */
[[nodiscard]] int monitor_read_setup(struct front *f);
[[nodiscard]] int monitor_start(struct front *f);
/* Tells the monitor what is_full says, if it does not know it; now or when there is room,
 * and not more often than it can be of use. */
void monitor_tell_full(struct front *f);
/* Whether the certificates of that generation are in force. */
void monitor_tell_tls(struct front *f, uint32_t generation, bool taken);

/* ---- budget.c ---- */
void budget_init(struct front *f);

/* ---- options.c ---- */
/* Message FRONT_OPTIONS: in force for connections from now on. False: malformed. */
[[nodiscard]] bool options_take(struct front *f, struct view payload, struct received *r);
struct front_options *front_options_ref(struct front_options *o);
void front_options_unref(struct front_options **o);

/* Auth's offer has changed: for sessions that start from now on. 0 or -ENOMEM. */
[[nodiscard]] int options_offer(struct front *f);

/* ---- who.c ---- */
/* The table that the monitor made. 0 or -errno. */
[[nodiscard]] int who_open(struct who_table *w, int fd);
void who_claim(struct conn *c);
void who_update(struct conn *c);
void who_leave(struct conn *c);

/* ---- accept.c ---- */
/* Takes the descriptor. 0 or -errno (then it is closed). */
[[nodiscard]] int accept_add(struct front *f, int fd, const struct msg_front_listener *m);
/* Listens, or not, as the places, the monitor and a drain want it. */
void accept_update(struct front *f);
void accept_close_all(struct front *f);
/* The monitor took this listener out of the configuration. */
void accept_gone(struct front *f, uint32_t number);
/*
 * Whether this address may have one more connection here; counted under *ret_hash if so.
 * Else it is told so on fd, where it can understand that.
 */
[[nodiscard]] bool accept_admit(struct front *f, const struct rules *rules, int fd,
	const uint8_t address[FRONT_ADDRESS_OCTETS], uint64_t *ret_hash);
/* A connection has ended. */
void accept_place_free(struct front *f);
void accept_pause_init(struct front *f);

/* ---- auth_link.c ---- */
void auth_start(struct front *f, int take_fd);
/* Asks auth; false: the session was told why not, and goes on. */
[[nodiscard]] bool auth_ask(struct conn *c);
/* Asks about a Kerberos AP-REQ. 0, or the enum refusal. */
[[nodiscard]] uint8_t auth_ask_kpop(struct conn *c, struct view request);
/* Asks for a stamp; false: there is none, and the session was told so. */
[[nodiscard]] bool auth_ask_stamp(struct conn *c);
/* Auth waits for an answer that will not come: tells it so. */
void auth_settle(struct conn *c);
/* What auth had granted was refused behind it. */
void auth_tell_lost(struct conn *c, uint8_t code);
/* No answer came: what was waited for will not come. */
void auth_no_answer(struct conn *c);
void auth_drop_challenge(struct conn *c);
/* The monitor refused what auth had granted; the session goes on. */
void auth_refused(struct conn *c, uint8_t code);

/* ---- report.c ---- */
/* err: -errno, or 0: a warning. */
void report_error(const char *event, const char *what, int err);
void report_fault(const char *peer, uint16_t number, const char *what);
void report_start(const struct front *f, uint32_t cage);
void report_login(const struct conn *c);
void report_logout(const struct conn *c);
void report_refusal(uint8_t code);
/* Closed before it was served; a line a second at most. */
void report_away(struct front *f, enum turned_away why, const uint8_t *address);
/* Adds to the counters what the session counted since the last time. */
void report_counts(struct conn *c);

#endif
