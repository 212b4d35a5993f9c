/*
 * client.h: connections to the operator's and the metrics socket; main.c lends them the
 * core. Each has CLIENT_TIME_MS from accept to end, and there are CLIENTS_MAX places on
 * each socket: while all are taken nothing is accepted.
 */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include "control/control_tables.h"
#include "control/core.h"
#include "ipc/message.h"
#include "os/loop.h"

#include <sys/types.h>

#define CLIENTS_MAX    32
#define CLIENT_TIME_MS 5000
#define CLIENT_WHY_MS  30000 /* a database may be asked */

struct desk;

struct client {
	struct source source;
	struct timer timer;
	struct desk *desk;
	uint8_t in[CORE_REQUEST_OCTETS_MAX];
	size_t in_n;
	uint8_t *out; /* malloc'ed */
	size_t out_n, out_sent;
	uint32_t question; /* waits for auth's answer to it; 0: to none */
	bool answered;	   /* out is being sent; what else comes in is dropped */
};

/* One listening socket with its connections. */
struct desk {
	struct source source;
	struct timer pause; /* set while nothing is accepted for want of a descriptor */
	struct loop *loop;
	struct core *core;
	struct tables *tables;
	const int *auth;    /* the channel to auth; -1: none */
	uint32_t questions; /* asked so far */
	bool metrics;	    /* HTTP, for anybody who can connect; else the operator's */
	uid_t operator_uid; /* beside root */
	bool is_in_user_namespace; /* where only the operator keeps his number */
	size_t clients_n;
	struct client clients[CLIENTS_MAX];
};

/* listener is the desk's from now on. 0 or -errno. */
[[nodiscard]] int desk_open(struct desk *d, int listener);
void desk_close(struct desk *d);
/* Auth has answered. False: the answer is malformed. */
[[nodiscard]] bool desk_told(struct desk *d, const struct msg_why_answer *m);
/* Auth is gone: nobody waits any more. */
void desk_auth_gone(struct desk *d);

#endif
