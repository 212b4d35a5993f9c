/*
 * sim_actor.h: everybody outside the office: clients, mail servers, a delivery agent on
 * the same machine; and bad luck.
 */
#ifndef SIM_ACTOR_H
#define SIM_ACTOR_H

#include "sim.h"

#define POP3_PORT 110
#define LMTP_PORT 24

/* One end of a connection, outside. */
struct line_end {
	struct pipe *to, *from;
	bool is_open, reads_later;
	uint8_t *in; /* not yet understood */
	size_t n, cap;
	size_t at_once;	       /* octets read at a time; a slow reader has few */
	void (*told)(void *);  /* octets have come */
	void (*ended)(void *); /* the other side has closed, or cut */
	void *owner;
};

/* sim_line.c. False: nobody listens. */
bool line_open(struct line_end *e, uint16_t port);
void line_say(struct line_end *e, const void *octets, size_t n);
/* How a connection ends: in order, with a reset, or with silence. */
void line_close(struct line_end *e);
void line_reset(struct line_end *e);
void line_cut(struct line_end *e);
/* The length of the first line with its end; 0: it is not whole. */
size_t line_first(const struct line_end *e, size_t from);
void line_drop(struct line_end *e, size_t n);

/* sim_client.c: the first one comes then, and again and again. */
void clients_begin(uint32_t n);
/* Nobody new; who is there is cut off. */
void clients_end(void);
/* Faults are over: reads every maildrop whole, checks it, deletes all. True: done. */
void clients_settle(void);
bool clients_settled(void);
/* sim_mta.c */
void mtas_begin(uint32_t n);
void mtas_end(void);
/* One message for each maildrop, until a yes. */
void mtas_settle(void);
bool mtas_settled(void);
/* sim_mda.c */
void mda_begin(void);
/* sim_retriever.c: the last maildrop is its own. */
void retriever_begin(void);
void retriever_settle(void);
bool retriever_settled(void);
/* sim_faults.c */
void faults_begin(void);

#endif
