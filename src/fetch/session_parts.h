/*
 * session_parts.h: what the files of the session share.
 */
#ifndef FETCH_SESSION_PARTS_H
#define FETCH_SESSION_PARTS_H

#include "fetch/session.h"
#include "fetch/state.h"

/* session.c */
struct session_action *session_push(
	struct fetch_session *s, enum session_action_kind kind);
void session_tell(
	struct fetch_session *s, enum report_event e, const struct report_facts *f);
void session_end(struct fetch_session *s, enum session_outcome_kind kind,
	const char *what, struct view said);
/* May one more command be sent now? */
bool session_may_send(const struct fetch_session *s);
void session_quit(struct fetch_session *s);
/* An answer that says no: temporary or for ever, by its code. */
void session_refused(struct fetch_session *s, const struct pop3_answer *a,
	enum session_outcome_kind otherwise, const char *what);

/* session_marks.c */
/* If this one fails it is put aside. */
bool session_is_last_try(const struct fetch_session *s, const struct mail *m);

/* session_auth.c */
void session_greeting(struct fetch_session *s, const struct pop3_answer *a);
void session_stls_status(struct fetch_session *s, const struct pop3_answer *a);
/* A list begins: what was known is no longer. */
void session_capa_begin(struct fetch_session *s);
void session_capa_row(struct fetch_session *s, const struct pop3_answer *a);
void session_capa_end(struct fetch_session *s, bool ok);
void session_use_remembered(struct fetch_session *s);
/* The server made nothing of a login that came before its greeting: next time it comes
 * behind. False: there was none. */
bool session_was_too_early(struct fetch_session *s);

/* session_ways.c */
void session_choose(struct fetch_session *s);
void session_login_status(struct fetch_session *s, const struct pop3_answer *a);

/* session_list.c */
void session_list_begin(struct fetch_session *s);
void session_list_send(struct fetch_session *s);
void session_list_status(struct fetch_session *s, const struct pop3_answer *a);
void session_list_row(struct fetch_session *s, const struct pop3_answer *a);
void session_list_end(struct fetch_session *s, const struct pop3_answer *a);

/* session_letters.c */
void session_mail_send(struct fetch_session *s);
/* A NOOP, where the server has waited for us for long. */
void session_keep_awake(struct fetch_session *s);
void session_mail_status(struct fetch_session *s, const struct pop3_answer *a);
void session_mail_data(struct fetch_session *s, const struct pop3_answer *a);
void session_mail_end(struct fetch_session *s, const struct pop3_answer *a);
/* Another answer begins: what came before it was whole. */
void session_mail_answered(struct fetch_session *s, enum pop3_command command);
void session_mail_fail(struct fetch_session *s, struct mail *m, struct view said);

/* session_guess.c */
bool session_may_guess(const struct fetch_session *s);
void session_guess_send(struct fetch_session *s);
void session_guess_status(struct fetch_session *s, const struct pop3_answer *a);
void session_guess_data(struct fetch_session *s, const struct pop3_answer *a);
void session_guess_end(struct fetch_session *s, const struct pop3_answer *a);
/* It is not what was meant. */
void session_guess_drop(struct fetch_session *s);
/* The order stands: if it is in it, it is the first. */
void session_guess_adopt(struct fetch_session *s);

/* session_plan.c */
void session_plan(struct fetch_session *s);
void session_top_drive(struct fetch_session *s);
void session_top_status(struct fetch_session *s, const struct pop3_answer *a);
void session_top_end(struct fetch_session *s, const struct pop3_answer *a);
struct plan_facts session_facts(const struct fetch_session *s);

#endif
