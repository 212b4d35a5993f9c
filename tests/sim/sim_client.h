/* sim_client.h: one client of POP3, for its own files. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "sim_actor.h"
#include "sim_ledger.h"

#define ASKED_MAX    64
#define MESSAGES_MAX 512

enum ask {
	ASK_GREETING,
	ASK_CAPA,
	ASK_USER,
	ASK_PASS,
	ASK_STAT,
	ASK_LIST,
	ASK_UIDL,
	ASK_RETR,
	ASK_TOP,
	ASK_DELE,
	ASK_NOOP,
	ASK_RSET,
	ASK_LIST_ONE,
	ASK_BAD,
	ASK_QUIT,
};

enum client_role {
	CLIENT_PLAIN,
	CLIENT_READER, /* at the end: reads all, deletes all */
	CLIENT_LAST,   /* finds nothing */
	CLIENT_DONE,
};

struct client {
	struct line_end line;  /* owner: this */
	uint32_t number, turn; /* turn: of its connection; events of old ones are stale */
	int drop;
	enum client_role role;
	struct {
		enum ask ask;
		uint32_t msgno;
	} asked[ASKED_MAX];
	size_t asked_n;
	uint32_t depth; /* requests under way at a time */
	uint32_t step, steps;
	bool logged_in, quits, waits;
	uint32_t wrong; /* logins that were refused */
	uint64_t pass_ns, asked_ns;
	uint32_t count; /* as STAT said */
	uint64_t octets, sum;
	size_t listed_n, sizes_n;
	char uidls[MESSAGES_MAX][80];
	uint64_t sizes[MESSAGES_MAX];
	bool marked[MESSAGES_MAX + 1];
};

/* sim_client.c */
void client_ask(struct client *c, enum ask ask, uint32_t msgno);
void client_hang_up(struct client *c);
/* A request was answered: what comes next. */
void client_went_on(struct client *c);
/* sim_reply.c: takes the replies that are whole. */
void client_told(void *arg);

#endif
