/*
 * krb5_replay.h: authenticators that were seen (RFC 4120 s.3.2.3). Pure.
 *
 * What is remembered of one is a hash of server, client, time and microseconds. That two
 * are taken for one costs a try; that one is taken for two cannot be.
 */
#ifndef HELPER_KRB5_REPLAY_H
#define HELPER_KRB5_REPLAY_H

#include "pop3/view.h"

#include <stddef.h>
#include <stdint.h>

#define KRB5_REPLAYS_MAX 16384
#define KRB5_SKEW_S	 300

struct krb5_replay {
	uint64_t hash, until_s;
};

struct krb5_replays {
	struct krb5_replay of[KRB5_REPLAYS_MAX];
	size_t n;
};

enum krb5_seen {
	KRB5_NEW, /* and remembered */
	KRB5_SEEN,
	KRB5_NO_ROOM
};

uint64_t krb5_replay_hash(
	struct view server, struct view client, uint64_t seconds, uint32_t microseconds);
/* stamp_s: the authenticator's own time. */
enum krb5_seen krb5_replay_add(
	struct krb5_replays *r, uint64_t hash, uint64_t stamp_s, uint64_t now_s);

#endif
