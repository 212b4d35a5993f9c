/*
 * front_state.h: the state of a front process.
 */
#ifndef FRONT_FRONT_STATE_H
#define FRONT_FRONT_STATE_H

#include "front/deny.h"
#include "front/front_sizes.h"
#include "front/keys_link.h"
#include "front/peers.h"
#include "front/rules.h"
#include "front/session.h"
#include "ipc/channel.h"
#include "ipc/message.h"
#include "os/loop.h"
#include "os/tls_server.h"
#include "pop3/dot.h"
#include "wire/kpop.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct options_told;
struct transfer;
struct who_row;

#define CONTAINER_OF(p, type, member)                                                    \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

/* One version of the options; counted, a session keeps the one that it began with. */
struct front_options {
	uint32_t refs;
	struct session_options session;
	uint32_t connections_per_address;
	bool mark_seen;
	uint8_t hostname[255];
};

struct listener {
	struct source source;
	struct front *front;
	struct rules *rules;
	struct channel_pace pace; /* of connections that are accepted at once */
};

/* The table of sessions for `restante who`; rows 0: none. */
struct who_table {
	struct who_row *map;
	uint32_t rows;
	uint32_t *vacant; /* rows, a stack */
	uint32_t vacant_n;
};

#define FRONT_IDS 64U

/* A channel of which there is one: monitor or auth. fd -1: there is none. */
struct link {
	struct source source;
	struct front *front;
	struct channel_pace pace;
};

struct front {
	struct loop *loop;
	struct link monitor;
	struct link auth;

	bool has_auth; /* a channel to it has come: from then on connections are served */
	uint64_t incarnation;
	uint32_t index;
	uint32_t uid;
	int empty_dir;
	char implementation[129];
	struct front_options *options; /* NULL until they came */
	struct options_told *told;     /* of which `options` were made */
	struct offer offer;
	uint32_t auth_epoch;	 /* a conversation with an auth that has ended is over */
	struct tls_context *tls; /* NULL: none */
	struct tls_setup *tls_setup; /* the next one, while its certificates come */
	bool has_certificates;	     /* some were given, of use or not */
	uint32_t tls_generation;     /* what became of which, for the monitor */
	bool tls_taken, tls_untold;
	struct tls_signer *signer;
	struct keys_link keys;
	struct peers peers;
	struct deny deny;
	struct who_table who;
	uint64_t away_logged_ms[AWAY_KINDS];
	uint64_t connections_begun;
	uint32_t ids[FRONT_IDS]; /* random, each for one LOGIN */
	uint32_t ids_n;

	struct listener *listeners[FRONT_LISTENERS_MAX];
	size_t listeners_n;
	struct timer pause; /* no descriptors: no accepting until it fires */
	bool is_full;	    /* every place here is taken */
	bool told_full;	    /* what the monitor knows of it */
	struct timer tell;  /* it was told a moment ago: not again until it fires */
	bool all_full;	    /* every front is: refuse with an answer */
	bool is_draining;
	bool is_spent;	    /* the one session of this front has begun */
	struct timer alone; /* auth's channel was lost, and no other came yet */
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

	/*
	 * Descriptors of slices and pieces: how many there may be, are, who used theirs
	 * last, who waits for one (by enum budget_kind), and when to call those.
	 */
	uint32_t ahead_max, ahead_n;
	struct transfer *ahead_oldest, *ahead_newest;
	struct {
		struct transfer *first, *last;
	} waiting[2];
	struct timer call;

	const struct dot_kernel *dot;
	/* What a connection works with while it has its turn; nothing stays in them. */
	struct received rx;
	uint8_t msg[MESSAGE_OCTETS_MAX];
	uint8_t scratch[SESSION_SCRATCH];
	uint8_t in[FRONT_IN_OCTETS];
	/*
	 * Encoders load 64 octets at once. And some processors copy five times slower to
	 * where a page begins and a few octets (that is where files come from).
	 */
	alignas(64) uint8_t block[FRONT_BLOCK_OCTETS];
	alignas(64) uint8_t out[FRONT_OUT_OCTETS];
	struct stream_room room; /* records */
	uint8_t records[FRONT_RECORDS_OCTETS];
};

#endif
