/* A damaged identity log: every sound record is kept, and so is the damaged file. */
#include "base/check.h"
#include "os/fd.h"
#include "store/identity_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the damaged file's name ends with: the first that nobody has. */
static const char *const endings[] = {".damaged", ".damaged.2", ".damaged.3",
	".damaged.4", ".damaged.5", ".damaged.6", ".damaged.7", ".damaged.8",
	".damaged.9"};

/* Every record that is sound by itself, wherever it begins. */
static int
take_sound(struct identity *log, struct view octets, uint64_t *ret_lost)
{
	struct identity_row row;
	uint64_t sum, lost = 0;
	size_t at = 0, n = 1;

	if (identity_get_header(octets, &sum) == 0)
		at = IDENTITY_HEADER;
	for (; at < octets.n; at += n) {
		struct view rest = {octets.p + at, octets.n - at};
		n = 1;
		if (!identity_get_alone(rest, &row, &n)) {
			lost++;
			n = 1;
			continue;
		}
		int r = identity_take(log, &row);
		if (r < 0)
			return r;
	}
	*ret_lost = lost;
	return 0;
}

static bool
is_named(int dir, const char *name, const struct stat *file)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_ino == file->st_ino && st.st_dev == file->st_dev;
}

/* The damaged file gets a second name, or has it of a repair that was cut off; from then
 * on it is in nobody's way. */
static int
keep_damaged(int dir, const char *name, const struct stat *file, const char **ret_ending)
{
	char damaged[IDENTITY_NAME_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		int r = identity_name_with(name, endings[i], damaged);
		if (r < 0)
			return r;
		*ret_ending = endings[i];
		if (linkat(dir, name, dir, damaged, 0) == 0 ||
			(errno == EEXIST && is_named(dir, damaged, file)))
			return identity_sync_dir(dir);
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int
repair(struct identity *log, int fd, const struct stat *st, uint64_t *ret_lost,
	const char **ret_damaged)
{
	uint64_t sum;

	if ((uint64_t)st->st_size > IDENTITY_FILE_MAX)
		return -EFBIG;
	size_t n = (size_t)st->st_size;
	uint8_t *octets = identity_room(log, n + 1);
	if (!octets)
		return -ENOMEM;
	int r = fd_pread_all(fd, octets, n, 0);
	struct view v = {octets, n};
	/* What a newer version wrote is not ours to mend. */
	if (r == 0 && identity_get_header(v, &sum) == -EPROTONOSUPPORT)
		r = -EPROTONOSUPPORT;
	if (r == 0)
		r = take_sound(log, v, ret_lost);
	if (r == 0)
		r = keep_damaged(log->dir, log->name, st, ret_damaged);
	return r == 0 ? identity_write_anew(log, true) : r;
}

int
identity_repair(int dir, const char *name, size_t *ret_kept, uint64_t *ret_lost,
	const char **ret_damaged)
{
	struct identity *log = NULL;
	struct stat st;
	uint64_t lost = 0;
	int r = identity_new(dir, name, &log);

	AUTO_FD fd = r == 0 ? identity_open_locked(log->dir, name, 0, &st) : -1;
	if (r == 0)
		r = fd < 0 ? fd : repair(log, fd, &st, &lost, ret_damaged);
	if (r == 0) {
		*ret_kept = log->count;
		*ret_lost = lost;
	}
	identity_close(&log);
	return r;
}
