/*
 * evil_front.h: what the attacks of a front that was taken over have in common.
 * evil_front.c has those on the system, on mail and on the monitor; evil_front_words.c
 * those on auth, keys and the table of sessions.
 */
#ifndef EVIL_FRONT_H
#define EVIL_FRONT_H

#include "evil.h"

#define LISTENERS_MAX 8

struct evil_front {
	uint64_t incarnation, session;
	uint32_t uid;
	int empty_dir, auth, keys, who;
	int listeners[LISTENERS_MAX], peers[MESSAGE_FDS_MAX];
	size_t listeners_n, peers_n;
	int mail;	     /* the current session's channel, or -1 */
	uint32_t count;	     /* of its messages */
	int slice;	     /* a message of it, or -1 */
	uint32_t generation; /* of certificates, as the monitor said last */
};

extern struct evil_front evil;
extern struct received got;

struct attack {
	const char *name;
	const char *(*run)(char *a, char *b);
};

#define ATTACK(name)                                                                     \
	static const char *name([[maybe_unused]] char *a, [[maybe_unused]] char *b)

/* Ends with a row without a name. */
extern const struct attack evil_words[];

/* In the form that an honest front's have, so that only the attack is wrong with it. */
uint64_t evil_session(void);
/* 0: auth said no; 1: attached; -1: neither within ms. */
int evil_answer(int ms);
/* After a grant: reads the snapshot; the text says how it ended. */
const char *evil_snapshot(void);
const char *evil_counted(unsigned long n);

#endif
