#include "move/import_drop.h"

#include "base/check.h"
#include "ipc/permit.h"
#include "move/watched.h"
#include "os/fd.h"
#include "store/identity.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define SESSION_WAIT_MS 1000
#define SESSION_TICK_MS 20

int
drop_exit_status(int err)
{
	switch (err) {
	case 0: return EX_OK;
	case -EACCES:
	case -EPERM:
	case -EROFS: return EX_NOPERM;
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EINVAL: return EX_NOINPUT;
	case -EFBIG:
	case -EBADMSG: return EX_DATAERR;
	case -EPROTONOSUPPORT: return EX_CONFIG;
	default: return EX_TEMPFAIL;
	}
}

static int
say(const char *program, const struct import_drop *d, const char *what, int err)
{
	(void)fprintf(stderr, "restante %s: %s: %s: %s\n", program, d->label, what,
		strerrordesc_np(-err));
	return drop_exit_status(err);
}

/* ---- opening
 * --------------------------------------------------------------------------- */

/* A path of the maildrop's, below its root; "" is the root itself. */
static int
open_below(const struct import_drop *d, const char *path)
{
	const char *rest = path + d->root_n;

	while (*rest == '/')
		rest++;
	return fd_open_beneath(d->root, *rest ? rest : ".", O_RDONLY | O_DIRECTORY, 0);
}

static int
open_maildir(struct import_drop *d, const char *program, struct drop_opened *o)
{
	o->dir = open_below(d, d->path);
	if (o->dir < 0)
		return say(program, d, d->path, o->dir);
	if (faccessat(o->dir, "cur", F_OK, 0) < 0 ||
		faccessat(o->dir, "new", F_OK, 0) < 0) {
		(void)fprintf(stderr,
			"restante %s: %s: %s is no Maildir: it has no cur and new\n",
			program, d->label, d->path);
		return EX_NOINPUT;
	}
	(void)snprintf(o->log, sizeof(o->log), "%s", IDENTITY_NAME);
	o->lock_dir = open_below(d, d->path);
	return o->lock_dir < 0 ? say(program, d, d->path, o->lock_dir) : EX_OK;
}

/*
 * A removal that a crash cut off is completed first, as a session does it: until then the
 * file is neither the old mail nor the new.
 */
