/* Which maildrops: one that is named, or those of users of the configuration. */
#include "base/ascii.h"
#include "base/check.h"
#include "conf/conf.h"
#include "ipc/permit.h"
#include "move/import_drop.h"
#include "move/who_line.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define CONFIG		RESTANTE_SYSCONFDIR "/restante.conf"
#define NAME_OCTETS_MAX 255
#define USERS_FILE_MAX	((size_t)256 << 20)

static int
worse(int a, int b)
{
	return a > b ? a : b;
}

/* ---- one that is named
 * ------------------------------------------------------------------- */

static int
usage(const struct who *w, const char *why)
{
	(void)fprintf(stderr, "restante %s: %s\ntry: restante %s --help\n", w->program,
		why, w->program);
	return EX_USAGE;
}

static int
cannot_see(const struct who *w, const char *path, int err)
{
	(void)fprintf(stderr, "restante %s: %s: %s%s\n", w->program, path,
		strerrordesc_np(-err),
		err == -ELOOP ? " (root follows none: write the path without them)" : "");
	return drop_exit_status(err);
}

/* A link on the way may be a user's, and lead root to the mail of another. */
static int
open_named(const char *path)
{
	bool absolute = path[0] == '/';

	if (geteuid() != 0) {
		int fd = open(path, O_PATH | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	AUTO_FD from = open(absolute ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return -errno;
	path += strspn(path, "/");
	return fd_open_beneath(from, *path ? path : ".", O_PATH, 0);
}

/* Its path without links and dots. */
static int
path_of(int fd, char ret[DROP_PATH_MAX + 1])
{
	char link[40];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, ret, DROP_PATH_MAX + 1);
	if (n < 0)
		return -errno;
	if (n > DROP_PATH_MAX)
		return -ENAMETOOLONG;
	ret[n] = '\0';
	return 0;
}

/* Root works as the owner of what is there. */
static int
find_owner(const struct who *w, int fd, struct import_drop *d)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return cannot_see(w, d->path, -errno);
	if (geteuid() != 0)
		return EX_OK;
	if (st.st_uid == 0) {
		(void)fprintf(stderr,
			"restante %s: %s belongs to root, and mail is never handled as "
			"root; chown it to its user first\n",
			w->program, d->path);
		return EX_NOPERM;
	}
	d->become = true;
	d->uid = st.st_uid;
	d->gid = st.st_gid;
	return EX_OK;
}

static int
each_named(const struct who *w, struct who_sink *s)
{
	struct import_drop d = {.label = w->maildrop};
	const char *colon = strchr(w->maildrop, ':');
	size_t n = colon ? (size_t)(colon - w->maildrop) : 0;

	if (n == 7 && memcmp(w->maildrop, "maildir", n) == 0)
		d.kind = STORE_MAILDIR;
	else if (n == 4 && memcmp(w->maildrop, "mbox", n) == 0)
		d.kind = STORE_MBOX;
	else
		return usage(w, "a maildrop is maildir:PATH or mbox:PATH");
	AUTO_FD there = open_named(colon + 1);
	int e = there < 0 ? there : path_of(there, d.path);
	if (e == -ENAMETOOLONG)
		return usage(w, "the maildrop's path is longer than 1024 octets");
	if (e < 0)
		return cannot_see(w, colon + 1, e);
	d.user = w->user;
	AUTO_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return EX_OSERR;
	d.root = root;
	int code = find_owner(w, there, &d);
	return code != EX_OK ? code : s->each(s, &d);
}

/* ---- users
 * --------------------------------------------------------------------------------- */

static void
conf_error(struct conf_sink *s, const char *text)
{
	(void)s;
	(void)fprintf(stderr, "%s\n", text);
}

/* Octets of the path that are one of mail_roots; 0: it is below none. */
static size_t
root_of(const struct conf *c, const struct who_user *u)
{
	struct view roots = conf_get(c, "mail_roots");
	size_t at = 0;

	while (at < roots.n) {
		size_t end = at;
		while (end < roots.n && roots.p[end] != ' ' && roots.p[end] != ',')
			end++;
		size_t n = end - at;
		while (n > 1 && roots.p[at + n - 1] == '/')
			n--;
		if (n > 0 && u->path_n > n && memcmp(u->path, roots.p + at, n) == 0 &&
			(n == 1 || u->path[n] == '/'))
			return n;
		at = end + 1;
	}
	return 0;
}

static const char *
user_fault(const struct conf *c, const struct who_user *u)
{
	if (u->uid < c->mail_uid_min || u->uid > c->mail_uid_max)
		return "the uid is not between mail_uid_min and mail_uid_max";
	if (u->gid < c->mail_uid_min || u->gid > c->mail_uid_max)
		return "the gid is not between mail_uid_min and mail_uid_max";
	if (root_of(c, u) == 0)
		return "the maildrop is not below one of mail_roots";
	return NULL;
}

struct run {
	const struct who *who;
	const struct conf *conf;
	struct who_sink *sink;
	const char *file;
	int worst;
	uint32_t line, found;
};

static int
run_user(struct run *r, const struct who_user *u)
{
	char name[NAME_OCTETS_MAX + 1];
	struct import_drop d = {.label = name,
		.user = name,
		.kind = u->store,
		.become = geteuid() == 0,
		.uid = u->uid,
		.gid = u->gid};

	memcpy(name, u->name.p, u->name.n);
	name[u->name.n] = '\0';
	memcpy(d.path, u->path, u->path_n);
	d.path[u->path_n] = '\0';
	d.root_n = root_of(r->conf, u);
	d.groups_n = r->conf->mail_groups_n;
	CHECK(d.groups_n <= DROP_GROUPS_MAX); /* as options.def has it */
	for (size_t i = 0; i < d.groups_n; i++)
		d.groups[i] = r->conf->mail_group_ids[i];
	char root[DROP_PATH_MAX + 1];
	(void)snprintf(root, sizeof(root), "%.*s", (int)d.root_n, d.path);
	AUTO_FD fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		(void)fprintf(stderr, "restante %s: %s: %s\n", r->who->program, root,
			strerrordesc_np(errno));
		return EX_NOINPUT;
	}
	d.root = fd;
	return r->sink->each(r->sink, &d);
}

