/*
 * sandbox.h: the cage at the top of every main, as a checklist.
 *
 * A program calls sandbox_first as its first line, reads its set-up from the monitor,
 * initialises what must be initialised before the cage (OpenSSL, the loop), and then
 * calls sandbox_enter with its plan, before its first thread. No new privileges and
 * seccomp must succeed, and as root the user and the chroot too. Without root the chroot,
 * and on kernels without it Landlock, are left out unless the plan requires them; the
 * parts in force come back and go into READY and the log.
 */
#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum sandbox_part {
	SANDBOX_CHROOT = 1, /* empty root */
	SANDBOX_USER = 2,   /* own uid and gid, no groups, no capabilities */
	SANDBOX_NO_NEW_PRIVS = 4,
	SANDBOX_LANDLOCK = 8,
	SANDBOX_SECCOMP = 16, /* kill mode */
	SANDBOX_USERNS = 32,  /* without root: chroot inside an own user namespace */
	SANDBOX_WIDE = 64,    /* a sanitizer build: the seccomp filter is wider */
};

/* Which system calls: a row of the table in sandbox_calls.def each. */
enum sandbox_profile {
	SANDBOX_FRONT,	/* sockets that are handed to it, no open, no exec, no socket() */
	SANDBOX_AUTH,	/* as front, plus threads; no sockets of the network */
	SANDBOX_KEEPER, /* files below its roots, threads; no socket(), exec, ptrace, kill
			 */
	SANDBOX_LOG,	/* read and write only */
	SANDBOX_CONTROL, /* accept on its own unix socket */
	SANDBOX_LMTPD,	 /* as front, plus what spools: memfds that it seals, pwrite */
	SANDBOX_KEYS,	 /* read, write and compute */
	SANDBOX_HELPER, /* files to read, sockets to a database; no exec, ptrace, mount */
};

struct sandbox_plan {
	enum sandbox_profile profile;
	uid_t uid; /* 0: do not change the user; refused for root */
	gid_t gid;
	const gid_t *groups; /* further ones; may be 0 of them */
	size_t groups_n;
	int empty_dir;		  /* chroot here; -1: no chroot */
	const int *landlock_dirs; /* everything else of the file system is refused; may be
				     0 of them */
	size_t landlock_dirs_n;
	bool landlock_write; /* the dirs may be written below; else read only */
	bool landlock_off;   /* its library writes files of its own choice */
	bool connects;	     /* Landlock leaves TCP alone */
	bool stays_root;     /* as root: keeps the user, and few capabilities */
	bool runs_programs;  /* no filter and no Landlock: they would bind those too */
	uint64_t fsize_max; /* RLIMIT_FSIZE; UINT64_MAX: no limit; 0 forbids memfds too */
	uint32_t required;  /* parts without which sandbox_enter fails */
};

/*
 * First line of main: not dumpable, no core, umask 077, no environment (but TZ, so that
 * no file is asked for the time zone), no signal blocked, SIGPIPE, SIGHUP and SIGINT
 * ignored (a terminal sends them to all; the monitor decides), SIGXFSZ too (a write
 * beyond a limit answers EFBIG), death with the monitor.
 * Exits 70 with a line on stderr if any of this fails.
 */
void sandbox_first(void);
/* 0 and the parts in force, or -errno and the name of the failed step. */
[[nodiscard]] int sandbox_enter(
	const struct sandbox_plan *plan, uint32_t *ret_parts, const char **ret_step);
/* "chroot user no_new_privs landlock seccomp" and so on, for the log. */
void sandbox_parts_text(uint32_t parts, struct buf *out);

#endif
