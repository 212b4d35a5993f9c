/*
 * passport_drop.c: the list of a maildrop as its store gives it.
 *
 * Root does not read other people's mail as root: a child becomes the owner, opens the
 * maildrop below its parent directory, and hands the list back as a passport in a memfd,
 * which is read as strictly as any other.
 */
#include "base/check.h"
#include "ipc/permit.h"
#include "move/passport_parts.h"
#include "move/show.h"
#include "move/watched.h"
#include "os/fd.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK 65536

bool
passport_drop_read(const char *text, struct passport_drop *ret, const char **ret_why)
{
	struct stat st;

	ret->kind = 0;
	ret->path = text;
	if (strncmp(text, "maildir:", 8) == 0) {
		ret->kind = STORE_MAILDIR;
		ret->path = text + 8;
	} else if (strncmp(text, "mbox:", 5) == 0) {
		ret->kind = STORE_MBOX;
		ret->path = text + 5;
	}
	size_t n = strlen(ret->path);
	if (ret->path[0] != '/' || n < 2 || ret->path[n - 1] == '/') {
		*ret_why = "a maildrop is maildir:PATH or mbox:PATH, the path absolute "
			   "and without a slash at its end";
		return false;
	}
	if (ret->kind == 0 && stat(ret->path, &st) < 0) {
		*ret_why = "it cannot be seen what this is: write maildir:PATH or "
			   "mbox:PATH";
		return false;
	}
	if (ret->kind == 0)
		ret->kind = S_ISDIR(st.st_mode) ? STORE_MAILDIR : STORE_MBOX;
	return true;
}

/* ---- reading, as the owner ---- */

struct reading {
	const struct passport_drop *d;
	const struct store_ops *ops;
	struct store *store;
	const struct store_table *table;
	struct gathered *list;
	uint8_t *block;
	char *why;
	size_t why_n;
};

static int
fail(struct reading *r, int status, const char *what, int err)
{
	(void)snprintf(r->why, r->why_n, "%.500s: %s%s%s", r->d->path, what,
		err < 0 ? ": " : "", err < 0 ? strerror(-err) : "");
	return status;
}

static int
digest_slice(
	struct reading *r, const struct store_slice *slice, struct compare_message *m)
{
	struct header_digest d;
	uint64_t at = 0;
	int err = header_digest_start(&d, r->d->whole);

	while (err == 0 && at < slice->length) {
		uint64_t left = slice->length - at;
		size_t n = left < BLOCK ? (size_t)left : BLOCK;
		err = fd_pread_all(slice->fd, r->block, n, slice->offset + at);
		if (err == 0)
			header_digest_take(&d, (struct view){r->block, n});
		at += n;
	}
	if (err < 0) {
		header_digest_done(&d);
		return err;
	}
	err = header_digest_finish(&d, m->header, r->d->whole ? m->whole : NULL);
	m->has_header = err == 0;
	m->has_whole = m->has_header && r->d->whole;
	return err;
}

static int
take_message(struct reading *r, uint32_t idx, struct buf *uidls)
{
	const struct store_message *from = &r->table->messages[idx];
	struct compare_message *m = &r->list->side.messages[idx];
	struct store_slice slice;
	size_t start = uidls->n;

	m->number = idx + 1;
	m->size = from->wire;
	buf_put_view(uidls, from->uidl);
	m->uidl = (struct view){uidls->p + start, from->uidl.n};
	int err = r->ops->slice(r->store, r->table, idx, &slice);
	if (err == 0) {
		err = digest_slice(r, &slice, m);
		fd_close(&slice.fd);
	}
	m->refused = !m->has_header;
	r->list->digests += m->has_header;
	/* One that cannot be opened is one that a client cannot fetch: it is told. */
	return err == -ENOMEM ? err : 0;
}

