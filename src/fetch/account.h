/*
 * account.h: one account to collect from, as configured; made by settings.c out of the
 * rows of options.def, a file and the command line. Does not change afterwards.
 */
#ifndef FETCH_ACCOUNT_H
#define FETCH_ACCOUNT_H

#include "os/tls_client.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_TARGETS_MAX  8
#define FETCH_ACCOUNTS_MAX 4096
#define FETCH_NEVER	   UINT64_MAX

enum fetch_tls { FETCH_TLS_TLS, FETCH_TLS_STLS, FETCH_TLS_NONE };
enum fetch_order { FETCH_ORDER_NUMBER, FETCH_ORDER_NEWEST, FETCH_ORDER_BIGGEST_LAST };
enum fetch_line_ends { FETCH_LINE_ENDS_LF, FETCH_LINE_ENDS_CRLF };
enum fetch_trace { FETCH_TRACE_AUTO, FETCH_TRACE_YES, FETCH_TRACE_NO };

enum fetch_target_kind {
	FETCH_MAILDIR, /* where: directory */
	FETCH_MBOX,    /* file */
	FETCH_LMTP,    /* /path of a unix socket, or HOST:PORT */
	FETCH_SMTP,    /* HOST[:PORT] */
	FETCH_PROGRAM, /* command line for /bin/sh -c; the message is its standard input
			*/
};

/* `deliver = maildir:PATH`, `mbox:PATH`, `lmtp:/SOCKET`, `lmtp:HOST:PORT`,
 * `smtp:HOST[:PORT]`, `program:COMMAND`. */
struct fetch_target_spec {
	enum fetch_target_kind kind;
	const char *where;
	const char *text; /* the whole value: the key in the state */
};

/* Where a secret comes from; exactly one is set, or none (EXTERNAL, GSSAPI, a prompt). */
struct fetch_secret_source {
	const char *file;	/* first line */
	const char *command;	/* /bin/sh -c; first line of its output */
	const char *credential; /* name below $CREDENTIALS_DIRECTORY */
	const char *text; /* from a configuration file that only its owner may read */
	int fd;		  /* -1, or --password-fd */
};

struct fetch_account {
	const char *name; /* the section's, or "USER@HOST" of the one-account form */
	const char *host;
	uint16_t port; /* of the option, else 995 (tls) or 110 */
	const char *user;
	struct fetch_secret_source password;
	const char *token_command; /* OAuth access token; NULL: none */
	enum fetch_tls tls;
	struct tls_client_options tls_options;
	const char *auth; /* words: mechanisms allowed, best first; "" the best offered */
	bool apop;
	bool plaintext; /* passwords in the clear without TLS are wanted (also: tls = none
			   on the command line) */
	bool forget_tls; /* --forget-tls: plain again after TLS was seen */
	const char *socks5;
	size_t targets_n;
	struct fetch_target_spec targets[FETCH_TARGETS_MAX];
	const char *recipient, *sender; /* LMTP, SMTP; "" : the user, <> */
	const char *smtp_user;
	struct fetch_secret_source smtp_password;
	enum fetch_tls smtp_tls; /* default stls */
	const char *filter;	 /* command, or NULL */
	/* policies */
	bool keep, adopt, dry_run, retry_aside, recent;
	uint64_t delete_after_ms;			  /* with keep; FETCH_NEVER */
	uint64_t delete_larger, skip_larger, keep_newest; /* FETCH_NEVER: off */
	enum fetch_order order;
	uint64_t commit_messages, commit_after_ms; /* QUIT and start anew; FETCH_NEVER */
	uint32_t window;			   /* commands under way, 1 to 1000 */
	uint64_t messages_max;			   /* a longer listing is refused */
	uint32_t tries;				   /* before a message is put aside: 3 */
	uint64_t tombstones_ms;
	/* delivery */
	enum fetch_line_ends line_ends;
	enum fetch_trace trace;
	bool drop_from_line;
	/* time */
	uint64_t timeout_ms, program_timeout_ms;    /* without progress */
	uint64_t poll_ms, poll_min_ms, poll_max_ms; /* daemon; poll: 0 adaptive */
};

/* What the whole run was told. Views and texts live in it. */
struct fetch_settings {
	const char *state; /* directory */
	bool daemon, json, quiet, verbose;
	uint32_t parallel;	   /* accounts at a time */
	uint32_t delivery_threads; /* 1 to 64 */
	size_t accounts_n;
	struct fetch_account *accounts;
	void *memory; /* settings.c's own */
};

#endif
