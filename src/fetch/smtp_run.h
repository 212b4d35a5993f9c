/*
 * smtp_run.h: parts of the LMTP and SMTP targets: a batch of letters on its way over one
 * connection.
 */
#ifndef FETCH_SMTP_RUN_H
#define FETCH_SMTP_RUN_H

#include "fetch/smtp_link.h"
#include "fetch/target.h"
#include "pop3/dot.h"

#define SMTP_BLOCK     (32 * 1024)
#define SMTP_TRACE_MAX 80 /* the field with its line end */
#define SMTP_OUT_MAX   (SMTP_TRACE_MAX + DOT_ENCODE_MAX(SMTP_BLOCK) + DOT_FINISH_MAX)

struct target {
	const struct fetch_target_spec *spec;
	struct smtp_peer peer;
	struct view sender, recipient;
	bool utf8;
	/* Of RCPT in a row, over all connections; whether this one took any. */
	unsigned refusals;
	bool recipient_taken;
	struct smtp_link *link;
};

/* So many, and none was taken: the recipient is wrong, not the messages. */
#define SMTP_REFUSALS_MAX 10

/* A hand-over under way. */
struct run {
	struct target *t;
	struct letter *const *letters;
	char (*trace_ids)[TRACE_ID_MAX];
	size_t n, at;
	bool ahead; /* the group of letters[at] was sent already */
	unsigned failures;
	size_t streak; /* refusals in a row began there, in this batch */
	bool gave_up;  /* SMTP_REFUSALS_MAX */
	char refusal[SMTP_WORDS_MAX + 1];
	uint8_t *block, *out;
};

/* Of letters[i]; words: cleaned here. */
void smtp_run_fate(
	const struct run *r, size_t i, enum letter_fate fate, const char *words);
/* letters[at] by what was answered; true where it may go on. */
[[nodiscard]] bool smtp_run_judge(struct run *r, const struct smtp_reply *reply);
/* Drops the connection without QUIT. */
void smtp_run_drop(struct run *r);
/* RFC 1870 s.6: what the server would never take is not offered. */
[[nodiscard]] bool smtp_run_too_large(const struct run *r, size_t i);
/* "X-Restante-Trace: ..." with CRLF, or nothing. */
size_t smtp_run_trace(const struct run *r, size_t i, char ret[SMTP_TRACE_MAX]);
/*
 * The group of letters[at] (sent now, unless it went ahead), up to its answers. *ret_go:
 * 354. All answers of a group are read, whatever the first ones say (RFC 2920 s.3.1).
 */
[[nodiscard]] int smtp_run_offer(struct run *r, bool *ret_go);
/* The group of the next letter, to go out with this one's last octets, where it may. */
void smtp_run_ahead(struct run *r, struct buf *out);
/*
 * The octets of letters[at]. *ret_gone: the final dot may have reached the server. Until
 * it was handed to the kernel the server has no message, whatever becomes of the
 * connection.
 */
[[nodiscard]] int smtp_run_send(struct run *r, bool *ret_gone);
/* Then: what became of it. */
[[nodiscard]] int smtp_run_answer(struct run *r);

#endif
