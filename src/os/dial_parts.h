/*
 * dial_parts.h: what the files of dial share; nobody else includes it.
 */
#ifndef OS_DIAL_PARTS_H
#define OS_DIAL_PARTS_H

#include "os/address.h"
#include "os/dial.h"

#define DIAL_HOST_MAX	   256 /* with its NUL: RFC 1035 s.2.3.4, RFC 1928 s.4 */
#define DIAL_ADDRESSES_MAX 16
#define SOCKS_SECRET_MAX   256 /* with its NUL: RFC 1929 s.2 */
#define SOCKS_OUT_MAX	   (3 + 255 + 255)
#define SOCKS_IN_MAX	   (4 + 1 + 255 + 2)
#define SOCKS_PORT	   1080
#define DIAL_WHY_MAX	   2048

struct dial_address {
	union socket_address a;
	socklen_t n;
};

/* ---- names: dial_resolve.c -------------------------------------------------------- */

struct dial_found {
	int eai;   /* EAI_*, or 0 */
	int error; /* errno where eai is EAI_SYSTEM */
	size_t n;
	struct dial_address at[DIAL_ADDRESSES_MAX]; /* in the order of trying */
};
struct dial_lookup;

/* True if host is an address: found without asking anybody. */
[[nodiscard]] bool dial_numeric(const char *host, uint16_t port, struct dial_found *ret);
/*
 * Asks the system's resolver in a thread of its own. *ret_fd becomes readable when there
 * is an answer; it belongs to the lookup. 0 or -errno.
 */
[[nodiscard]] int dial_lookup_start(
	const char *host, uint16_t port, struct dial_lookup **ret, int *ret_fd);
/* False: not yet. */
[[nodiscard]] bool dial_lookup_answer(
	const struct dial_lookup *l, struct dial_found *ret);
/* At any time: a thread that still waits for the resolver ends later, alone. */
void dial_lookup_drop(struct dial_lookup **l);
/* In words, and whether trying later may help. */
const char *dial_lookup_why(const struct dial_found *f, bool *ret_temporary);
/* "192.0.2.1" */
void dial_address_text(const struct dial_address *a, char *ret, size_t cap);

/* ---- SOCKS5: dial_socks.c --------------------------------------------------------- */

enum socks_state {
	SOCKS_METHOD, /* our methods are sent, its choice is awaited */
	SOCKS_SECRET, /* user and password are sent */
	SOCKS_HEAD,   /* the request is sent; four octets and one of the reply */
	SOCKS_REST,   /* the rest of the reply, whose length is known now */
	SOCKS_DONE,
	SOCKS_FAILED,
};

/* The client's side of RFC 1928, without a system call. */
struct socks {
	enum socks_state state;
	char user[SOCKS_SECRET_MAX], password[SOCKS_SECRET_MAX]; /* "": none */
	char host[DIAL_HOST_MAX];
	uint16_t port;
	uint8_t out[SOCKS_OUT_MAX];
	size_t out_n, out_sent;
	uint8_t in[SOCKS_IN_MAX];
	size_t in_n, want; /* never reads more: what follows is the server's */
	int error;	   /* FAILED: -errno */
	bool temporary;
	const char *why; /* static */
};

/* user, password, host and port are set; the rest is made. */
void socks_begin(struct socks *s);
/* in_n == want: takes it; the next state has something to send, or is an end. */
void socks_step(struct socks *s);
/* Wipes what is secret. */
void socks_done(struct socks *s);

/* ---- one connection on its way: dial.c ----------------------------------------------
 */

struct dial_attempt {
	struct source source; /* first: source_attempt */
	struct dial *dial;
	int error; /* errno of its failure, 0: under way or not begun */
};

struct dial {
	struct loop *loop;
	struct dial_done *done;
	struct timer tick, deadline;
	uint64_t timeout_ms;
	bool over; /* done was called, or it was cancelled */
	bool is_unix, proxied;
	char host[DIAL_HOST_MAX]; /* what is connected to: target or proxy */
	uint16_t port;
	char target[DIAL_HOST_MAX + 8]; /* for messages: "host:port" or the path */
	int bad;			/* -errno of a target that cannot be dialled */
	const char *bad_why;
	struct dial_lookup *lookup;
	struct source answer;
	struct dial_found found;
	size_t next; /* of found, to be tried */
	struct dial_attempt attempts[DIAL_ADDRESSES_MAX];
	struct source proxy; /* the connection to it, while SOCKS is spoken */
	struct socks socks;
	uint8_t why[DIAL_WHY_MAX];
};

#define DIAL_OF(member_p, member)                                                        \
	((struct dial *)(void *)((char *)(member_p)-offsetof(struct dial, member)))

/* Calls done and takes everything back; *d may not be used afterwards. fail puts the
 * target before the reason. */
void dial_finish(struct dial *d, int fd, bool temporary, const char *why);
void dial_fail(struct dial *d, int err, bool temporary, const char *reason);
/* d->proxy is connected, or its next octets are there: dial_proxy.c. */
void dial_proxy_ready(struct source *s, uint32_t events);

/* ---- texts: dial_split.c ---------------------------------------------------------- */

/* "[USER:PASSWORD@]HOST:PORT" into user, password and the proxy's place. */
[[nodiscard]] bool dial_split_proxy(
	const char *text, struct socks *s, char host[DIAL_HOST_MAX], uint16_t *ret_port);
/* A name or address for the resolver: printable, not empty, no blank. */
[[nodiscard]] bool dial_host_is_good(const char *host);

/* Copies the target; what is wrong with it goes to d->bad. */
void dial_aim(struct dial *d, const struct dial_target *t);

#endif
