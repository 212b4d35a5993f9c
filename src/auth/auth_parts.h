/*
 * auth_parts.h: the parts of the process: fronts (auth_front.c, auth_send.c), the users
 * file (auth_users.c), logins (auth_login.c), the walk through the databases
 * (auth_walk.c), helpers (auth_helper.c), conversations (auth_talk.c), refusals and their
 * lines (auth_refuse.c), what is offered (auth_offer.c), `restante why` (auth_why.c), the
 * monitor (main.c).
 */
#ifndef AUTH_AUTH_PARTS_H
#define AUTH_AUTH_PARTS_H

#include "auth/auth.h"

/* auth_front.c: a channel to a front; -errno, and the descriptor is closed. */
[[nodiscard]] int front_add(struct auth *a, const struct msg_auth_front *m, int take_fd);
void front_gone(struct auth *a, uint64_t incarnation);
void front_end(struct auth_front *f);
/* An attempt ended: frees a front that is gone and has none left. */
void front_release(struct auth_front *f);

/* auth_send.c: sends or keeps for later; a front that takes nothing ends. */
void front_send(struct auth_front *f, struct view message);
void front_fail(
	struct auth_front *f, uint64_t session, enum refusal code, uint32_t delay_ms);
/* False: the channel is broken. */
bool front_flush(struct auth_front *f);
void front_drop_unsent(struct auth_front *f);

/* auth_login.c */
void login_received(struct auth_front *f, const struct msg_login *m);
void lookup_received(struct auth_front *f, const struct msg_lookup *m);
/* What was held for the users file, once more from the start. */
void login_again(struct auth *a);
void login_refuse_held(struct auth *a, const char *reason);
void login_drop_front(struct auth_front *f);
void login_hashed(struct source *s, uint32_t events);
void login_perform(struct attempt *a, enum core_step step);
/* Takes it out of wherever it stands. */
void attempt_free(struct attempt *a);

/* auth_walk.c: on from a->database. */
[[nodiscard]] enum core_step walk(struct attempt *a);
/* A helper answered; m NULL: it did not, for this reason. */
[[nodiscard]] enum core_step walk_answered(
	struct attempt *a, const struct msg_answer *m, const char *reason);
[[nodiscard]] enum core_step walk_token(struct attempt *a);
[[nodiscard]] enum core_step walk_ticket(struct attempt *a);

/* auth_helper.c: -errno, and the descriptor is closed. */
[[nodiscard]] int helper_add(
	struct auth *a, const struct msg_auth_helper *m, int take_fd);
void helper_gone(struct auth *a, uint64_t incarnation);
/* NULL: the question is on its way or queued. Else why not, and a->code is set. */
[[nodiscard]] const char *helper_ask(struct attempt *a);
/* Nobody wants the answer any more. */
void helper_forget(struct attempt *a);
bool helper_is_there(const struct auth *a, enum backend backend);
void helper_timeout(struct timer *t, uint64_t now_ms);

/* auth_talk.c: the client has the word. */
void talk_speak(struct attempt *a, struct view challenge);
void talk_hear(struct auth_front *f, const struct msg_response *m);
/* A session, or its connection, begins anew: what was open ends. */
void talk_supersede(struct auth_front *f, uint64_t session, uint64_t connection);
void talk_remove(struct attempt *a);
void talk_timeout(struct timer *t, uint64_t now_ms);

/* auth_refuse.c: tells the front, the log and `restante why`; frees it. */
void refuse(struct attempt *a);
void refuse_busy(struct attempt *a, const char *reason);
void refusal_lost(struct auth_front *f, const struct msg_login_lost *m);
const char *refusal_name(unsigned code);

/* auth_offer.c: to all fronts that were told another one. */
void offer_renew(struct auth *a);
void offer_tell(struct auth_front *f);

/* auth_why.c */
void why_channel(struct auth *a, int take_fd);
void why_found(struct attempt *a);   /* frees it */
void why_refused(struct attempt *a); /* frees it */

/* auth_users.c */
[[nodiscard]] enum watch_advice users_fresh(struct auth *a, unsigned rounds);
void users_arrived(struct auth *a, int error, int take_fd);
void users_loaded(struct source *s, uint32_t events);
void users_timeout(struct timer *t, uint64_t now_ms);
/* Before the end: takes back the thread of a file that has been read. */
void users_end(struct auth *a);

static inline void
auth_log(struct log_record *r)
{
	log_send(r);
	stat_set(STAT_LOG_DROPPED, log_dropped());
}

/*
 * main.c: sends or keeps for later; front: whose permit it is, or NULL. -EBUSY: too many
 * of this front wait. -ENOBUFS: too many wait.
 */
[[nodiscard]] int monitor_send(
	struct auth *a, struct auth_front *front, struct view message);

#endif
