/*
 * defence.h: who fails too often, and who is known. Tables with a limit, under a keyed
 * hash, the oldest of a set makes room; that of those who are known grows with the users.
 *
 * A network is an IPv4 address or an IPv6 /64. Failures of a network make its own next
 * answers wait, doubling; failures of an account (from many networks) make answers to
 * networks wait from which that account never logged in. A network from which an account
 * logged in within the last 30 days is known for it, and its right password is neither
 * delayed nor put behind others. Nothing here ever refuses a right password: it delays
 * wrong answers, and says in which order passwords are hashed.
 */
#ifndef AUTH_DEFENCE_H
#define AUTH_DEFENCE_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct defence; /* some MiB, whatever happens */

struct defence_options {
	uint32_t failure_delay_ms; /* of the first failure */
	bool growing;
	uint32_t logins_burst; /* of one user, before his logins a minute count */
	struct view trusted;   /* networks of 17 octets; copied */
};

struct defence *defence_new(const struct defence_options *o, const uint8_t key[16]);
void defence_free(struct defence **d);

enum defence_lane {
	DEFENCE_KNOWN,	 /* hashed first */
	DEFENCE_UNKNOWN, /* then these */
	DEFENCE_STRANGE, /* of an account that many guess at, from where nobody did yet */
	DEFENCE_SUSPECT, /* and these last; one at a time of a network */
	DEFENCE_LANES,
};
/* Before a slow hash. */
enum defence_lane defence_lane(const struct defence *d, const uint8_t address[16],
	struct view name, uint64_t now_ms);
/* A wrong answer: after how many ms it is to be given. known: the account exists. */
uint32_t defence_failed(
	struct defence *d, const uint8_t address[16], struct view name, uint64_t now_ms);
/*
 * There was no room to check it: after how many ms that is to be said. As the
 * failures of the network are, so that asking again and again costs the server nothing;
 * but nothing is counted, for it may have been right.
 */
uint32_t defence_unchecked(const struct defence *d, const uint8_t address[16],
	struct view name, uint64_t now_ms);
/*
 * A conversation for which keys were derived, and that nobody went on with. It counts
 * against its network alone: nobody said anything about the account.
 */
void defence_abandoned(struct defence *d, const uint8_t address[16], uint64_t now_ms);
/*
 * A right one: the pair is known from now on. False: more than logins_per_minute (of that
 * user; 0: no limit).
 */
[[nodiscard]] bool defence_succeeded(struct defence *d, const uint8_t address[16],
	struct view name, uint32_t logins_per_minute, uint64_t now_ms);
/* For `restante why`: failures that count of the network and of the account. */
void defence_look(const struct defence *d, const uint8_t address[16], struct view name,
	uint64_t now_ms, uint32_t *ret_network, uint32_t *ret_account, bool *ret_known);

#endif
