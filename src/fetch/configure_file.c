#include "fetch/configure_file.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "fetch/durable.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_OCTETS_MAX ((size_t)8 * 1024 * 1024) /* more is refused when it is read */

void
configure_name(const char *address, char ret[CONFIGURE_NAME_MAX])
{
	size_t n = 0;

	for (; address[n] && n + 1 < CONFIGURE_NAME_MAX; n++) {
		uint8_t c = (uint8_t)address[n], lower = ascii_lower(c);
		bool good = (lower >= 'a' && lower <= 'z') || ascii_is_digit(c) ||
			strchr("_-.@+", c) != NULL;
		ret[n] = good ? (char)c : '_';
	}
	ret[n] = '\0';
}

static struct view
trim(struct view v)
{
	while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t'))
		v = (struct view){v.p + 1, v.n - 1};
	while (v.n > 0 && v.p[v.n - 1] == '\r')
		v.n--;
	return ascii_trim_end(v);
}

static bool
is_section(struct view line, const char *name)
{
	struct view word = VIEW("account");

	line = trim(line);
	if (line.n < 2 || line.p[0] != '[' || line.p[line.n - 1] != ']')
		return false;
	line = trim((struct view){line.p + 1, line.n - 2});
	if (line.n <= word.n || !view_equal((struct view){line.p, word.n}, word) ||
		(line.p[word.n] != ' ' && line.p[word.n] != '\t'))
		return false;
	line = trim((struct view){line.p + word.n, line.n - word.n});
	return view_equal(line, (struct view){(const uint8_t *)name, strlen(name)});
}

bool
configure_has(struct view text, const char *name)
{
	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;

		if (is_section((struct view){text.p, n}, name))
			return true;
		n += end != NULL;
		text = (struct view){text.p + n, text.n - n};
	}
	return false;
}

bool
configure_put(struct buf *b, const char *option, const char *value)
{
	size_t n = strlen(value);
	bool quote = n == 0 || value[0] == ' ' || value[0] == '"' || value[0] == '#' ||
		value[n - 1] == ' ';

	for (size_t i = 0; i < n; i++)
		if ((uint8_t)value[i] < ' ' || value[i] == 0x7F)
			return false;
	if (quote && strchr(value, '"'))
		return false;
	buf_put_str(b, option);
	buf_put_str(b, quote ? " = \"" : " = ");
	buf_put_str(b, value);
	buf_put_str(b, quote ? "\"\n" : "\n");
	return true;
}

/* ---- appending ---- */

struct appending {
	char path[PATH_MAX]; /* no link */
	const char *file;    /* its name in the directory, within path */
	char fresh[64];	     /* the name while it is written */
	int dir;
	bool is_new;
	struct stat before;
};

static int
fail(int r, const char *path, const char *what, char *why, size_t why_n)
{
	(void)snprintf(why, why_n, "%s: %s%s%s", path, what, what[0] ? ": " : "",
		strerrordesc_np(-r));
	return r;
}

/* The file itself, behind links. */
static int
find_file(const char *path, struct appending *a)
{
	struct stat st;

	if (realpath(path, a->path))
		return 0;
	if (errno != ENOENT)
		return -errno;
	if (lstat(path, &st) == 0) /* a link to nothing */
		return -ENOENT;
	if (strlen(path) >= sizeof(a->path))
		return -ENAMETOOLONG;
	memcpy(a->path, path, strlen(path) + 1);
	a->is_new = true;
	return 0;
}

static int
read_old(struct appending *a, uint8_t **ret, size_t *ret_n)
{
	AUTO_FD fd = -1;

	if (a->is_new)
		return 0;
	fd = openat(a->dir, a->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &a->before) < 0)
		return -errno;
	if (!S_ISREG(a->before.st_mode))
		return -EINVAL;
	return fd_read_file(fd, FILE_OCTETS_MAX, ret, ret_n);
}

static int
write_fresh(struct appending *a, struct view old, struct view section)
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];
	int r = durable_random(random, sizeof(random));

	if (r < 0)
		return r;
	durable_hex(random, sizeof(random), hex);
	(void)snprintf(a->fresh, sizeof(a->fresh), ".restante-%s", hex);
	AUTO_FD fd = openat(a->dir, a->fresh,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		a->fresh[0] = '\0';
		return -errno;
	}
	if (!a->is_new &&
		(fchown(fd, a->before.st_uid, a->before.st_gid) < 0 ||
			fchmod(fd, a->before.st_mode & 0777) < 0))
		return -errno;
	if (old.n > 0)
		r = fd_write_all(fd, old.p, old.n);
	if (r == 0 && old.n > 0 && old.p[old.n - 1] != '\n')
		r = fd_write_all(fd, "\n", 1);
	if (r == 0 && old.n > 0)
		r = fd_write_all(fd, "\n", 1);
	if (r == 0)
		r = fd_write_all(fd, section.p, section.n);
	return r == 0 ? durable_sync(fd) : r;
}

/* Nobody has changed it since it was read. */
static int
is_as_before(const struct appending *a)
{
	struct stat now;

	if (fstatat(a->dir, a->file, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (now.st_ino != a->before.st_ino || now.st_size != a->before.st_size ||
		now.st_mtim.tv_sec != a->before.st_mtim.tv_sec ||
		now.st_mtim.tv_nsec != a->before.st_mtim.tv_nsec)
		return -EBUSY;
	return 0;
}

static int
put_in_place(struct appending *a)
{
	int r;

	if (a->is_new) {
		r = durable_publish(a->dir, a->fresh, a->dir, a->file);
	} else {
		r = is_as_before(a);
		if (r == 0 && renameat(a->dir, a->fresh, a->dir, a->file) < 0)
			r = -errno;
	}
	if (r == 0) {
		a->fresh[0] = '\0';
		r = durable_sync(a->dir);
	}
	return r;
}

int
configure_append(
	const char *path, const char *name, struct view section, char *why, size_t why_n)
{
	struct appending a = {.dir = -1};
	AUTO_FREE uint8_t *octets = NULL;
	size_t n = 0;
	int r = find_file(path, &a);

	if (r < 0)
		return fail(r, path, "", why, why_n);
	r = durable_parent(a.path, &a.dir, &a.file);
	if (r < 0)
		return fail(r, a.path, "its directory", why, why_n);
	r = read_old(&a, &octets, &n);
	if (r == 0 && configure_has((struct view){octets, n}, name)) {
		(void)snprintf(why, why_n,
			"%s has [account %s] already: remove it there first", a.path,
			name);
		r = -EEXIST;
	} else if (r == 0) {
		r = write_fresh(&a, (struct view){octets, n}, section);
		if (r == 0)
			r = put_in_place(&a);
		if (r < 0)
			(void)fail(r, a.path,
				r == -EBUSY || r == -EEXIST
					? "it was changed meanwhile, do it again"
					: "it cannot be written",
				why, why_n);
	} else {
		(void)fail(r, a.path, "it cannot be read", why, why_n);
	}
	if (a.fresh[0])
		(void)unlinkat(a.dir, a.fresh, 0);
	if (n > 0)
		explicit_bzero(octets, n);
	fd_close(&a.dir);
	return r;
}
