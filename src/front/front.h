/*
 * front.h: one front process as a value: its loop, its channels, its connections. One
 * thread; everything hangs on struct front.
 *
 *     main.c          the start-up checklist
 *     monitor_link.c  what the monitor hands over, at start and later (options.c)
 *     accept.c        listening sockets, places, limits
 *     auth_link.c     logins: questions to auth and its refusals
 *     conn.c          one connection: which step comes next, and when it waits
 *     conn_io.c       its octets in and out
 *     keeper_link.c   its channel to a keeper: snapshot, verdict
 *     transfer.c      slices: asked ahead, held, given back
 *     pump.c, body.c  a message from its slice to the output
 *     report.c        log lines and counters
 */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include "front/peers.h"
#include "front/session.h"
#include "ipc/channel.h"
#include "ipc/message.h"
#include "os/loop.h"
#include "os/tls.h"
#include "pop3/dot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct transfer;

#define FRONT_LISTENERS_MAX 64U
#define FRONT_SESSIONS_MAX  1000000U
#define FRONT_READ_MAX	    16384U /* octets that one read of a socket takes at most */
#define FRONT_IN_OCTETS	    (FRONT_READ_MAX + SESSION_INPUT_MAX)
#define FRONT_BLOCK_OCTETS  65536U /* of a message at a time */
/* From here on the output is sent before more is written. */
#define FRONT_FLUSH_OCTETS 49152U
#define FRONT_REPLY_OCTETS 65536U /* what a session may fill of the output */
#define FRONT_OUT_OCTETS   (FRONT_FLUSH_OCTETS + DOT_ENCODE_MAX(FRONT_BLOCK_OCTETS) + 1024U)
/* After so much, a connection lets the others have their turn. */
#define FRONT_QUANTUM_OCTETS   262144U
#define FRONT_QUANTUM_STEPS    512U
#define FRONT_CHECK_ROWS       50000U
#define FRONT_DESCRIPTORS_KEPT 192U /* for channels, tables and what comes unasked */
#define FRONT_DESCRIPTORS_EACH 4U   /* socket, keeper, slice, piece */
#define FRONT_ADDRESS_OCTETS   16U

#define CONTAINER_OF(p, type, member)                                                    \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

/* One version of the options; counted, a session keeps the one that it began with. */
struct front_options {
	uint32_t refs;
	struct session_options session;
	uint32_t connections_per_address;
	bool mark_seen;
};

struct listener {
	struct source source;
	struct front *front;
	uint32_t number;
	bool implicit_tls;
	uint8_t plaintext; /* as in message FRONT_LISTENER */
};

/* A channel of which there is one: monitor or auth. fd -1: there is none. */
struct link {
	struct source source;
	struct front *front;
};

struct front {
	struct loop *loop;
	struct link monitor;
	struct link auth;

	bool is_set_up;
	bool has_auth; /* a channel to it has come: from then on connections are served */
	uint64_t incarnation;
	uint32_t index;
	uint32_t uid;
	int empty_dir;
	char hostname[256];
	char implementation[129];
	struct front_options *options; /* NULL until they came */
	struct tls_context *tls;       /* NULL: none */
	struct peers peers;

	struct listener *listeners[FRONT_LISTENERS_MAX];
	size_t listeners_n;
	struct timer pause; /* no descriptors: no accepting until it fires */
	bool is_full;	    /* every place here is taken */
	bool told_full;	    /* what the monitor knows of it */
	bool all_full;	    /* every front is: refuse with an answer */
	bool is_draining;
	bool is_spent; /* the one session of this front has begun */
	struct timer drain;
	bool drain_is_over;
	bool has_ended;
	int status; /* of the process, once it has ended */

	/* Connections by place; a session number is its place and a count (conn.h). */
	struct conn **conns;
	uint32_t *vacant; /* places, a stack */
	uint32_t vacant_n;
	uint32_t sessions_max;
	uint32_t conns_n;
	uint64_t sessions_begun;

	/* Read-ahead descriptors: how many there may be, are, and who used theirs last.
	 */
	uint32_t ahead_max, ahead_n;
	struct transfer *ahead_oldest, *ahead_newest;

	const struct dot_kernel *dot;
	/* What a connection works with while it has its turn; nothing stays in them. */
	struct received rx;
	uint8_t msg[MESSAGE_OCTETS_MAX];
	uint8_t scratch[SESSION_SCRATCH];
	uint8_t in[FRONT_IN_OCTETS];
	uint8_t block[FRONT_BLOCK_OCTETS];
	uint8_t out[FRONT_OUT_OCTETS];
};

/* ---- main.c ---- */
/* The process ends with this status after the round. */
void front_end(struct front *f, int status);

/* ---- monitor_link.c ---- */
/* Waits for the first message, which must be the set-up. 0 or -errno. */
[[nodiscard]] int monitor_read_setup(struct front *f);
[[nodiscard]] int monitor_start(struct front *f);
void monitor_send_ready(struct front *f, uint32_t cage);
/* Tells the monitor what is_full says, if it does not know it; now or when there is room.
 */
void monitor_tell_full(struct front *f);

/* ---- options.c ---- */
/* Message FRONT_OPTIONS: in force for connections from now on. False: malformed. */
[[nodiscard]] bool options_take(struct front *f, struct view payload, struct received *r);
struct front_options *front_options_ref(struct front_options *o);
void front_options_unref(struct front_options **o);

/* ---- accept.c ---- */
/* Takes the descriptor. 0 or -errno (then it is closed). */
[[nodiscard]] int accept_add(struct front *f, int fd, const struct msg_front_listener *m);
/* Listens, or not, as the places, the monitor and a drain want it. */
void accept_update(struct front *f);
void accept_close_all(struct front *f);
/* The monitor took this listener out of the configuration. */
void accept_gone(struct front *f, uint32_t number);
/* A connection has ended. */
void accept_place_free(struct front *f);
void accept_pause_init(struct front *f);

/* ---- auth_link.c ---- */
void auth_start(struct front *f, int take_fd);
/* Asks auth; false: the session was told why not, and goes on. */
[[nodiscard]] bool auth_ask(struct conn *c);
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
/* Adds to the counters what the session counted since the last time. */
void report_counts(struct conn *c);

#endif
