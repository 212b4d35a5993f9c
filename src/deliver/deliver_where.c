/* Whose mail it is, and where that lies: the same templates as those of the server. */
#include "auth/maildrop.h"
#include "deliver/deliver_one.h"
#include "ipc/permit.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define PASSWD_OCTETS 65536

struct person {
	bool known; /* to this machine */
	struct view name, home;
	char storage[PASSWD_OCTETS];
};

static struct view
view_of(const char *text)
{
	return (struct view){(const uint8_t *)text, text ? strlen(text) : 0};
}

/* getpw*_r give 0 and no entry, or one of these, where there is none. */
static bool
says_unknown(int error)
{
	return error == 0 || error == ENOENT || error == ESRCH;
}

/* Those of the user, and those that a keeper of the same mail would have. name NULL: the
 * machine knows no such user. */
static int
take_groups(const char *name, gid_t gid, const struct conf *c)
{
	if ((name ? initgroups(name, gid) : setgroups(1, &gid)) < 0)
		return -errno;
	int n = getgroups(0, NULL);
	if (n < 0)
		return -errno;
	size_t own = (size_t)n;
	AUTO_FREE gid_t *list = calloc(own + c->mail_groups_n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	n = getgroups(n, list);
	if (n < 0)
		return -errno;
	own = (size_t)n;
	for (size_t i = 0; i < c->mail_groups_n; i++)
		list[own + i] = c->mail_group_ids[i];
	return setgroups(own + c->mail_groups_n, list) < 0 ? -errno : 0;
}

/* As root, mail is put down as its owner and nobody else. */
static int
become(const char *name, uid_t uid, gid_t gid, const struct conf *c)
{
	if (geteuid() != 0 || uid == 0)
		return EX_OK;
	int e = take_groups(name, gid, c);
	if (e == 0 && (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0))
		e = -errno;
	if (e < 0)
		return deliver_fail(EX_TEMPFAIL, "4.3.0", "cannot become %s: %s",
			name ? name : "the owner of the maildrop", strerrordesc_np(-e));
	return EX_OK;
}

/*
 * HOME is believed where it is the home that the machine's list of users gives: who
 * inherits an environment of somebody else must not write there.
 */
static int
find_person(const struct wish *w, const struct conf *c, struct person *p)
{
	struct passwd entry, *pw = NULL;
	int e = w->user
		? getpwnam_r(w->user, &entry, p->storage, sizeof(p->storage), &pw)
		: getpwuid_r(geteuid(), &entry, p->storage, sizeof(p->storage), &pw);

	if (!pw && !says_unknown(e))
		return deliver_fail(EX_TEMPFAIL, "4.3.0", "cannot look up %s: %s",
			w->user ? w->user : "the caller", strerrordesc_np(e));
	p->known = pw != NULL;
	if (!pw) {
		p->name = view_of(w->user);
		p->home = (struct view){NULL, 0};
		return EX_OK;
	}
	p->name = view_of(pw->pw_name);
	p->home = view_of(pw->pw_dir);
	return w->user ? become(pw->pw_name, pw->pw_uid, pw->pw_gid, c) : EX_OK;
}

static int
say_fault(enum maildrop_fault fault, const struct wish *w, const char *template)
{
	bool ours = w->maildrop != NULL;
	const char *where = ours ? "--maildrop" : "option maildrop";
	/* A configuration can be mended before the MTA gives up. */
	int status = ours ? EX_USAGE : EX_TEMPFAIL;
	const char *code = ours ? "5.3.5" : "4.3.5";
	const char *user = w->user ? w->user : "the caller";

	switch (fault) {
	case MAILDROP_OK: break;
	case MAILDROP_FORM:
		return deliver_fail(status, code,
			"%s %s: expected maildir:PATH or mbox:PATH", where, template);
	case MAILDROP_VARIABLE:
		return deliver_fail(status, code,
			"%s %s: %% stands before u, n, d, h or %%", where, template);
	case MAILDROP_RELATIVE:
		return deliver_fail(status, code,
			"%s %s: the path must begin with / or ~", where, template);
	case MAILDROP_DOTS:
	case MAILDROP_LONG:
		return deliver_fail(status, code,
			"%s %s: the path is longer than %d octets, or has . or .. in it",
			where, template, MAILDROP_OCTETS_MAX);
	case MAILDROP_EMPTY:
	case MAILDROP_NAME:
		return deliver_fail(EX_NOUSER, "5.1.1", "%s cannot stand in %s %s", user,
			where, template);
	case MAILDROP_HOME:
		return deliver_fail(EX_NOUSER, "5.1.1",
			"%s is no user of this machine and has no home", user);
	}
	return EX_OK;
}

/* Links may be the user's; only root could be led astray by them. */
static int
open_above(const char *above)
{
	if (geteuid() != 0) {
		int fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	AUTO_FD top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return -errno;
	above += strspn(above, "/");
	return fd_open_beneath(top, *above ? above : ".", O_PATH | O_DIRECTORY, 0);
}

/*
 * The deepest directory above the maildrop that is there is the root: links on the way to
 * it are the machine's own, those below it are not followed.
 */
static int
open_root(struct view path, struct place *ret)
{
	char above[PATH_MAX];

	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	size_t n = path.n;
	for (;;) {
		while (n > 0 && path.p[n - 1] != '/')
			n--;
		while (n > 1 && path.p[n - 1] == '/')
			n--;
		memcpy(above, path.p, n);
		above[n] = '\0';
		ret->root = open_above(above);
		if (ret->root != -ENOENT || n <= 1)
			break;
	}
	int e = ret->root < 0 ? ret->root : 0;
	if (e == -ELOOP)
		return deliver_fail(EX_CANTCREAT, "5.2.0",
			"%s: root follows no symbolic links: write the path without "
			"them, or name the user with -d",
			above);
	if (e == -EACCES || e == -ENOTDIR)
		return deliver_fail(
			EX_CANTCREAT, "5.2.0", "%s: %s", above, strerrordesc_np(-e));
	if (e < 0)
		return deliver_fail(
			EX_TEMPFAIL, "4.2.0", "%s: %s", above, strerrordesc_np(-e));
	while (n < path.n && path.p[n] == '/')
		n++;
	memcpy(ret->path, path.p + n, path.n - n);
	ret->path[path.n - n] = '\0';
	return EX_OK;
}

/* Anybody can be named: of those whom the machine does not know, only who has mail. */
static int
check_virtual(const struct wish *w, const struct place *p)
{
	struct stat st;

	if (fstatat(p->root, p->path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return EX_OK;
	if (errno != ENOENT)
		return deliver_fail(
			EX_TEMPFAIL, "4.2.0", "%s: %s", p->path, strerrordesc_np(errno));
	return deliver_fail(EX_NOUSER, "5.1.1",
		"%s is no user of this machine and has no maildrop", w->user);
}

/*
 * Still root: the machine knows no such user, or none was named. Whoever has the
 * maildrop, or the directory in which it is to be made, must be able to read what is put
 * there.
 */
static int
become_owner(const struct place *p, const struct conf *c)
{
	struct stat st;

	if (geteuid() != 0)
		return EX_OK;
	if (fstatat(p->root, p->path, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		fstatat(p->root, "", &st, AT_EMPTY_PATH) < 0)
		return deliver_fail(
			EX_TEMPFAIL, "4.2.0", "%s: %s", p->path, strerrordesc_np(errno));
	return become(NULL, st.st_uid, st.st_gid, c);
}

int
deliver_where(const struct wish *w, const struct conf *c, struct place *ret)
{
	AUTO_FREE struct person *p = calloc(1, sizeof(*p));
	uint8_t octets[MAILDROP_OCTETS_MAX + 1];
	struct buf path = buf_over(octets, sizeof(octets));
	const char *template = w->maildrop ? w->maildrop : c->maildrop;

	if (!p)
		return deliver_fail(EX_TEMPFAIL, "4.3.0", "no memory");
	int status = find_person(w, c, p);
	if (status != EX_OK)
		return status;
	struct maildrop_of of = {.name = p->name, .home = p->home};
	enum maildrop_fault fault =
		maildrop_expand(view_of(template), &of, &path, &ret->kind);
	if (fault != MAILDROP_OK)
		return say_fault(fault, w, template);
	status = open_root(buf_view(&path), ret);
	if (status == EX_OK && w->user && !p->known)
		status = check_virtual(w, ret);
	return status == EX_OK ? become_owner(ret, c) : status;
}
