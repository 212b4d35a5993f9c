/*
 * client.h: connections to the operator's and the metrics socket; main.c lends them the
 * core. Each has CLIENT_TIME_MS from accept to end, and there are CLIENTS_MAX places on
 * each socket: while all are taken nothing is accepted.
 */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include "control/core.h"
#include "os/loop.h"

#include <sys/types.h>

#define CLIENTS_MAX    32
#define CLIENT_TIME_MS 5000

struct desk;

struct client {
	struct source source;
	struct timer timer;
	struct desk *desk;
	uint8_t in[CORE_REQUEST_OCTETS_MAX];
	size_t in_n;
	uint8_t *out; /* malloc'ed */
	size_t out_n, out_sent;
	bool answered; /* out is being sent; what else comes in is dropped */
};

/* One listening socket with its connections. */
struct desk {
	struct source source;
	struct loop *loop;
	struct core *core;
	bool metrics;	    /* HTTP, for anybody who can connect; else the operator's */
	uid_t operator_uid; /* beside root */
	bool is_in_user_namespace; /* where only the operator keeps his number */
	size_t clients_n;
	struct client clients[CLIENTS_MAX];
};

/* listener is the desk's from now on. 0 or -errno. */
[[nodiscard]] int desk_open(struct desk *d, int listener);
void desk_close(struct desk *d);

#endif
