/*
 * lmtpd.h: the LMTP process as a value: its loop, its channels, its connections. One
 * thread; everything hangs on struct lmtpd.
 *
 *     main.c, core.c   the start-up checklist; what is decided (pure)
 *     lmtpd_monitor.c  what the monitor hands over, at start and later
 *     lmtpd_accept.c   listening sockets, limits, networks
 *     lookup.c         questions to auth, their numbers, and the answers
 *     lmtpd_target.c   one recipient: its way to its keeper
 *     lmtp_spool.c     one message while it is received
 *     mta.c, mta_*.c   one connection of an MTA
 *     lmtpd_report.c   log lines and counters
 */
#ifndef LMTPD_LMTPD_H
#define LMTPD_LMTPD_H

#include "ipc/channel.h"
#include "ipc/message.h"
#include "lmtpd/core.h"
#include "os/loop.h"
#include "wire/lmtp_server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LMTPD_LISTENERS_MAX   64U
#define LMTPD_CONNECTIONS_MAX 65536U
#define LMTPD_ASKS_MAX	      65536U /* questions, and ways to keepers, at a time */
#define LMTPD_READ_OCTETS     131072U
#define LMTPD_GATHER_OCTETS   131072U /* of a message, before they are written */
#define LMTPD_OUT_OCTETS      65536U
#define LMTPD_NETWORKS_OCTETS 544U

#define CONTAINER_OF(p, type, member)                                                    \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

struct mta;
struct target;

struct lmtp_listener {
	struct source source;
	struct lmtpd *lmtpd;
	uint32_t number;
	bool is_local;
};

/*
 * A number that was given away (SESSION_COUNT_BIT of permit.h), by its place: a question
 * about a recipient and then the way to its keeper, or (target NULL) a question for a
 * file. number 0: the place is vacant.
 */
struct ask {
	uint64_t number;
	struct mta *mta;
	struct target *target;
};

struct lmtpd {
	struct loop *loop;
	struct source monitor, auth; /* auth.fd -1: there is none */
	bool has_auth;		     /* there was one: from then on MTAs are served */
	bool auth_is_full;	     /* somebody waits for room in its channel */
	uint64_t monitor_ms;	     /* when messages of the monitor came last, */
	uint32_t monitor_burst;	     /* and how many are taken at once */

	/* LMTP_SETUP */
	uint64_t incarnation;
	uint32_t uid;
	uint32_t connections_max;
	uint64_t timeout_ms;
	uint64_t spool_memory, spool_total;
	struct lmtp_limits limits;
	uint8_t networks[LMTPD_NETWORKS_OCTETS];
	size_t networks_n;
	char hostname[256];
	int empty_dir;

	struct lmtp_listener *listeners[LMTPD_LISTENERS_MAX];
	size_t listeners_n;
	struct timer pause; /* no descriptors: no accepting until it fires */
	struct timer alone; /* auth's channel was lost, and no other came yet */
	struct timer drain;
	bool is_draining, has_ended;
	int status; /* of the process, once it has ended */

	struct mta *mtas; /* a list */
	uint32_t mtas_n;
	struct ask *asks;
	uint32_t *vacant; /* places, a stack */
	uint32_t vacant_n, asks_max;
	uint64_t asks_begun;
	uint64_t spooled; /* octets of all messages that are being received */

	/* What a connection works with while it has its turn; nothing stays in them. */
	struct received rx;
	struct lmtp_server ahead; /* of RCPT commands that are foretold */
	uint8_t msg[MESSAGE_OCTETS_MAX];
	uint8_t in[LMTPD_READ_OCTETS];
	uint8_t gather[LMTPD_GATHER_OCTETS];
	uint8_t out[LMTPD_OUT_OCTETS];
};

/* ---- main.c ---- */
/* The process ends with this status after the round. */
void lmtpd_end(struct lmtpd *l, int status);

/* ---- lmtpd_monitor.c ---- */
/* Waits for the first message, which must be the set-up. 0 or -errno. */
[[nodiscard]] int lmtpd_monitor_setup(struct lmtpd *l);
[[nodiscard]] int lmtpd_monitor_start(struct lmtpd *l);
/* Asks for a file for the message of this connection. 0 or -errno. */
[[nodiscard]] int lmtpd_monitor_ask_file(struct lmtpd *l, uint64_t number);
/* Takes no more connections, ends what was begun, and then the process. */
void lmtpd_drain(struct lmtpd *l, uint64_t most_ms);

/* ---- lmtpd_accept.c ---- */
void lmtpd_accept_init(struct lmtpd *l);
/* Takes the descriptor. 0 or -errno (then it is closed). */
[[nodiscard]] int lmtpd_listen(
	struct lmtpd *l, int take_fd, const struct msg_lmtp_listener *m);
/* Listens, or not, as auth, a pause and a drain want it. */
void lmtpd_accept_update(struct lmtpd *l);
void lmtpd_accept_gone(struct lmtpd *l, uint32_t number);
void lmtpd_accept_close_all(struct lmtpd *l);

/* ---- lookup.c ---- */
/* Takes the channel to auth; what the one before was asked fails for now. */
void lookup_start(struct lmtpd *l, int take_fd);
/* 0, or -EAGAIN: once there is room, mta_auth_has_room is called; -EBUSY, or -errno. */
[[nodiscard]] int lookup_ask(struct lmtpd *l, struct target *t);
/* A number that was never used before; 0: too many are in use. */
uint64_t ask_new(struct lmtpd *l, struct mta *m, struct target *t);
/* Who it was given to; NULL: nobody waits for it any more. */
struct ask *ask_find(const struct lmtpd *l, uint64_t number);
/* The number is used no more. 0 is none, and left alone. */
void ask_free(struct lmtpd *l, uint64_t number);

/* ---- lmtpd_report.c ---- */
/* err: -errno, or 0: a warning. */
void report_error(const char *event, const char *what, int err);
void report_fault(const char *peer, uint16_t number, const char *what);
void report_start(const struct lmtpd *l, uint32_t cage);
void report_connect_refused(const uint8_t *address, const char *why);
void report_recipient(const struct mta *m, const struct recipient *r);
void report_outcome(const struct mta *m, const struct recipient *r);
void report_message(const struct mta *m);
void report_bye(const struct mta *m);

#endif
