/*
 * chain.h: the databases in their order, and what their helpers may answer. Pure.
 *
 * The first database that knows a name decides. One that does not answer decides too: the
 * login fails for now and no later one is asked, so that a dead database never changes
 * who somebody is.
 */
#ifndef AUTH_CHAIN_H
#define AUTH_CHAIN_H

#include "auth/users_line.h"
#include "ipc/permit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAIN_MAX 5

struct chain {
	uint8_t backends[CHAIN_MAX]; /* enum backend, each once */
	size_t n;
};

/* As AUTH_SETUP says it. False: a number that is no database, twice one, or too many. */
[[nodiscard]] bool chain_set(struct chain *c, struct view databases);
/* What passwords in these forms (bits of enum stored_form) can serve. */
uint32_t chain_stored_mechanisms(uint8_t forms);
bool chain_has(const struct chain *c, enum backend backend);
/* True: a line of it may carry a hash, which auth then checks itself. */
bool chain_shows_hashes(enum backend backend);
/* The mechanisms that such a database serves without a hash in sight. */
uint32_t chain_mechanisms(enum backend backend);
/* "sql" */
const char *chain_name(unsigned backend);
/* What a helper may answer to that question; anything else breaks the protocol. */
bool chain_may_answer(enum ask_kind kind, unsigned outcome);

enum chain_line {
	CHAIN_USER,	  /* *ret is the user, and may succeed */
	CHAIN_CANNOT,	  /* he is there, but cannot log in: *ret_fault */
	CHAIN_OTHER_NAME, /* the line is not that of the name that was asked for */
};

/*
 * The line of an ANSWER. checked: it answers ASK_VERIFY (an empty password means that the
 * helper found it right) or no password was asked for.
 */
[[nodiscard]] enum chain_line chain_read(struct view line, struct view asked,
	const struct users_options *options, struct user *ret,
	enum users_fault *ret_fault);

#endif
