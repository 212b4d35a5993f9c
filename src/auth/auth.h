/*
 * auth.h: the state of the process, and its parts: fronts (auth_front.c), the users file
 * (auth_users.c), logins and their answers (auth_login.c), the monitor (main.c).
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "auth/core.h"
#include "auth/pool.h"
#include "auth/sessions.h"
#include "auth/watch.h"
#include "ipc/channel.h"
#include "ipc/log.h"
#include "os/loop.h"
#include "stat/stat.h"

#define FRONTS_MAX 256
/* Answers that a front has not taken yet; it is not read while there are any. */
#define FRONT_UNSENT_MAX 65536
/* Permits that the monitor has not taken yet; one front has at most half of them. */
#define GRANTS_UNSENT_MAX 4096
/* Messages read from one channel before the others are looked at. */
#define MESSAGES_A_TURN 32

struct auth;
struct loading;

struct unsent {
	uint64_t session;
	uint8_t code;
};

struct auth_front {
	struct source source; /* first; fd -1 once it is gone */
	struct auth *auth;
	struct auth_front *next;
	uint64_t incarnation;
	bool delivers; /* it is lmtpd */
	struct sessions sessions;
	struct queue_lane lane, held_lane;
	size_t attempts; /* alive, or permits unsent; the memory stays until there are
			    none */
	size_t grants_unsent;
	struct unsent *unsent;
	size_t unsent_n, unsent_cap;
};

/* A message for the monitor that did not fit into its channel. */
struct outgoing {
	struct outgoing *next;
	struct auth_front *front; /* whose permit it is; NULL: another message */
	size_t n;
	uint8_t octets[];
};

struct auth {
	struct loop *loop;
	struct source monitor, hashed, loaded;
	struct outgoing *out_first, *out_last;
	size_t out_n;
	struct auth_front *fronts;
	size_t fronts_n;
	struct pool *pool;
	struct core core;
	struct cache *cache;
	uint8_t cache_key[32], users_key[32];
	/* the users file */
	struct users *users;
	struct users_options options;
	uint8_t maildrop[1024], users_name[1024];
	size_t users_name_n;
	int users_fd;
	int next_users_fd; /* came while another was being loaded */
	struct watch watch;
	struct timer watch_timer;
	struct loading *loading;
	struct queue held;
	bool log_unknown_names;
	uint64_t busy_logged_ms;
	struct received *received;
};

/* auth_front.c: a channel to a front; -errno, and the descriptor is closed. */
[[nodiscard]] int front_add(
	struct auth *a, uint64_t incarnation, bool delivers, int take_fd);
void front_gone(struct auth *a, uint64_t incarnation);
void front_fail(struct auth_front *f, uint64_t session, enum refusal code);
/* An attempt ended: frees a front that is gone and has none left. */
void front_release(struct auth_front *f);

/* auth_login.c */
void login_received(struct auth_front *f, const struct msg_login *m);
void lookup_received(struct auth_front *f, const struct msg_lookup *m);
/* What was held for the users file, once more from the start. */
void login_again(struct auth *a);
void login_refuse_held(struct auth *a, const char *reason);
void login_drop_front(struct auth_front *f);
void login_hashed(struct source *s, uint32_t events);

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
