/* sasl_rows.h: the steps of each mechanism, which sasl.c has a row of. */
#ifndef AUTH_SASL_ROWS_H
#define AUTH_SASL_ROWS_H

#include "auth/sasl_talk.h"

void words_pass(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void words_plain(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void words_login(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void words_external(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void words_external_user(
	struct sasl_talk *t, const struct user *user, struct sasl_result *ret);
void words_apop(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void words_apop_user(
	struct sasl_talk *t, const struct user *user, struct sasl_result *ret);
void cram_begin(struct sasl_talk *t, struct sasl_result *ret);
void cram_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void cram_user(struct sasl_talk *t, const struct user *user, struct sasl_result *ret);
void scram_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void scram_user(struct sasl_talk *t, const struct user *user, struct sasl_result *ret);
void scram_derived(struct sasl_talk *t, struct sasl_result *ret);
void token_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void token_named(
	struct sasl_talk *t, bool yes, struct view name, struct sasl_result *ret);
void ticket_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void ticket_said(struct sasl_talk *t, enum ask_outcome outcome, struct view octets,
	struct view name, struct sasl_result *ret);
void kpop_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret);
void kpop_said(struct sasl_talk *t, enum ask_outcome outcome, struct view octets,
	struct view name, struct sasl_result *ret);

#endif
