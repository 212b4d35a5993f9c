#include "ctl/ctl_last.h"

#include "base/num.h"
#include "ctl/ctl_ask.h"
#include "os/fd.h"
#include "store/session_lock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define NAME_MAX_OCTETS 1024
#define COMMAND_MAX	1280
#define ID_MAX		4294967293

/* What the server says of a user. */
struct where {
	char maildrop[PATH_MAX];
	bool is_mbox;
	uint64_t uid, gid;
};

/* ---- where ---- */

/* The value of the line "KEY: VALUE"; p is NULL without one. */
static struct view
value_of(struct view text, const char *key)
{
	size_t key_n = strlen(key);

	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		if (n > key_n + 2 && memcmp(text.p, key, key_n) == 0 &&
			memcmp(text.p + key_n, ": ", 2) == 0)
			return (struct view){text.p + key_n + 2, n - key_n - 2};
		n += end != NULL;
		text = (struct view){text.p + n, text.n - n};
	}
	return (struct view){NULL, 0};
}

/* NULL, or why there is nothing to look at. */
static const char *
where_of(struct view answer, struct where *ret)
{
	struct view maildrop = value_of(answer, "maildrop");
	struct view store = value_of(answer, "store");

	if (!maildrop.p)
		return "no database gives this user a maildrop, see restante why";
	/* The server shows what no terminal should obey as a question mark. */
	if (memchr(maildrop.p, '?', maildrop.n))
		return "the maildrop's path is not of printable ASCII alone";
	if (maildrop.n >= sizeof(ret->maildrop) || maildrop.p[0] != '/' ||
		!num_decimal(value_of(answer, "owner"), ID_MAX, &ret->uid) ||
		!num_decimal(value_of(answer, "group"), ID_MAX, &ret->gid))
		return "the server's answer is not understood";
	memcpy(ret->maildrop, maildrop.p, maildrop.n);
	ret->maildrop[maildrop.n] = 0;
	ret->is_mbox = store.n == 4 && memcmp(store.p, "mbox", 4) == 0;
	return NULL;
}

/* ---- the record ---- */

/* As the owner: nobody else's files are opened for him. 0 or -errno. */
static int
become(uint64_t uid, uint64_t gid)
{
	if (geteuid() != 0)
		return 0;
	if (uid == 0 || gid == 0)
		return -EPERM;
	if (setgroups(0, NULL) < 0 || setegid((gid_t)gid) < 0 || seteuid((uid_t)uid) < 0)
		return -errno;
	return 0;
}

/* Who cannot come back must not go on. */
static void
come_back(void)
{
	if (getuid() == 0 && (seteuid(0) < 0 || setegid(0) < 0))
		_exit(EX_OSERR);
}

/* The directory that the file lies in, and its name there. False: too long. */
static bool
split(const struct where *w, char dir[PATH_MAX], char name[NAME_MAX + 1])
{
	const char *slash = strrchr(w->maildrop, '/');

	if (!w->is_mbox) {
		(void)snprintf(dir, PATH_MAX, "%s", w->maildrop);
		(void)snprintf(name, NAME_MAX + 1, "%s", SESSION_LOCK_NAME);
		return true;
	}
	(void)snprintf(dir, PATH_MAX, "%.*s", (int)(slash - w->maildrop), w->maildrop);
	int n = snprintf(name, NAME_MAX + 1, ".%s.restante-lock", slash + 1);
	return n > 0 && n <= NAME_MAX;
}

/* An open file, or -errno. */
static int
open_record(const struct where *w)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	char path[PATH_MAX], name[NAME_MAX + 1];
	struct stat st;

	if (!split(w, path, name))
		return -ENAMETOOLONG;
	AUTO_FD dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	AUTO_FD fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* A file that anybody could lay into a spool of many says nothing of this one. */
	if (!S_ISREG(st.st_mode) || (getuid() == 0 && st.st_uid != w->uid))
		return -EINVAL;
	return fd_take(&fd);
}