static void
take_line(struct run *r, struct view line, const struct who_options *o)
{
	struct who_user u;
	const char *why = who_line_read(line, o, &u);

	if (!why && u.name.n == 0)
		return;
	struct view wanted = {
		(const uint8_t *)r->who->user, r->who->user ? strlen(r->who->user) : 0};
	if (!r->who->all && !view_equal(u.name, wanted))
		return;
	if (!r->who->all && r->found > 0)
		return;
	r->found++;
	if (!why)
		why = user_fault(r->conf, &u);
	if (!why) {
		r->worst = worse(r->worst, run_user(r, &u));
		return;
	}
	(void)fprintf(stderr, "restante %s: %s:%u: user '%.*s': %s\n", r->who->program,
		r->file, r->line, (int)u.name.n, (const char *)u.name.p, why);
	r->worst = worse(r->worst, EX_CONFIG);
}

static int
read_users(struct run *r, struct view text)
{
	struct who_options o = {.maildrop = conf_get(r->conf, "maildrop"),
		.uid = (uint32_t)r->conf->mail_uid,
		.gid = (uint32_t)r->conf->mail_gid};

	while (text.n > 0) {
		const uint8_t *lf = memchr(text.p, '\n', text.n);
		struct view line = {text.p, lf ? (size_t)(lf - text.p) : text.n};
		size_t used = line.n + (lf ? 1 : 0);

		r->line++;
		take_line(r, line, &o);
		text.p += used;
		text.n -= used;
	}
	if (r->found > 0 || r->who->all)
		return r->worst;
	(void)fprintf(stderr, "restante %s: %s: there is no user '%s'\n", r->who->program,
		r->file, r->who->user);
	return EX_NOUSER;
}

static int
each_user(const struct who *w, struct who_sink *s, const struct conf *c)
{
	char file[DROP_PATH_MAX + 1];
	AUTO_FREE uint8_t *octets = NULL;
	struct view path = conf_get(c, "users_file");
	struct run r = {.who = w, .conf = c, .sink = s, .file = file};
	size_t n = 0;

	(void)snprintf(file, sizeof(file), "%.*s", (int)path.n, (const char *)path.p);
	AUTO_FD fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int e = fd < 0 ? -errno : fd_read_file(fd, USERS_FILE_MAX, &octets, &n);
	if (e < 0) {
		(void)fprintf(stderr, "restante %s: %s: %s\n", w->program, file,
			strerrordesc_np(-e));
		return drop_exit_status(e);
	}
	int code = read_users(&r, (struct view){octets, n});
	explicit_bzero(octets, n);
	return code;
}

int
who_each(const struct who *w, struct who_sink *s)
{
	struct conf_sink errors = {.error = conf_error};
	int ways = (w->maildrop != NULL) + w->all + (w->user && !w->maildrop);

	if (ways != 1)
		return usage(w, "which maildrop? one of --maildrop, --user and --all");
	if (w->maildrop)
		return each_named(w, s);
	struct conf *c = conf_new();
	if (!c)
		return EX_OSERR;
	int code = conf_load_file(w->config ? w->config : CONFIG, &errors, c) == 0
		? each_user(w, s, c)
		: EX_CONFIG;
	conf_free(&c);
	return code;
}
