/*
 * sandbox_office.h: `restante sandbox`, a throwaway post office made of the real
 * programs.
 *
 * An office is a directory (certificate, users, configuration, mail), sockets that are
 * bound here and handed to restanted by socket activation, and restanted itself. What
 * this run made is removed at its end; a Maildir that was given never is.
 *
 * Functions return 0, or an exit status of sysexits.h after they said on stderr what is
 * wrong and what to do.
 */
#ifndef CTL_SANDBOX_OFFICE_H
#define CTL_SANDBOX_OFFICE_H

#include "conf/conf.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OFFICE_DIR_MAX	     900 /* leaves room for names below it in a path of an option */
#define OFFICE_LISTENERS_MAX 4	 /* pop3 and pop3s; kpop and lmtp by option */
#define OFFICE_ARGS_MAX	     4096 /* --user or --set, each */
#define OFFICE_USERS_OCTETS  (256U * 1024 * 1024)
#define OFFICE_ROOTS_TEXT    3900 /* of a configuration's line of 4096 */
#define OFFICE_NOBODY	     65534U
/* The first line of a configuration that is ours to write anew. */
#define OFFICE_MARK	"# Written by `restante sandbox`"
#define OFFICE_START_MS 30000

/* The command line; texts point into argv. */
struct office_options {
	const char *dir, *pop3, *pop3s, *lmtp, *kpop, *users_file;
	const char *users[OFFICE_ARGS_MAX];
	size_t users_n;
	const char *sets[OFFICE_ARGS_MAX];
	size_t sets_n;
	uint64_t for_s; /* 0: until a signal */
	bool json;
};

/* A directory below which a keeper of that owner must reach a maildrop. */
struct office_place {
	char *path; /* malloc'ed */
	uint32_t uid, gid;
};

/* A maildrop that was given: never removed. */
struct office_kept {
	dev_t dev;
	ino_t ino;
};

struct office {
	struct office_options o;
	char dir[OFFICE_DIR_MAX + 1];
	int dir_fd, lock_fd;
	bool dir_made; /* by this run: removed whole */
	bool reopened; /* a configuration of an earlier run lies in it */
	char run_dir[91];
	bool root;		     /* runs as root: as in production */
	uint32_t mail_uid, mail_gid; /* by --set; 0: not */
	uint32_t id_min;	     /* the smallest uid and gid that mail is served as */
	char *users_text;	     /* of DIR/users, malloc'ed */
	size_t users_n;
	struct office_place *places;
	size_t places_n, places_cap;
	struct office_kept *kept;
	size_t kept_n;
	struct office_listener {
		const char *name;
		int fd; /* -1: a unix socket, which restanted makes */
		bool tls;
		char text[120]; /* ADDRESS:PORT, or unix:PATH */
	} listeners[OFFICE_LISTENERS_MAX];
	size_t listeners_n;
	uint64_t drain_ms; /* drain_timeout in force */
	pid_t monitor;
	int status; /* of the monitor, once it ended */
};

/* One line on stderr, "restante sandbox: ..."; returns status. */
[[gnu::format(printf, 2, 3)]] int office_say(int status, const char *format, ...);

/* sandbox_dir.c: the directory, made or opened and locked; and its removal. */
[[nodiscard]] int office_dir_open(struct office *f);
void office_dir_close(struct office *f);
/* Replaces a file of the directory in one step. */
[[nodiscard]] int office_write(
	struct office *f, const char *name, mode_t mode, struct view text);
/* DIR/spool, for messages that come in. */
[[nodiscard]] int office_mkdir_spool(struct office *f);
/* Makes a directory and those above it, each with that mode. -errno. */
[[nodiscard]] int office_mkdirs(const char *path, mode_t mode);
/* The maildrop `path` outlives this run. */
[[nodiscard]] int office_keep(struct office *f, const char *path);

/* sandbox_cert.c: ca.pem, cert.pem, key.pem; those of an earlier run where they still
 * serve. */
[[nodiscard]] int office_certificate(struct office *f);

/* sandbox_users.c: DIR/users and every user's maildrop; fills users_text, places, id_min.
 */
[[nodiscard]] int office_users(struct office *f);
/* sandbox_maildir.c: who owns that Maildir (made if it is missing). ids: in, 0 for none;
 * out. */
[[nodiscard]] int office_maildir(struct office *f, const char *user, const char *path,
	uint32_t *uid, uint32_t *gid);

/* sandbox_mbox.c: the same for an mbox, whose directory must let its owner lock it. */
[[nodiscard]] int office_mbox(struct office *f, const char *user, const char *path,
	uint32_t *uid, uint32_t *gid);

/* sandbox_roots.c: mail_roots for the places, separated by blanks; malloc'ed. */
[[nodiscard]] int office_place_add(
	struct office *f, const char *maildrop, uint32_t uid, uint32_t gid);
[[nodiscard]] int office_roots(struct office *f, char **ret);

/* sandbox_sample.c: a few letters into new/ of that Maildir. */
[[nodiscard]] int office_sample(const char *maildir, uint32_t uid, uint32_t gid);

/* sandbox_conf.c: DIR/restante.conf, checked. Listeners must be bound before. */
[[nodiscard]] int office_conf(struct office *f);
/* Looks at --set before anything else is done: names, and what the sandbox itself needs.
 */
[[nodiscard]] int office_sets_check(struct office *f);
/* The addresses of an earlier run, where the command line gives none. */
struct office_before {
	char pop3[120], pop3s[120], kpop[120], lmtp[120];
};
void office_listeners_before(struct office *f, struct office_before *ret);

/* sandbox_run.c */
[[nodiscard]] int office_bind(struct office *f);
/* Starts restanted, says `ready`, waits for the end and ends it. */
[[nodiscard]] int office_run(struct office *f);

#endif
