/*
 * monitor_state.h: the state that the files of restanted share.
 */
#ifndef MONITOR_MONITOR_STATE_H
#define MONITOR_MONITOR_STATE_H

#include "conf/conf.h"
#include "ipc/channel.h"
#include "ipc/log.h"
#include "monitor/certificates.h"
#include "monitor/core.h"
#include "os/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define LISTEN_SOCKETS_MAX (2 * CONF_LISTENERS_MAX)
#define ORPHANS_MAX	   32

enum program {
	PROGRAM_LOG,
	PROGRAM_CONTROL,
	PROGRAM_AUTH,
	PROGRAM_KEYS,
	PROGRAM_HELPER, /* the first of CORE_BACKENDS, as enum backend from SYSTEM on */
	PROGRAM_HELPER_LAST = PROGRAM_HELPER + CORE_BACKENDS - 1,
	PROGRAM_LMTPD,
	PROGRAM_FRONT,
	PROGRAM_KEEPER,
	PROGRAMS
};
extern const char *const program_names[PROGRAMS];
enum program program_of(uint32_t slot);

/* The monitor's side of one process; its slot is its place in monitor.children. */
struct child {
	struct source source; /* its channel; fd -1: none */
	struct channel_pace pace;
	struct monitor *m;
	int log_end; /* log's end of its log channel, kept for the next restante-log */
	int stat_fd; /* its page of counters */
	int who_fd;  /* front: its table of sessions; -1: none */
	int32_t pid; /* as log and control know it */
	uint64_t users_sent_ms;
	bool log_told, control_told, who_told;
	bool backlog;	  /* log and control: something could not be told yet */
	bool was_there;	  /* the slot had a process before */
	bool tls_refused; /* front: those of tls_generation */
	uint32_t tls_generation;
};

/* The last words of a process that ended while no restante-log could hear them. */
struct orphan {
	int log_end;
	int32_t pid;
	enum program program;
};

/* What else a listener for those who log in says to fronts. */
struct listen_rules {
	uint8_t asserts; /* enum assertion of permit.h */
	uint8_t client_certificates, tls_profile;
	bool apop;
	uint32_t mechanisms;
	struct conf_networks proxies, xclients, old_tls;
};

/* One listening socket; a listener on `*` has two. */
struct listen_socket {
	int fd;
	uint32_t number; /* never used twice */
	char name[CONF_NAME_OCTETS_MAX + 1];
	struct conf_address at; /* as configured, but for `any`: one of both families */
	struct conf_address bound; /* as the kernel has it; zero: a unix socket */
	bool local, given;	   /* a unix socket; by socket activation */
	uint8_t protocol, tls, plaintext;
	struct listen_rules rules;
	/* A unix socket of ours: which file, as others may put theirs there. */
	char path[CONF_SOCKET_PATH_MAX + 1];
	uint64_t device, inode;
};

#define HELPER_FILES 7 /* passwords, keys and certificates, read at their start */

/* One configuration with what it names, opened. */
struct settings {
	struct conf *conf;
	int roots[CONF_LIST_MAX]; /* O_PATH; -1: not there */
	struct certificates tls;
	int spool; /* spool_dir, O_PATH; -1: nobody delivers */
};

struct monitor {
	const char *conf_path;
	struct loop *loop;
	struct core *core;
	struct child *children; /* CORE_SLOTS */
	struct settings settings;
	int programs[PROGRAMS];
	int dev_null, empty_dir, run_lock, metrics_fd, log_out, signal_fd;
	struct listen_socket control;
	int peers[CORE_FRONTS], peers_read[CORE_FRONTS];
	uint8_t peers_key[16];
	uint8_t salts_key[32]; /* auth's salts live as long as we */
	struct orphan orphans[ORPHANS_MAX];
	size_t orphans_n;
	struct listen_socket sockets[LISTEN_SOCKETS_MAX];
	size_t sockets_n;
	uint32_t sockets_made;
	uint32_t tls_generation;
	struct certificates tls_before; /* until those that came after are taken */
	uint8_t ticket_keys[TICKET_KEYS * TICKET_KEY_OCTETS];
	uint64_t ticket_keys_until_ms; /* 0: there are none yet */
	int deny; /* sealed, deny_rows networks; -1: none was ever there */
	uint32_t deny_rows;
	struct file_seen deny_seen;
	struct file_seen helper_files[HELPER_FILES];
	bool privileged;
	uint32_t uid, gid;
	uint32_t operator_uid;	 /* who started us: the real user, if it is set-uid */
	uint32_t front_sessions; /* of the start: fronts of one and of many do not mix */
	struct child self;	 /* its own log channel and counters */
	struct source signals;
	struct timer tick, users, watchdog, syslog, files, announce;
	uint64_t watchdog_ms;
	char notify[108];	       /* NOTIFY_SOCKET; empty: none */
	int notify_told, deny_told;    /* -errno as it was told last, or 0 */
	int given[LISTEN_SOCKETS_MAX]; /* by socket activation, not yet used */
	char given_names[LISTEN_SOCKETS_MAX][CONF_NAME_OCTETS_MAX + 1];
	size_t given_n;
	struct timer refused;
	uint32_t refused_told, refused_untold; /* grants of this second */
	bool log_up, serving, reload_waits, finished;
	int status;
};

#endif
