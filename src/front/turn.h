/*
 * turn.h: one turn of a connection: a few steps, and what they come to.
 */
#ifndef FRONT_TURN_H
#define FRONT_TURN_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a step of a connection comes to. */
enum step {
	STEP_GO,    /* the next step can be made at once */
	STEP_WAIT,  /* something must happen first */
	STEP_YIELD, /* it can go on, but others come first */
	STEP_DEAD,  /* nothing more to do: conn.c frees it */
};

/* One turn of a connection. */
struct turn {
	struct buf out;
	struct view in;
	bool readable; /* the socket has something that was not read in this turn */
	bool yields;
	uint32_t steps;
	size_t sent;
	size_t in_used; /* octets of front->in that were filled */
};

enum io {
	IO_OK,
	IO_WAIT,
	IO_END, /* the client has closed its side */
	IO_LOST,
};

#endif
