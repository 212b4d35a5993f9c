/*
 * core.h: what is answered to a login. Pure but for what libcrypto computes: no system
 * call, no allocation, no clock of its own.
 *
 * A login of an unknown name, of a user that cannot log in, and of one with a wrong
 * password go the same way: one look-up, one MAC, one look into the cache, one hash (the
 * user's, or the dummy of that name), one answer.
 */
#ifndef AUTH_CORE_H
#define AUTH_CORE_H

#include "auth/cache.h"
#include "auth/queue.h"
#include "auth/users.h"
#include "ipc/message.h"
#include "ipc/permit.h"

struct auth_front;

/* One question of one session, from LOGIN to the answer. Wiped when it is freed. */
struct attempt {
	struct queue_item item; /* first */
	struct auth_front *front;
	uint64_t session;
	uint8_t mechanism, tls;
	uint8_t address[16];
	uint16_t port;
	unsigned rounds;	    /* how often it was held for the users file */
	struct view name, response; /* within octets */
	struct view password;	    /* within response */
	const char *reason;	    /* for the log, where it is refused */
	enum refusal code;
	bool known;	  /* the name stands in the file */
	bool may_succeed; /* else it is checked for the time it takes */
	bool delivers;	  /* a LOOKUP: whose maildrop is that of `name`? */
	struct user user; /* to be granted; `stored` is what is checked, maybe a dummy */
	uint8_t mac[MAC_OCTETS];
	enum scheme_answer answer;
	size_t octets_n;
	uint8_t octets[];
};

struct core {
	const struct users *users; /* NULL: none could be read */
	const uint8_t *cache_key;  /* 32 octets */
	uint8_t delimiter;	   /* of recipients; 0: none */
	struct cache *cache;
};

enum core_step {
	CORE_CHECK, /* cheap: scheme_verify now, then core_settle */
	CORE_QUEUE, /* slow: on a thread, then core_settle */
	CORE_GRANT,
	CORE_REFUSE, /* attempt's code and reason */
};

/* A LOGIN that a front may send: address whole, mechanism known. Else a protocol fault.
 */
[[nodiscard]] bool core_login_is_valid(const struct msg_login *m);
/* Octets that an attempt needs behind itself. */
size_t core_attempt_octets(const struct msg_login *m);
/* a is zeroed, with octets_n octets; the message is copied into it. */
void core_attempt_init(
	struct attempt *a, struct auth_front *front, const struct msg_login *m);
/* The same for a LOOKUP, whose name needs name.n octets. */
void core_attempt_lookup(
	struct attempt *a, struct auth_front *front, const struct msg_lookup *m);
/* Sets a refusal. */
enum core_step core_refuse(struct attempt *a, enum refusal code, const char *reason);

[[nodiscard]] enum core_step core_start(
	struct core *c, struct attempt *a, uint64_t now_ms);
/* The check is done: a->answer. CORE_GRANT or CORE_REFUSE. */
[[nodiscard]] enum core_step core_settle(
	struct core *c, struct attempt *a, uint64_t now_ms);
/* The answer to a LOOKUP: CORE_GRANT or CORE_REFUSE. */
[[nodiscard]] enum core_step core_lookup(const struct core *c, struct attempt *a);
/* What the monitor is told. The views borrow from the attempt. */
struct msg_grant core_grant(const struct attempt *a, uint64_t incarnation);

#endif
