#include "auth/maildrop.h"
#include "base/num.h"
#include "ctl/sandbox_office.h"
#include "ipc/permit.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum field { NAME, PASSWORD, UID, GID, GECOS, HOME, SHELL, EXTRA, FIELDS };

/* A line of a users file, taken apart: name:password:uid:gid:gecos:home:shell:extra
 * fields. */
struct line {
	struct view of[FIELDS];
	size_t n;			  /* fields that are there */
	struct view uid, gid, home, mail; /* in force: an extra field wins */
};

static const struct view default_maildrop = {(const uint8_t *)"maildir:~/Maildir", 17};

static void
split(struct view text, struct line *l)
{
	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < FIELDS; i++) {
		const uint8_t *colon = i == EXTRA ? NULL : memchr(text.p, ':', text.n);
		size_t n = colon ? (size_t)(colon - text.p) : text.n;
		l->of[i] = (struct view){text.p, n};
		l->n = i + 1;
		if (!colon)
			return;
		text.p += n + 1;
		text.n -= n + 1;
	}
}

static void
read_extra(struct line *l, struct view word)
{
	struct {
		const char *key;
		struct view *to;
	} const known[] = {{"userdb_mail=", &l->mail}, {"userdb_uid=", &l->uid},
		{"userdb_gid=", &l->gid}, {"userdb_home=", &l->home}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i].key);
		if (word.n >= n && memcmp(word.p, known[i].key, n) == 0)
			*known[i].to = (struct view){word.p + n, word.n - n};
	}
}

static void
read_extras(struct line *l)
{
	struct view rest = l->of[EXTRA];
	size_t start = 0;

	l->uid = l->of[UID];
	l->gid = l->of[GID];
	l->home = l->of[HOME];
	for (size_t i = 0; i <= rest.n; i++) {
		if (i < rest.n && rest.p[i] != ' ' && rest.p[i] != '\t')
			continue;
		read_extra(l, (struct view){rest.p + start, i - start});
		start = i + 1;
	}
}

/* False where auth will refuse the line and say why; it is copied as it is. */
static bool
read_ids(const struct line *l, const struct office *f, uint32_t *uid, uint32_t *gid)
{
	uint64_t u = f->mail_uid, g = f->mail_gid;

	if ((l->uid.n > 0 && (!num_decimal(l->uid, UINT32_MAX - 1, &u) || u == 0)) ||
		(l->gid.n > 0 && (!num_decimal(l->gid, UINT32_MAX - 1, &g) || g == 0)))
		return false;
	*uid = (uint32_t)u;
	*gid = (uint32_t)g;
	return true;
}

static bool
read_maildrop(const struct line *l, struct view template, char *path, size_t cap,
	uint8_t *ret_store)
{
	struct maildrop_of of = {l->of[NAME], l->home};
	struct buf out = buf_over(path, cap - 1);

	if (l->of[NAME].n == 0 ||
		maildrop_expand(l->mail.n > 0 ? l->mail : template, &of, &out,
			ret_store) != MAILDROP_OK)
		return false;
	path[out.n] = '\0';
	return true;
}

static void
put_view(FILE *out, struct view v)
{
	(void)fwrite(v.p, 1, v.n, out);
}

static void
put_id(FILE *out, struct view field, bool in_force, uint32_t id)
{
	/* What the file or an option says stays as it is. */
	if (in_force)
		put_view(out, field);
	else
		fprintf(out, "%u", id);
}

/* As the caller, who is not root, there is nobody else to serve mail as. */
static void
put_line(FILE *out, struct view text, const struct line *l, const struct office *f,
	uint32_t uid, uint32_t gid)
{
	bool uid_said = f->root && (l->uid.n > 0 || f->mail_uid > 0);
	bool gid_said = f->root && (l->gid.n > 0 || f->mail_gid > 0);

	if (l->n > GID && uid_said && gid_said) {
		put_view(out, text);
		return;
	}
	put_view(out, l->of[NAME]);
	fputc(':', out);
	put_view(out, l->of[PASSWORD]);
	fputc(':', out);
	put_id(out, l->of[UID], uid_said, uid);
	fputc(':', out);
	put_id(out, l->of[GID], gid_said, gid);
	for (size_t i = GECOS; i < l->n; i++) {
		fputc(':', out);
		put_view(out, l->of[i]);
	}
}

