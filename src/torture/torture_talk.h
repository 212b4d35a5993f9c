/*
 * torture_talk.h: what trials do: connect, secure, log in, send, read answers. All of it
 * is bool: false means that trial_fail was called with the reason.
 */
#ifndef TORTURE_TALK_H
#define TORTURE_TALK_H

#include "torture/torture_trial.h"

enum sign {
	SIGN_OK,
	SIGN_ERR,
	SIGN_CHALLENGE,
	SIGN_END, /* none: the connection ended */
};

struct answer {
	enum sign sign;
	char text[TRIAL_ANSWER_MAX + 1]; /* the line without CRLF */
	size_t n;
};

/* The lines of an answer after its first. */
struct body {
	uint64_t octets; /* without stuffed dots, CRLF counted, without the terminator */
	uint64_t lines, bare_lf, unstuffed, dots;
	uint64_t head; /* octets up to and with the blank line; 0: none came */
	uint64_t digest;
	uint8_t *text; /* where it was asked for; malloc'ed */
	size_t text_n, text_cap;
};
void body_free(struct body *b);

/* TCP alone. */
[[nodiscard]] bool trial_connect(struct trial *t, struct link *l);
/* From AT_SOCKET up to that state. */
[[nodiscard]] bool trial_open(struct trial *t, struct link *l, enum start to);
[[nodiscard]] bool trial_log_in(struct trial *t, struct link *l);
/* STLS and the handshake, with the run's context or another. */
[[nodiscard]] bool trial_stls(struct trial *t, struct link *l, SSL_CTX *with);

/* Sends what has the variables of struct step. */
[[nodiscard]] bool trial_say(struct trial *t, struct link *l, const char *text, size_t n);
/* The same, and reads one answer. */
[[nodiscard]] bool trial_ask(
	struct trial *t, struct link *l, const char *text, struct answer *ret);
/* One answer; an end is one only where may_end. */
[[nodiscard]] bool trial_answer(
	struct trial *t, struct link *l, bool may_end, struct answer *ret);
/* Lines up to the dot; keep: at most that many octets into text. */
[[nodiscard]] bool trial_body(
	struct trial *t, struct link *l, size_t keep, struct body *ret);
/* Asks, wants +OK, and reads the lines. */
[[nodiscard]] bool trial_lines(
	struct trial *t, struct link *l, const char *text, size_t keep, struct body *ret);
/* Asks, and judges by a pattern of struct step. */
[[nodiscard]] bool trial_expect(
	struct trial *t, struct link *l, const char *text, const char *pattern);
/* QUIT, +OK, the end, and nothing between. */
[[nodiscard]] bool trial_quit(struct trial *t, struct link *l);
/* The end within the time-out. Octets before it are a fault unless they may come. */
[[nodiscard]] bool trial_end(struct trial *t, struct link *l, bool may_speak);
/* Numbers at the start of an answer's text, "+OK 1 2": how many were there, at most cap;
 * -1 where the text is not of that form. */
int answer_numbers(const struct answer *a, uint64_t *ret, int cap);

#endif
