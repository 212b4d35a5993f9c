/*
 * auth.h: the state of the process. auth_parts.h says what its parts do.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "auth/apop.h"
#include "auth/core.h"
#include "auth/pool.h"
#include "auth/refusals.h"
#include "auth/sessions.h"
#include "auth/unseen.h"
#include "auth/watch.h"
#include "ipc/channel.h"
#include "ipc/log.h"
#include "os/loop.h"
#include "stat/stat.h"

#define FRONTS_MAX 256
/* Octets of answers that a front has not taken yet; it is not read while there are any.
 */
#define FRONT_UNSENT_MAX ((size_t)8 << 20)
/* Permits that the monitor has not taken yet; one front has at most half of them. */
#define GRANTS_UNSENT_MAX 4096
/* Messages read from one channel before the others are looked at. */
#define MESSAGES_A_TURN 32
/* Conversations whose client is to answer; beyond it the oldest one ends. */
#define TALKS_MAX	  8192
#define TALKS_A_FRONT_MAX 2048
#define TALK_BUCKETS	  256
#define TALK_TICK_MS	  1000
#define HELPERS_MAX	  64
/* Questions that one process of a helper has before it answers; and with conversations.
 */
#define HELPER_ASKED_MAX 4
#define HELPER_SLOTS	 16
#define WHYS_MAX	 16

struct loading;

/* A message that did not fit into a channel. */
struct unsent {
	struct unsent *next;
	size_t n;
	uint8_t octets[];
};

struct auth_front {
	struct source source; /* first; fd -1 once it is gone */
	struct channel_pace pace;
	struct auth *auth;
	struct auth_front *next;
	uint64_t incarnation;
	bool delivers;	 /* it is lmtpd */
	uint8_t asserts; /* bits of enum assertion */
	struct sessions sessions;
	struct queue_lane lanes[DEFENCE_LANES], held_lane;
	struct queue_lane helper_lanes[BACKENDS_END][DEFENCE_LANES];
	struct attempt_list spoken;
	struct attempt *talks[TALK_BUCKETS]; /* the same, by session */
	size_t attempts; /* alive, or permits unsent; the memory stays until there are
			    none */
	size_t grants_unsent;
	struct unsent *unsent_first, *unsent_last;
	size_t unsent_octets;
	struct msg_auth_offer offered;
};

/* A message for the monitor that did not fit into its channel. */
struct outgoing {
	struct outgoing *next;
	struct auth_front *front; /* whose permit it is; NULL: another message */
	size_t n;
	uint8_t octets[];
};

struct helper_slot {
	uint64_t question;	 /* 0: free */
	struct attempt *attempt; /* NULL: it is no longer wanted */
	bool late;
};

/* One process of a helper. */
struct helper_link {
	struct source source; /* first; fd -1 once it is gone */
	struct auth *auth;
	struct helper_link *next;
	uint64_t incarnation;
	uint32_t instance;
	uint8_t backend;
	struct helper_slot slots[HELPER_SLOTS];
	size_t asked;
};

/* Who waits for a helper that is free. */
struct helper_waiting {
	struct queue queues[DEFENCE_LANES];
	unsigned turns[DEFENCE_LANES]; /* taken of it while a worse one waited */
};

struct auth {
	struct loop *loop;
	struct source monitor, hashed, loaded, control;
	struct outgoing *out_first, *out_last;
	size_t out_n;
	struct auth_front *fronts;
	size_t fronts_n;
	struct pool *pool;
	struct core core;
	struct cache *cache;
	struct unseen *unseen;
	struct refusals *refusals;
	struct sasl *sasl;
	struct apop *apop;
	uint8_t cache_key[32], users_key[32], apop_key[32], defence_key[16];
	uint8_t dummy_key[32]; /* out of the key of the salts, and as long-lived */
	/* the users file */
	struct users *users;
	struct users_options options;
	uint8_t maildrop[1024], users_name[1024];
	size_t users_name_n;
	int users_fd;
	int next_users_fd; /* came while another was being loaded */
	struct watch watch;
	struct timer watch_timer;
	struct loading *loading;
	struct queue held;
	bool users_settled; /* a file was read, or could not be: offers can be made */
	/* helpers */
	struct helper_link *helpers;
	size_t helpers_n;
	struct helper_waiting waiting[BACKENDS_END];
	struct queue_lane why_lanes[BACKENDS_END], why_held_lane;
	struct attempt_list asking;
	struct timer ask_timer, talk_timer;
	uint64_t questions, talks; /* the last number that was given */
	uint32_t helper_timeout_ms;
	uint64_t talk_ms;	  /* for one answer of a client */
	uint32_t seen_mechanisms; /* of passwords that helpers' lines held */
	struct msg_auth_offer offer;
	size_t spoken_n, whys_n;
	bool log_unknown_names, fail2ban;
	uint64_t busy_logged_ms, helper_logged_ms;
	struct received *received;
};

#endif