static void
note_id(struct office *f, uint32_t id)
{
	if (id > 0 && id < f->id_min)
		f->id_min = id;
}

static bool
below(const char *dir, const char *path)
{
	size_t n = strlen(dir);

	return strncmp(dir, path, n) == 0 && path[n] == '/';
}

/* given: the maildrop's place is the caller's choice, so it outlives this run. */
static int
copy_line(struct office *f, struct view text, struct view template, bool given, FILE *out)
{
	struct line l;
	char path[PATH_MAX], name[256];
	uint32_t uid, gid;
	uint8_t store;
	int rc;

	split(text, &l);
	read_extras(&l);
	if (text.n == 0 || text.p[0] == '#' || !read_ids(&l, f, &uid, &gid) ||
		!read_maildrop(&l, template, path, sizeof(path), &store)) {
		put_view(out, text);
		return 0;
	}
	snprintf(name, sizeof(name), "%.*s",
		(int)(l.of[NAME].n < 255 ? l.of[NAME].n : 255),
		(const char *)l.of[NAME].p);
	rc = store == STORE_MBOX ? office_mbox(f, name, path, &uid, &gid)
				 : office_maildir(f, name, path, &uid, &gid);
	if (rc == 0)
		rc = office_place_add(
			f, path, f->root ? uid : geteuid(), f->root ? gid : getegid());
	if (rc == 0 && given && f->dir_made && below(f->dir, path))
		rc = office_keep(f, path);
	if (rc != 0)
		return rc;
	note_id(f, uid);
	note_id(f, gid);
	f->users_n++;
	put_line(out, text, &l, f, uid, gid);
	return 0;
}

static int
copy_file(struct office *f, int at, const char *path, struct view template, bool given,
	FILE *out)
{
	AUTO_FREE uint8_t *octets = NULL;
	size_t n = 0;
	AUTO_FD fd = openat(at, path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : fd_read_file(fd, OFFICE_USERS_OCTETS, &octets, &n);

	if (rc < 0)
		return office_say(EX_NOINPUT, "%s%.500s: %s", given ? "--users " : "",
			path, strerror(-rc));
	rc = 0;
	for (size_t i = 0; i < n && rc == 0;) {
		const uint8_t *end = memchr(octets + i, '\n', n - i);
		size_t len = end ? (size_t)(end - octets) - i : n - i;
		rc = copy_line(f, (struct view){octets + i, len}, template, given, out);
		fputc('\n', out);
		i += len + 1;
	}
	return rc;
}

/* Where the mail of --user NAME:PASSWORD lies; odd characters of the name as =XX. */
static int
own_maildir(const struct office *f, const char *name, size_t n, char *ret, size_t cap)
{
	struct buf b = buf_over(ret, cap - 1);
	char hex[4];

	buf_put_str(&b, f->dir);
	buf_put_str(&b, "/mail/");
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || (c == '.' && i > 0) ||
			strchr("@_+-", c);
		snprintf(hex, sizeof(hex), "=%02X", c);
		if (plain)
			buf_put_u8(&b, c);
		else
			buf_put_str(&b, hex);
	}
	ret[b.n] = '\0';
	return b.full ? -ENAMETOOLONG : 0;
}

/* A path that was given, as an absolute one without links: of what exists of it. */
static int
real_path(const char *given, char *ret, size_t cap)
{
	char head[PATH_MAX];
	size_t n = strlen(given);

	while (n > 1 && given[n - 1] == '/')
		n--;
	if (n == 0 || n >= sizeof(head))
		return n == 0 ? -ENOENT : -ENAMETOOLONG;
	for (size_t cut = n;; cut--) {
		if (cut < n && cut > 0 && given[cut] != '/')
			continue;
		snprintf(head, sizeof(head), "%.*s", cut > 0 ? (int)cut : 1,
			cut > 0			  ? given
				: given[0] == '/' ? "/"
						  : ".");
		char *real = realpath(head, NULL);
		if (!real && (errno != ENOENT || cut == 0))
			return -errno;
		if (!real)
			continue;
		int len =
			snprintf(ret, cap, "%s%s%.*s", strcmp(real, "/") == 0 ? "" : real,
				cut == 0 ? "/" : "", (int)(n - cut), given + cut);
		free(real);
		if (len < 0 || (size_t)len >= cap)
			return -ENAMETOOLONG;
		return conf_path_is_normal(
			       (struct view){(const uint8_t *)ret, (size_t)len})
			? 0
			: -EINVAL;
	}
}

