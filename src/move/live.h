/*
 * live.h: a session with a POP3 server for tools: blocking, with limits of time and
 * memory, and nothing on the server is changed by it (RSET comes before QUIT).
 *
 *     struct live_options o;
 *     live_options_init(&o);
 *     if (!live_url_read("pop3s://old.example", &o.url, &why)) ...
 *     struct live *l = live_new(&o);
 *     r = live_open(l);
 *     if (r == 0)
 *             r = live_login(l, user, password);
 *     if (r == 0)
 *             r = live_list(l, &list);
 *     if (r < 0)
 *             fprintf(stderr, "%s\n", live_why(l));
 *     live_free(&l);
 *
 * Results are 0 or -errno: -EACCES the login was refused; -EAGAIN the server says that
 * trying later may help; -EKEYREJECTED its certificate; -ENOTSUP it lacks what is needed;
 * -EPROTO it does not speak POP3, or cut an answer short; -E2BIG a limit of ours;
 * -ETIMEDOUT, -ECONNRESET, -EHOSTUNREACH and others: it cannot be reached. live_why names
 * server, step and the server's words, in printable ASCII. After an error other than
 * -EACCES of login the session is over.
 */
#ifndef MOVE_LIVE_H
#define MOVE_LIVE_H

#include "os/tls_client.h"
#include "pop3/capabilities.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define LIVE_WHY_MAX	  1024
#define LIVE_NAME_MAX	  255 /* user, master, host */
#define LIVE_PASSWORD_MAX 512
#define LIVE_MAILS_MAX	  UINT32_C(4000000)
#define LIVE_UIDLS_MAX	  (UINT32_C(512) << 20) /* octets of all UIDLs of a maildrop */
#define LIVE_TOP_MAX	  (UINT64_C(64) << 20)	/* octets of one answer to TOP */
#define LIVE_RETR_MAX	  (UINT64_C(1) << 40)
#define LIVE_TIMEOUT_MS	  60000

struct live_url {
	bool tls; /* pop3s; else STLS is required unless plaintext */
	uint16_t port;
	char host[LIVE_NAME_MAX + 1];
	char user[LIVE_NAME_MAX + 1]; /* "" where none was given */
};
/* pop3s://[USER@]HOST[:PORT] or pop3://; %XX in USER. False and a reason (static). */
[[nodiscard]] bool live_url_read(
	const char *text, struct live_url *ret, const char **ret_why);

/* Strings are borrowed and live as long as the session. */
struct live_options {
	struct live_url url;
	bool plaintext;	     /* --plaintext: a password may go without TLS */
	const char *master;  /* --master NAME, or NULL */
	const char *format;  /* --login-format, of %u, %m, %%; NULL: "%u", or "%u*%m"
				with a master */
	uint32_t timeout_ms; /* --timeout SECONDS: of silence, in any step */
	struct tls_client_options tls; /* --ca FILE, --pin SHA256 (again: several) */
};
void live_options_init(struct live_options *o);
/*
 * Takes argv[*i] (and its value; "--ca FILE" or "--ca=FILE") where it is an option of
 * those above, and moves *i behind it: 1. 0: not one of ours. -1: wrong, and why.
 */
[[nodiscard]] int live_option(
	struct live_options *o, int argc, char **argv, int *i, char *why, size_t why_n);
/* What --help says of them. */
const char *live_options_help(void);
/* The name that is sent at login. False: too long, or the format is wrong. Pure. */
[[nodiscard]] bool live_login_name(const char *format, const char *user,
	const char *master, char ret[2 * LIVE_NAME_MAX + 2]);

struct live; /* one session */

/* What was learnt of the server. */
struct live_facts {
	bool secured;				/* TLS stands */
	bool stls;				/* it offered STLS */
	bool apop;				/* its greeting had a stamp for APOP */
	bool knows_capa;			/* else both of these are empty */
	struct pop3_capabilities before, after; /* login; before: behind STLS */
	const char *mechanism;			/* "USER" or "PLAIN" */
};

/* NULL: no memory. */
struct live *live_new(const struct live_options *o);
/* RSET and QUIT where the session is in order, and closes. */
void live_free(struct live **l);
const char *live_why(const struct live *l);
/* What sysexits(3) has for an error: 69, 75, 76 or 77. */
int live_exit_status(int err);
const struct live_facts *live_facts(const struct live *l);

/* Connects, secures, greets, CAPA. */
[[nodiscard]] int live_open(struct live *l);
/* By AUTH PLAIN where it is offered, else USER and PASS; then CAPA again. With a master
 * in the options the password is the master's. May be called again after -EACCES. */
[[nodiscard]] int live_login(struct live *l, const char *user, const char *password);
[[nodiscard]] int live_stat(struct live *l, uint32_t *ret_count, uint64_t *ret_octets);

struct live_mail {
	uint32_t msgno;
	uint64_t size;	  /* as LIST says */
	struct view uidl; /* as UIDL says, any octets; p NULL: no row for it */
};
struct live_list {
	uint32_t count;
	bool has_uidls;		 /* the server knows UIDL */
	struct live_mail *mails; /* in order of their numbers */
	uint8_t *uidls;
};
/* LIST and UIDL. Rows of either without the other, two rows for a number, or rows that
 * cannot be read are -EPROTO; so is a refusal of UIDL by a server that says that it does
 * it, unless it may pass: -EAGAIN. */
[[nodiscard]] int live_list(struct live *l, struct live_list *ret);
void live_list_free(struct live_list *list);

/* Where messages go. i counts the wanted ones from 0, in order. */
struct live_sink {
	/* Octets without stuffed dots, line ends as they came. */
	void (*take)(struct live_sink *s, size_t i, struct view octets);
	/* The answer is whole (refused NULL), or the server refused this one message in
	 * these words, printable. */
	void (*end)(struct live_sink *s, size_t i, const char *refused);
};
/* TOP msgnos[i] lines; several under way where the server does PIPELINING. */
[[nodiscard]] int live_top(struct live *l, const uint32_t *msgnos, size_t n,
	uint32_t lines, struct live_sink *sink);
/* RETR: the server may mark them as seen. */
[[nodiscard]] int live_retr(
	struct live *l, const uint32_t *msgnos, size_t n, struct live_sink *sink);
[[nodiscard]] int live_rset(struct live *l);
/* RSET, QUIT and its answer; tells what live_free would not. */
[[nodiscard]] int live_quit(struct live *l);

#endif