static int
read_table(struct reading *r)
{
	size_t octets = 0;

	for (uint32_t i = 0; i < r->table->count; i++)
		octets += r->table->messages[i].uidl.n;
	r->block = malloc(BLOCK);
	if (!r->block || gathered_new(r->table->count, octets, r->list) < 0)
		return fail(r, EX_OSERR, "there is no memory", 0);
	r->list->side.has_uidls = true;
	struct buf uidls = buf_over(r->list->uidls, octets);
	for (uint32_t i = 0; i < r->table->count; i++) {
		int err = take_message(r, i, &uidls);
		if (err < 0)
			return fail(r, EX_OSERR, "cannot read the mail", err);
	}
	return 0;
}

/* A slice may bring the store to read anew: the table stays ours. */
static int
read_kept(struct reading *r)
{
	const struct store_table *kept = r->ops->retain(r->table);

	r->table = kept;
	int status = read_table(r);
	r->ops->release(&kept);
	return status;
}

static int
read_locked(struct reading *r)
{
	struct lock_holder me = {0}, other;
	int err = r->ops->lock(r->store, &me, &other);

	if (err == -EBUSY)
		return fail(r, EX_TEMPFAIL,
			"a session holds the maildrop; try again when it is over", 0);
	if (err < 0)
		return fail(r, EX_NOINPUT, "cannot lock the maildrop", err);
	err = r->ops->refresh(r->store, &r->table);
	int status = err < 0 ? fail(r, EX_DATAERR, "cannot read the maildrop", err)
			     : read_kept(r);
	r->ops->unlock(r->store);
	return status;
}

static int
read_drop(const struct passport_drop *d, int parent, const char *name,
	struct gathered *ret, char *why, size_t why_n)
{
	struct store_options o = {.hostname = "localhost",
		.folders = d->folders,
		.mbox_unquote = d->unquote};
	struct reading r = {.d = d,
		.ops = store_ops_of(d->kind),
		.list = ret,
		.why = why,
		.why_n = why_n};
	int status;

	if (!r.ops)
		return fail(&r, EX_UNAVAILABLE, "this kind of store is not known", 0);
	int err = r.ops->open(parent, name, &o, &r.store);
	if (err < 0)
		return fail(&r, EX_NOINPUT, "cannot open the maildrop", err);
	status = read_locked(&r);
	r.ops->close(&r.store);
	free(r.block);
	if (status != 0)
		gathered_free(ret);
	return status;
}

/* ---- becoming the owner ---- */