static int
check_user(const char *arg, size_t name, const char *password, size_t n)
{
	if (name == 0 || name > MAILDROP_NAME_MAX || arg[0] == '#')
		return office_say(EX_USAGE,
			"--user %.80s: the name is empty, longer than %d octets "
			"or begins with #",
			arg, MAILDROP_NAME_MAX);
	if (n == 0)
		return office_say(EX_USAGE,
			"--user %.*s: no password: give NAME:PASSWORD or "
			"NAME:PASSWORD:MAILDROP",
			(int)name, arg);
	for (const char *p = arg; p < password + n; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7F)
			return office_say(EX_USAGE,
				"--user %.80s: a control character in name or "
				"password",
				arg);
	return 0;
}

static int
add_user(struct office *f, const char *arg, FILE *out)
{
	size_t name = strcspn(arg, ":");
	const char *password = arg + name + (arg[name] == ':');
	size_t n = strcspn(password, ":");
	const char *given = password[n] == ':' ? password + n + 1 : NULL;
	bool mbox = given && strncmp(given, "mbox:", 5) == 0;
	char path[PATH_MAX], *line = NULL;
	int rc = check_user(arg, name, password, n);

	if (rc != 0)
		return rc;
	rc = given ? real_path(mbox ? given + 5 : given, path, sizeof(path))
		   : own_maildir(f, arg, name, path, sizeof(path));
	if (rc < 0 || strpbrk(path, ":\n\r"))
		return office_say(EX_USAGE, "--user %.*s: MAILDROP: %s", (int)name, arg,
			rc < 0 ? strerror(-rc)
			       : "its path holds a colon or a line break");
	/* The home field takes any path; ~ alone is then the maildrop itself. */
	n = (size_t)asprintf(&line, "%.*s:{PLAIN}%.*s::::%s::userdb_mail=%s:~", (int)name,
		arg, (int)n, password, path, mbox ? "mbox" : "maildir");
	if (!line)
		return office_say(EX_OSERR, "out of memory");
	rc = copy_line(
		f, (struct view){(const uint8_t *)line, n}, default_maildrop, given, out);
	explicit_bzero(line, n);
	free(line);
	fputc('\n', out);
	return rc;
}

static int
add_demo(struct office *f, FILE *out)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = own_maildir(f, "demo", 4, path, sizeof(path));
	bool fresh = rc == 0 && stat(path, &st) != 0;

	rc = add_user(f, "demo:demo", out);
	if (rc == 0 && fresh && stat(path, &st) == 0)
		rc = office_sample(path, st.st_uid, st.st_gid);
	return rc;
}

static struct view
template_of(const struct office *f)
{
	static const char key[] = "maildrop=";
	struct view template = default_maildrop;

	for (size_t i = 0; i < f->o.sets_n; i++)
		if (strncmp(f->o.sets[i], key, sizeof(key) - 1) == 0) {
			const char *value = f->o.sets[i] + sizeof(key) - 1;
			template = (struct view){(const uint8_t *)value, strlen(value)};
		}
	return template;
}

static int
write_users(struct office *f, FILE *out)
{
	bool given = f->o.users_n > 0 || f->o.users_file;
	int rc = 0;

	if (!given && faccessat(f->dir_fd, "users", F_OK, 0) == 0)
		return copy_file(f, f->dir_fd, "users", template_of(f), false, out);
	if (!given)
		return add_demo(f, out);
	for (size_t i = 0; i < f->o.users_n && rc == 0; i++)
		rc = add_user(f, f->o.users[i], out);
	if (rc == 0 && f->o.users_file)
		rc = copy_file(f, AT_FDCWD, f->o.users_file, template_of(f), true, out);
	return rc;
}

int
office_users(struct office *f)
{
	size_t n = 0;
	FILE *out = open_memstream(&f->users_text, &n);

	if (!out)
		return office_say(EX_OSERR, "out of memory");
	int rc = write_users(f, out);
	if (fclose(out) != 0 && rc == 0)
		rc = office_say(EX_OSERR, "out of memory");
	if (rc == 0 && f->users_n == 0)
		rc = office_say(EX_DATAERR, "%s: no line of it is a user",
			f->o.users_file ? f->o.users_file : "users");
	if (rc == 0)
		rc = office_write(f, "users", 0600,
			(struct view){(const uint8_t *)f->users_text, n});
	return rc;
}