/* 0: there is one, or there never was a login (since is 0). */
static int
read_record(const struct where *w, struct lock_holder *ret)
{
	int r = become(w->uid, w->gid);
	AUTO_FD fd = r < 0 ? r : open_record(w);

	memset(ret, 0, sizeof(*ret));
	if (fd >= 0)
		r = session_lock_read(fd, ret);
	else
		r = fd;
	come_back();
	return r == -ENOENT ? 0 : r;
}

/* ---- showing ---- */

/* In double quotes, as JSON has them; the same in a line. */
static void
put_quoted(const char *text)
{
	(void)putchar('"');
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c >= 0x20 && c < 0x7f)
			(void)putchar(c);
		else
			printf("\\u%04X", c);
	}
	(void)putchar('"');
}

static void
put_address(const uint8_t address[16])
{
	static const uint8_t v4[12] = {[10] = 0xFF, [11] = 0xFF};
	char text[INET6_ADDRSTRLEN];
	bool is_v4 = memcmp(address, v4, sizeof(v4)) == 0;

	if (inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? address + 12 : address, text,
		    sizeof(text)))
		printf("%s", text);
}

static void
put_time(uint64_t since)
{
	time_t t = (time_t)since;
	struct tm tm;
	char text[40];

	/* What an owner wrote may be any number. */
	if (since > INT32_MAX * UINT64_C(100) || !gmtime_r(&t, &tm) ||
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		printf("unknown");
	else
		printf("%s", text);
}

static void
show(const struct last *l, const char *user, const struct lock_holder *at)
{
	static const uint8_t unknown[16];
	bool has_address = memcmp(at->address, unknown, sizeof(unknown)) != 0;
	const char *quote = l->json ? "\"" : "";

	printf(l->json ? "{\"user\":" : "user=");
	put_quoted(user);
	printf(l->json ? ",\"last\":" : " last=");
	if (at->since == 0) {
		printf(l->json ? "null" : "never");
	} else {
		printf("%s", quote);
		put_time(at->since);
		printf("%s", quote);
	}
	if (at->since != 0 && has_address) {
		printf(l->json ? ",\"address\":\"" : " address=");
		put_address(at->address);
		printf("%s", quote);
	}
	printf(l->json ? "}" : "\n");
}

static int
complain(const char *user, const char *what)
{
	fprintf(stderr, "restante: %.200s: %s\n", user, what);
	return 1;
}

static int
one(const struct last *l, const char *user, bool *first)
{
	char command[COMMAND_MAX];
	AUTO_FREE char *text = NULL;
	struct where w;
	struct lock_holder at;
	size_t n = strlen(user);

	if (n == 0 || n > NAME_MAX_OCTETS || strpbrk(user, "\r\n")) {
		complain(user, "a name has 1 to 1024 octets and no line break");
		return EX_USAGE;
	}
	/* From where and how does not matter: what is asked is whose maildrop it is. */
	(void)snprintf(command, sizeof(command),
		"why login 00000000000000000000000000000001 yes 1 %s", user);
	int r = ctl_ask_text(l->socket_path, command, &text, &n);
	if (r != EX_OK)
		return r;
	const char *why = where_of((struct view){(const uint8_t *)text, n}, &w);
	if (why)
		return complain(user, why);
	r = read_record(&w, &at);
	if (r == -EINVAL || r == -ELOOP || r == -EXDEV || r == -ENXIO || r == -EBADMSG)
		return complain(user, "the record in the maildrop is none of ours");
	if (r < 0)
		return complain(user, strerrordesc_np(-r));
	if (l->json && !*first)
		printf(",\n");
	*first = false;
	show(l, user, &at);
	return EX_OK;
}

int
last_run(const struct last *l)
{
	int status = EX_OK;
	bool first = true;

	if (l->json)
		printf("[");
	for (int i = 0; i < l->users_n; i++) {
		int r = one(l, l->users[i], &first);
		if (r > status)
			status = r;
		/* The server does not answer the next question either. */
		if (r > 1 && r != EX_USAGE)
			break;
	}
	if (l->json)
		printf("]\n");
	if (fflush(stdout) != 0)
		return EX_IOERR;
	return status;
}
