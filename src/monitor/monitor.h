/*
 * monitor.h: who performs what in restanted.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include "monitor/monitor_setup.h"
#include "monitor/monitor_state.h"

/* monitor_report.c: log lines; to stderr while restante-log is not there. */
void report(struct monitor *m, struct log_record *r);
[[gnu::format(printf, 3, 4)]] void report_text(
	struct monitor *m, enum log_level level, const char *fmt, ...);

/* environment.c: what the caller hands over in variables; then there are none. */
void environment_take(struct monitor *m);
/* Tells the service manager; nothing without one. */
void notify_send(struct monitor *m, const char *state);

/* privileges.c */
/* 0 or -errno */
[[nodiscard]] int privileges_learn(struct monitor *m);
/* Everything is open: keep only what starting children needs. 0 or -errno. */
[[nodiscard]] int privileges_drop(struct monitor *m);
/* In a child that starts as root, between fork and exec: even less. pam: what PAM needs.
 */
[[nodiscard]] int privileges_bound_child(bool pam);

/* settings.c: errors are reported; false where there was one. */
[[nodiscard]] bool settings_load(
	struct monitor *m, const char *path, struct settings *ret);
void settings_done(struct settings *s);
struct core_limits settings_limits(const struct monitor *m, const struct settings *s);

/* assets.c: what is opened once. False after an error was reported. */
[[nodiscard]] bool assets_open(struct monitor *m);
void assets_close(struct monitor *m);
/* Where log lines go in the end, for restante-log; the descriptor is kept. */
int assets_log_out(struct monitor *m);
[[nodiscard]] int stat_page_new(void);
/* Rows of ipc/who.h for so many sessions. */
[[nodiscard]] int who_table_new(uint32_t sessions);
/* The programs of helpers that the configuration wants are installed; else a report. */
[[nodiscard]] bool assets_helpers(struct monitor *m, const struct conf *c);
/* Read-only, from a memfd; or -errno. */
[[nodiscard]] int memfd_read_only(int fd);

/* listen.c: makes the sockets fit the configuration. False: nothing was changed. */
[[nodiscard]] bool listen_apply(struct monitor *m, const struct conf *conf);
void listen_close(struct monitor *m);
/* What its connections may claim; bits of enum assertion of permit.h. */
uint8_t listen_asserts(const struct conf_listener *l);
bool listen_rules_equal(const struct listen_rules *a, const struct listen_rules *b);
/* listen_unix.c: the socket of a listener in the file system; false after a report. */
[[nodiscard]] bool listen_unix(
	struct monitor *m, const struct conf_listener *l, struct listen_socket *ret);
/* The operator's, in place of one that a killed monitor left. 0 or -errno. */
[[nodiscard]] int listen_control(const struct conf *c, struct listen_socket *ret);
/* Mode and group of one that is kept; a report where they cannot be set. */
void listen_unix_adjust(
	struct monitor *m, const struct conf_listener *l, const struct listen_socket *s);
/* What stands at its path is still this socket. */
bool listen_unix_is_there(const struct listen_socket *s);
/* Unlinks it if it is; nothing for other sockets. */
void listen_unix_remove(const struct listen_socket *s);
void listen_unix_name(int fd, char *text, size_t n);
[[nodiscard]] int listen_address(const struct conf_address *a, int *ret_fd);
/* "127.0.0.1:110" or "unix:/path", as the socket is bound. */
void listen_name(const struct listen_socket *s, char *text, size_t n);

/* spawn.c */
struct spawn_plan {
	int exe;
	const char *name;
	int fds[3]; /* become FD_MONITOR, FD_LOG, FD_STAT */
	int dev_null;
	bool bound; /* starts as root: few capabilities */
	bool pam;   /* and stays root: others */
};
[[nodiscard]] int spawn(const struct spawn_plan *plan, int32_t *ret_pid);
/* What failed between fork and exec, or NULL if the status does not say that. */
const char *spawn_failure(int exit_status);

/* children.c: lives of processes. */
void child_start(struct monitor *m, uint32_t slot);
void child_close(struct monitor *m, uint32_t slot);
void child_died(struct monitor *m, uint32_t slot, int code, int status);
/* Ends it for a fault of its own. */
void child_fault(struct monitor *m, uint32_t slot, const char *what);
/* 0 or -errno; a child that does not read its channel is ended. */
int child_send(
	struct monitor *m, uint32_t slot, struct view message, const int *fds, size_t n);

/* announce.c: log and control hear of every process, again when they are replaced. */
void announce_child(struct monitor *m, uint32_t slot);
/* All that the process of slot (log or control) does not know yet. */
void announce_all(struct monitor *m, uint32_t target);
/* The timer of what could not be told. */
void announce_due(struct timer *t, uint64_t now_ms);
/* The process of slot has ended: takes its log_end and its stat_fd. */
void announce_gone(struct monitor *m, uint32_t slot);

/* grant.c */
void grant_received(struct monitor *m, const struct msg_grant *g);
/* monitor_spool.c: files without a name for messages that come in. */
[[nodiscard]] bool spool_open(struct monitor *m, const char *path, int *ret_fd);
void spool_asked(struct monitor *m, uint64_t session);
/* messages.c: a message of a child. */
void message_received(struct monitor *m, uint32_t slot, struct view message);
/* act.c: performs what the core has decided, and sets the timer. */
void monitor_act(struct monitor *m);
void monitor_drain(struct monitor *m);
/* reload.c */
void monitor_reload(struct monitor *m);
/* end.c: processes that have ended; and the end of all, in order. */
void monitor_reap(struct monitor *m);
void monitor_end(struct monitor *m);

#endif
