/*
 * refusals.h: the last refused logins, by the id that the client was told (`restante
 * why`). Pure; a ring of fixed size. A refusal says nothing more to who does not hold the
 * operator's socket.
 */
#ifndef AUTH_REFUSALS_H
#define AUTH_REFUSALS_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REFUSALS_MAX	  8192
#define REFUSALS_NAME_MAX 64

struct refusal_record {
	uint64_t at_unix_s;
	uint64_t front; /* incarnation: the id is that front's word */
	uint32_t id;
	uint8_t code;	    /* enum refusal */
	uint8_t mechanism;  /* enum mechanism */
	uint8_t name_n;	    /* 0: of an unknown user, whose name is not kept */
	const char *reason; /* static text */
	uint8_t address[16];
	uint8_t name[REFUSALS_NAME_MAX]; /* cut off where longer */
};

struct refusals; /* calloc'ed by refusals_new */
struct refusals *refusals_new(void);
void refusals_put(struct refusals *r, const struct refusal_record *record);
/* The newest of this id, or NULL. */
const struct refusal_record *refusals_find(const struct refusals *r, uint32_t id);
/* The newest but `skip` of this name, or NULL. */
const struct refusal_record *refusals_of(
	const struct refusals *r, struct view name, size_t skip);

#endif
