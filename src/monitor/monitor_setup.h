/*
 * monitor_setup.h: what children are told and handed, at their start and later; a part of
 * monitor.h, which says who performs what.
 */
#ifndef MONITOR_MONITOR_SETUP_H
#define MONITOR_MONITOR_SETUP_H

#include "monitor/monitor_state.h"

/* Their places from service_uids on. Helpers and fronts have one each from theirs on. */
enum service_uid {
	UID_LOG = 1,
	UID_AUTH = 2,
	UID_CONTROL = 3,
	UID_LMTPD = 4,
	UID_KEYS = 5,
	UID_HELPERS = 6,
	UID_FRONTS = 16,
};

/* monitor_watched.c: files that are looked at again. The state of one now; false: it
 * changed. */
[[nodiscard]] bool file_is_as_seen(const char *path, struct file_seen *seen);
/* At the start, and after a reload: reads the deny list and sets the timer. */
void watched_begin(struct monitor *m);
/* The deny list, for one front. */
void watched_deny_to_front(struct monitor *m, uint32_t slot);

/* setup.c: what each kind of process is told at its start and after a reload. */
[[nodiscard]] int setup_child(struct monitor *m, uint32_t slot);
void setup_front_options(struct monitor *m, uint32_t slot);
/* The listener for a front, or for lmtpd. */
void setup_listener(struct monitor *m, uint32_t slot, const struct listen_socket *s);
/* All that it serves. */
void setup_listeners(struct monitor *m, uint32_t slot);
/* Whether that process serves it. */
bool setup_serves(const struct monitor *m, uint32_t slot, const struct listen_socket *s);
/* setup_front.c */
[[nodiscard]] int setup_front(struct monitor *m, uint32_t slot);
/* setup_helper.c */
[[nodiscard]] int setup_helper(struct monitor *m, uint32_t slot);
[[nodiscard]] int setup_keys(struct monitor *m);
/* How many instances of each backend's helper the configuration wants. */
void setup_helper_limits(const struct conf *c, uint32_t ret[CORE_BACKENDS]);
/* A helper that was started under one of them is not as the other wants it. */
bool setup_helper_differs(uint32_t backend, const struct conf *a, const struct conf *b);
/* Those that the helpers which are wanted cannot do without; false after complaints. */
[[nodiscard]] bool setup_helper_files_are_there(struct monitor *m, const struct conf *c);
/* Files that a helper reads at its start; false: one of them changed since. */
[[nodiscard]] bool setup_helper_files_are_as_seen(struct monitor *m, uint32_t backend);
/* One of service_uids; 0: the caller goes on. */
uint32_t setup_uid(const struct monitor *m, enum service_uid which);
void setup_users(struct monitor *m);
/* Level and output, at its start or again: a syslog socket is opened anew. */
[[nodiscard]] int setup_log(struct monitor *m);

/*
 * links.c: channels between two children, made anew whenever one of them is. Nothing
 * happens while the other one is not there: its own start makes up for it.
 */
void link_front_auth(struct monitor *m, uint32_t slot); /* or lmtpd */
void link_front_keys(struct monitor *m, uint32_t slot);
void link_helper_auth(struct monitor *m, uint32_t slot);
void link_control_auth(struct monitor *m);
/* Those that had a channel to it hear that it has ended. */
void link_gone(struct monitor *m, uint32_t slot);

#endif