static int
settle_mbox(const struct drop_opened *o)
{
	const struct store_options options = {.hostname = "localhost"};
	const struct store_ops *ops = store_ops_of(STORE_MBOX);
	struct lock_holder me = {.since = 0}, other;
	const struct store_table *table;
	struct store *store;
	char intent[NAME_MAX + 1];

	(void)snprintf(intent, sizeof(intent), ".%.230s.restante-intent", o->name);
	if (faccessat(o->dir, intent, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = ops->open(o->dir, o->name, &options, &store);
	if (r < 0)
		return r;
	r = ops->lock(store, &me, &other);
	if (r == 0) {
		r = ops->refresh(store, &table);
		ops->unlock(store);
	}
	ops->close(&store);
	/* A session that is open has seen to it, or does. */
	return r == -EBUSY ? 0 : r;
}

static int
open_mbox(struct import_drop *d, const char *program, struct drop_opened *o)
{
	char parent[DROP_PATH_MAX + 1];
	const char *slash = strrchr(d->path, '/');

	if (!slash || !slash[1] || strlen(slash + 1) > NAME_MAX - 24) {
		(void)fprintf(stderr, "restante %s: %s: this is no path of an mbox\n",
			program, d->label);
		return EX_NOINPUT;
	}
	(void)snprintf(parent, sizeof(parent), "%.*s",
		slash == d->path ? 1 : (int)(slash - d->path), d->path);
	(void)snprintf(o->name, sizeof(o->name), "%.230s", slash + 1);
	(void)snprintf(o->log, sizeof(o->log), ".%.230s.%s", slash + 1, IDENTITY_NAME);
	o->dir = open_below(d, parent);
	if (o->dir < 0)
		return say(program, d, parent, o->dir);
	struct mailbox_lock l;
	int r = settle_mbox(o);
	if (r == 0)
		r = mailbox_lock_take(
			&l, o->dir, o->name, MAILBOX_READ, MAILBOX_LOCK_WAIT_MS);
	if (r < 0)
		return say(program, d, d->path, r);
	o->mailbox = l;
	(void)snprintf(
		o->lock_name, sizeof(o->lock_name), ".%.230s.restante-lock", o->name);
	/* An open of its own: the lock of the mailbox is another one. */
	o->lock_dir = openat(o->dir, o->name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return o->lock_dir < 0 ? say(program, d, d->path, -errno) : EX_OK;
}

static int
take_session_lock(const struct import_drop *d, struct drop_opened *o)
{
	struct lock_holder me = {.since = 0}, other;

	return d->kind == STORE_MBOX
		? session_lock_take_beside(
			  &o->lock, o->dir, o->lock_name, o->lock_dir, &me, &other)
		: session_lock_take(&o->lock, o->lock_dir, &me, &other);
}

/* A client has the answer to its QUIT a moment before the lock of its session is free,
 * and what runs behind `restante compare` in a script comes in that moment. */
static int
wait_for_session_lock(const struct import_drop *d, struct drop_opened *o)
{
	int r = take_session_lock(d, o);

	for (int i = 0; r == -EBUSY && i < SESSION_WAIT_MS / SESSION_TICK_MS; i++) {
		(void)poll(NULL, 0, SESSION_TICK_MS);
		r = take_session_lock(d, o);
	}
	return r;
}

int
drop_open(struct import_drop *d, const char *program, struct drop_opened *ret)
{
	*ret = (struct drop_opened){.dir = -1,
		.lock_dir = -1,
		.mailbox = {.fd = -1, .dot = -1},
		.lock = {.file = -1, .dir = -1}};
	int code = d->kind == STORE_MBOX ? open_mbox(d, program, ret)
					 : open_maildir(d, program, ret);
	if (code == EX_OK)
		(void)snprintf(d->log_path, sizeof(d->log_path), "%.*s/%s",
			d->kind == STORE_MBOX ? (int)(strrchr(d->path, '/') - d->path)
					      : (int)strlen(d->path),
			d->path, ret->log);
	if (code != EX_OK)
		return code;
	int r = wait_for_session_lock(d, ret);
	if (r == -EBUSY) {
		(void)fprintf(stderr,
			"restante %s: %s: a session is open in this maildrop; try again "
			"when it has ended\n",
			program, d->label);
		return EX_TEMPFAIL;
	}
	return r < 0 ? say(program, d, "it cannot be locked", r) : EX_OK;
}

void
drop_close(struct drop_opened *o)
{
	session_lock_release(&o->lock);
	mailbox_lock_release(&o->mailbox);
	fd_close(&o->lock_dir);
	fd_close(&o->dir);
}

/* ---- the process
 * ------------------------------------------------------------------------ */

int
drop_become(const struct import_drop *d)
{
	gid_t groups[DROP_GROUPS_MAX + 1] = {d->gid};

	if (!d->become)
		return 0;
	for (size_t i = 0; i < d->groups_n; i++)
		groups[i + 1] = d->groups[i];
	if (setgroups(d->groups_n + 1, groups) < 0 ||
		setresgid(d->gid, d->gid, d->gid) < 0 ||
		setresuid(d->uid, d->uid, d->uid) < 0)
		return -errno;
	/* Cleared by what was just done: a password may be in memory. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	CHECK(getuid() == d->uid && geteuid() == d->uid && setuid(0) < 0);
	return 0;
}

[[gnu::noreturn]] static void
in_child(struct import_drop *d, struct drop_work *w)
{
	int r = watched_limits();
	int code = r < 0 ? say(w->program, d, "no limits can be set", r) : EX_OK;

	if (code == EX_OK && w->before)
		code = w->before(w, d);
	if (code == EX_OK) {
		r = drop_become(d);
		code = r < 0 ? say(w->program, d, "its owner cannot be taken on", r)
			     : w->work(w, d);
	}
	if (fflush(NULL) != 0 && code == EX_OK)
		code = EX_IOERR;
	_exit(code);
}

int
drop_run(struct import_drop *d, struct drop_work *w)
{
	int status;

	if (fflush(NULL) != 0)
		return EX_IOERR;
	pid_t pid = fork();
	if (pid < 0)
		return say(w->program, d, "no process for it", -errno);
	if (pid == 0)
		in_child(d, w);
	int r = watched_wait(pid, w->silence_ms, &status);
	if (r == -ETIME) {
		(void)fprintf(stderr,
			"restante %s: %s: no progress for %u seconds (--timeout): its "
			"process was ended; try again\n",
			w->program, d->label, w->silence_ms / 1000);
		return EX_TEMPFAIL;
	}
	if (r < 0)
		return EX_OSERR;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	(void)fprintf(stderr, "restante %s: %s: its process was ended by signal %d\n",
		w->program, d->label, WTERMSIG(status));
	return EX_SOFTWARE;
}