static int
become(const struct stat *owner)
{
	struct passwd *pw = getpwuid(owner->st_uid);
	gid_t gid = pw ? pw->pw_gid : owner->st_gid;

	/* The group of the spool directory's files, as the server gives it too. */
	if (setgroups(1, &owner->st_gid) < 0 || setresgid(gid, gid, gid) < 0 ||
		setresuid(owner->st_uid, owner->st_uid, owner->st_uid) < 0)
		return -errno;
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

static int
limit(void)
{
	struct rlimit l = {PASSPORT_OCTETS_MAX, PASSPORT_OCTETS_MAX};
	int r = watched_limits();

	if (r == 0 && setrlimit(RLIMIT_FSIZE, &l) < 0)
		r = -errno;
	return r;
}

static int
hand_over(int out, const struct gathered *list, const struct passport_drop *d)
{
	char *text = NULL;
	size_t n = 0;
	int r = passport_write(list, d->path, d->whole, NULL, &text, &n);

	if (r == 0)
		r = fd_write_all(out, text, n);
	free(text);
	return r;
}

[[gnu::noreturn]] static void
child(const struct passport_drop *d, int parent, const char *name,
	const struct stat *owner, int out)
{
	struct gathered list = {0};
	char why[PASSPORT_WHY_MAX] = "";
	int err = limit();
	int status = EX_OSERR;

	if (err == 0)
		err = become(owner);

	if (err < 0)
		(void)snprintf(why, sizeof(why), "cannot become the owner of %.500s: %s",
			d->path, strerror(-err));
	else
		status = read_drop(d, parent, name, &list, why, sizeof(why));
	if (status == 0 && hand_over(out, &list, d) < 0) {
		(void)snprintf(why, sizeof(why), "the list does not fit into memory");
		status = EX_OSERR;
	}
	/* The reason takes the list's place. */
	if (status != 0)
		(void)!fd_write_all(out, why, strlen(why));
	gathered_free(&list);
	_exit(status);
}

static int
take_over(int out, int status, struct gathered *ret, char *why, size_t why_n)
{
	uint8_t *text = NULL;
	size_t n = 0;
	struct passport head;

	/* Its offset is where the child stopped writing. */
	if (lseek(out, 0, SEEK_SET) < 0 ||
		fd_read_file(out, PASSPORT_OCTETS_MAX, &text, &n) < 0) {
		(void)snprintf(why, why_n, "cannot read what the child wrote");
		return EX_OSERR;
	}
	if (status != 0) {
		struct buf b = buf_over(why, why_n - 1);
		show_printable(&b, (struct view){text, n}, why_n - 8);
		why[b.n] = '\0';
		if (n == 0)
			(void)snprintf(why, why_n,
				"the child that read the maildrop ended without a word");
	} else if (passport_read((struct view){text, n}, ret, &head, why, why_n) < 0) {
		status = EX_SOFTWARE;
	}
	free(text);
	return status;
}

static int
in_child(const struct passport_drop *d, int parent, const char *name,
	const struct stat *owner, struct gathered *ret, char *why, size_t why_n)
{
	AUTO_FD out = memfd_create("passport", MFD_CLOEXEC);

	if (out < 0) {
		(void)snprintf(why, why_n, "memfd: %s", strerror(errno));
		return EX_OSERR;
	}
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		child(d, parent, name, owner, out);
	if (pid < 0) {
		(void)snprintf(why, why_n, "fork: %s", strerror(errno));
		return EX_OSERR;
	}
	int status, r = watched_wait(pid, d->silence_ms, &status);
	if (r == -ETIME) {
		(void)snprintf(why, why_n,
			"%.500s: no progress for %u seconds (--timeout): the process "
			"that "
			"read it was ended; try again",
			d->path, d->silence_ms / 1000);
		return EX_TEMPFAIL;
	}
	if (r < 0) {
		(void)snprintf(why, why_n, "waitpid: %s", strerror(-r));
		return EX_OSERR;
	}
	status = WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
	return take_over(out, status, ret, why, why_n);
}

/* The parent directory and the name in it. Root follows no links, which may be a user's
 * and lead to the mail of another. */
static int
open_parent(const char *path, const char **ret_name)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = (size_t)(slash - path);

	if (n >= sizeof(directory))
		return -ENAMETOOLONG;
	memcpy(directory, path, n);
	directory[n] = '\0';
	*ret_name = slash + 1;
	bool root = geteuid() == 0;
	int fd = open(n > 0 && !root ? directory : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || n == 0 || !root)
		return fd < 0 ? -errno : fd;
	AUTO_FD top = fd;
	const char *below = directory + strspn(directory, "/");
	return fd_open_beneath(top, *below ? below : ".", O_PATH | O_DIRECTORY, 0);
}

int
passport_drop_list(
	const struct passport_drop *d, struct gathered *ret, char *why, size_t why_n)
{
	const char *name;
	struct stat owner;
	AUTO_FD parent = open_parent(d->path, &name);
	int err = parent < 0 ? parent : 0;

	*ret = (struct gathered){0};
	if (err == 0 && fstatat(parent, name, &owner, AT_SYMLINK_NOFOLLOW) < 0)
		err = -errno;
	if (err < 0) {
		(void)snprintf(why, why_n, "%.500s: %s", d->path, strerror(-err));
		return EX_NOINPUT;
	}
	if (geteuid() != 0)
		return read_drop(d, parent, name, ret, why, why_n);
	if (owner.st_uid == 0) {
		(void)snprintf(why, why_n,
			"%.500s belongs to root; mail is not read as root: give it to "
			"its user with chown",
			d->path);
		return EX_NOPERM;
	}
	return in_child(d, parent, name, &owner, ret, why, why_n);
}
