/*
 * helper.h: what all helpers of auth have in common: the start, the cage, the channel,
 * and the loop of question and answer. A helper's own part is a struct helper_ops.
 *
 * One question is answered after another, in one thread: `ask` may block, up to
 * helper_timeout_ms. Auth spreads its questions over several processes of a helper.
 */
#ifndef HELPER_HELPER_H
#define HELPER_HELPER_H

#include "base/buf.h"
#include "ipc/permit.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELPER_LINE_MAX	  8192
#define HELPER_OCTETS_MAX 12288

struct helper;

/* How long a password that only the database could check may be remembered: this long,
 * and no longer than auth_cache_unseen. */
#define HELPER_CHECKED_S 60

/* The views live until `ask` returns. Nothing of them may end in a log line. */
struct helper_ask {
	enum ask_kind kind;
	uint8_t mechanism; /* enum mechanism */
	uint64_t talk;	   /* of a conversation: never 0, never used twice */
	struct view name;
	struct view secret; /* wiped by the caller */
	struct view address;
};

/* line, octets and name are buffers of the caller's; they are empty at first. */
struct helper_answer {
	enum ask_outcome outcome; /* ANSWER_TEMPORARY at first */
	uint32_t valid_s;
	struct buf name, line, octets;
	const char *reason; /* static text, for the log and `restante why`; or NULL */
};

struct helper_ops {
	enum backend backend;
	const char *name;   /* "sql" */
	bool stays_root;    /* PAM alone */
	bool runs_programs; /* the command alone: no seccomp filter that forbids exec */
	bool writes_files; /* its library keeps files of its own: no read-only Landlock */
	/*
	 * Before the cage: reads settings, loads what libraries load late. NULL, or what
	 * is wrong and what to do (static text, or helper_why). The database need not be
	 * there.
	 */
	const char *(*prepare)(struct helper *h);
	void (*ask)(
		struct helper *h, const struct helper_ask *a, struct helper_answer *ret);
	/* A pause of questions (once a second at most): connections may be looked after.
	 * NULL: nothing. */
	void (*idle)(struct helper *h);
	/* Auth was started anew, or has gone: all conversations are over. NULL: nothing.
	 */
	void (*forget)(struct helper *h);
};

/* The main of every helper; its exit status. */
int helper_main(const struct helper_ops *ops);

/* The option of this name as it stands in the configuration; "" where it is empty. */
const char *helper_setting(const struct helper *h, const char *name);
uint64_t helper_number(const struct helper *h, const char *name);
const char *helper_hostname(const struct helper *h);
uint32_t helper_timeout_ms(const struct helper *h);
/* The helper's own state. */
void helper_keep(struct helper *h, void *state);
void *helper_state(struct helper *h);
/* Formats a reason for prepare; lives in h. */
[[gnu::format(printf, 2, 3)]] const char *helper_why(
	struct helper *h, const char *fmt, ...);
/* A warning of this event, with what a library said (cut to 256 octets, quoted). */
void helper_log(const char *event, const char *what, const char *detail);

/*
 * The line of a user (restante-users(5)) from its parts. A part with a colon, a line end
 * or a NUL makes it no line, and returns false: such a user is ANSWER_TEMPORARY, with a
 * reason. password may be empty. extra: "key=value key=value", which may hold colons.
 */
struct helper_user {
	struct view name, password, uid, gid, home, extra;
};
[[nodiscard]] bool helper_put_line(const struct helper_user *u, struct buf *out);

#endif
