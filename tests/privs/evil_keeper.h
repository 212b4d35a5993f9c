/*
 * evil_keeper.h: lies of a keeper that need more than a changed number: a row each in
 * evil_keeper_lies.c, by the name of the user.
 */
#ifndef EVIL_KEEPER_H
#define EVIL_KEEPER_H

#include "evil.h"

struct keeper_lie {
	const char *name;
	/* What is done at each event in place of the usual; NULL: the usual. */
	void (*begin)(int fd);
	void (*want)(int fd);
	void (*fetch)(int fd, const struct msg_fetch *asked);
	void (*verdict)(int fd);
};
/* NULL: none of that name. */
const struct keeper_lie *keeper_lie_of(const char *name);
/* The usual: a snapshot of two messages of 100 octets. */
void keeper_snapshot(int fd);

#endif
