/*
 * core.h: what is answered to a login. Pure but for what libcrypto computes: no system
 * call, no allocation, no clock of its own.
 *
 * An attempt is one login as a small state machine: sasl.h says what must be known next,
 * the databases are asked for it, and what they know goes back to sasl.h, until there is
 * a yes or a no. A login of an unknown name, of a user that cannot log in, and of one
 * with a wrong password go the same way: one walk, one MAC, one look into the cache, one
 * hash (the user's, or the dummy of that name), one answer.
 */
#ifndef AUTH_CORE_H
#define AUTH_CORE_H

#include "auth/attempt.h"
#include "auth/cache.h"
#include "auth/chain.h"
#include "auth/defence.h"
#include "auth/users.h"
#include "ipc/message.h"

struct core {
	const struct users *users; /* NULL: none could be read */
	struct mac *cache_mac;	   /* under the key of the cache */
	uint8_t delimiter;	   /* of recipients; 0: none */
	struct cache *cache;
	struct chain chain;
	struct defence *defence;
	/* Of answers lately; in place of the file's is what nobody knows better. */
	struct census census[BACKENDS_END];
	uint8_t stores[BACKENDS_END]; /* bits of enum stored_form; 0: not said */
	uint32_t logins_per_minute, login_delay_s, expire_days, connections;
};

enum core_step {
	CORE_SAY,    /* CHALLENGE with what sasl.h gave */
	CORE_WALK,   /* ask the databases, from a->database on */
	CORE_TOKEN,  /* ask the helper of tokens */
	CORE_TICKET, /* ask the helper of tickets */
	CORE_ANSWER, /* a->answer is settled: sasl_checked */
	CORE_CHECK,  /* cheap: scheme_verify now, then core_settle */
	CORE_QUEUE,  /* slow: on a thread, then core_settle */
	CORE_USER,   /* sasl_user with a->user */
	CORE_DERIVE, /* sasl_derive on a thread, then sasl_derived */
	CORE_GRANT,
	CORE_REFUSE, /* attempt's code and reason */
	CORE_WAIT,   /* somebody else goes on with it */
};

/* A LOGIN that a front may send: address whole, mechanism known. Else a protocol fault.
 */
[[nodiscard]] bool core_login_is_valid(const struct msg_login *m);
/* a is zeroed. */
void core_attempt_init(
	struct attempt *a, struct auth_front *front, const struct msg_login *m);
/* The same for a LOOKUP; a has m->name.n + 1 octets behind itself. */
void core_attempt_lookup(
	struct attempt *a, struct auth_front *front, const struct msg_lookup *m);
/* Sets a refusal. */
enum core_step core_refuse(struct attempt *a, enum refusal code, const char *reason);

/* What sasl.h wants next. */
[[nodiscard]] enum core_step core_act(struct attempt *a, const struct sasl_result *r);

enum core_file {
	CORE_FILE_HAS, /* the walk is over: core_found */
	CORE_FILE_NOT, /* the next database is to be asked */
};
/* The users file's turn in the walk; core.users is there. */
[[nodiscard]] enum core_file core_ask_file(const struct core *c, struct attempt *a);
/* A helper's FOUND. False: the line is not of the name asked for. */
[[nodiscard]] bool core_take_line(struct core *c, struct attempt *a, struct view line,
	const struct users_options *options);
/* The walk is over. number: a keyed hash of the name, for the dummy. */
[[nodiscard]] enum core_step core_found(
	struct core *c, struct attempt *a, uint64_t number, uint64_t now_ms);
/* The hash is computed: a->answer becomes the one for sasl_checked. */
void core_settle(struct core *c, struct attempt *a, uint64_t now_ms);
/* The name that the database is to be asked for; false: there is no such variant. */
[[nodiscard]] bool core_asked_name(
	const struct core *c, const struct attempt *a, struct buf *out);
/* He is who he says: policy, and the bucket of his logins. CORE_GRANT or CORE_REFUSE. */
[[nodiscard]] enum core_step core_permit(
	struct core *c, struct attempt *a, uint64_t now_ms);
/* What the monitor is told. The views borrow from the attempt. */
struct msg_grant core_grant(
	const struct core *c, const struct attempt *a, uint64_t incarnation);
/* The key under which an answer that only a helper can give is remembered. */
[[nodiscard]] bool core_unseen_mac(const struct core *c, const struct attempt *a,
	uint8_t backend, uint8_t ret[MAC_OCTETS]);

/* ---- core_list.c ---- */
void attempts_add(struct attempt_list *l, struct attempt *a, uint64_t deadline_ms);
void attempts_remove(struct attempt *a); /* nothing where it stands in none */

/* ---- core_offer.c ---- */
/* helpers: bit i: helper i (enum backend) is there. seen: mechanisms of their lines. */
struct msg_auth_offer core_offer(const struct core *c, uint32_t helpers, uint32_t seen);
/* What is offered on a front that may assert so. */
uint32_t core_offer_for(uint32_t mechanisms, uint8_t asserts);

#endif
