/*
 * sim_ledger.h: what must be true, kept apart from the programs: which message was
 * delivered with a yes, who marked it, whose QUIT was answered.
 */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DROPS	     4
#define DROPS_SHARED 3 /* clients read these; the last one is the retriever's */

enum place_state {
	PLACE_NONE,
	PLACE_TRIED,   /* handed in; no answer */
	PLACE_SURE,    /* answered with a yes */
	PLACE_REFUSED, /* answered with a no */
};

struct place {
	enum place_state state;
	bool marked; /* a client that marked it has said QUIT */
	bool gone;   /* ... and had its +OK */
	uint64_t sure_ns, gone_ns;
	char uidl[80]; /* once seen */
	uint32_t seen; /* at the end: how often */
};

struct letter {
	struct letter *next;
	uint32_t tag;
	uint8_t *octets; /* as it travels, without stuffing */
	size_t n;
	struct place at[DROPS];
};

struct letter *ledger_new(void);
struct letter *ledger_find(uint32_t tag);
struct letter *ledger_first(void);
/* The tag in a message's octets; 0: none. */
uint32_t ledger_tag(const uint8_t *p, size_t n);
/* From "/mail/u1/Maildir/new" or "u1/Maildir": 1; -1: none. */
int ledger_drop_of(const char *path);
/* A file of this directory loses its last name. */
void ledger_unlinked(const char *dir, const uint8_t *p, size_t n);
/* QUIT was said with this mark; it was answered with +OK. */
void ledger_marked(uint32_t tag, int drop);
void ledger_gone(uint32_t tag, int drop);
/* Somebody read it whole, under this UIDL, in a session that began to log in then. */
void ledger_read(
	int drop, const char *uidl, const uint8_t *p, size_t n, uint64_t since_ns);
/* Whose UIDL this is in that maildrop, as far as is known. */
struct letter *ledger_by_uidl(int drop, const char *uidl);
/* From here on it is counted how often each is read. */
void ledger_open(int drop);
/*
 * A session that began to log in then sees these UIDLs: none may lack of what was there
 * for sure before.
 */
void ledger_listed(int drop, char (*uidls)[80], size_t n, uint64_t since_ns);
/* Handed in for this maildrop; and what was answered. */
void ledger_tried(struct letter *l, int drop);
void ledger_answered(struct letter *l, int drop, bool yes);
/* At rest: what the retriever collected, and what it left. */
void ledger_collected(void);
/* At rest: every message was read by now as often as it must be. */
void ledger_close(int drop);
/* The numbers so far: for the last line. */
void ledger_count(uint32_t *ret_sure, uint32_t *ret_gone, uint32_t *ret_letters);

#endif
