/*
 * store_drive: plays a script on a store, for test_store_*.py. Commands come on standard
 * input, a line each; what a client would have been told goes to standard output, one
 * write a line, so that a trace holds it among the changes of files.
 *
 *     at DIR KIND PATH [unquote] [rename]    from here on; KIND as in permit.h
 *     open, close, lock, unlock, flush
 *     refresh                       refreshed RESULT COUNT
 *     list                          row UIDL WIRE WIRE-OF-SLICE OCTETS CRC SEEN; listed
 *     deposit FILE...               depositing NAME...; deposited NAME RESULT
 *     seen UIDL; remove UIDL...     removing UIDL...; removed RESULT GONE LEFT
 *     foreign-open; foreign-append FILE    another program on the mbox: its descriptor,
 *                                   and its write and sync under the lock of fcntl
 *     import OLD NEW PLACE          importing OLD NEW; imported RESULT
 *     last                          last RESULT SINCE: the last login's record
 *     end                           end
 *
 * A number is a message's place in the newest list, from 0, where UIDL is asked for.
 */
#include "base/check.h"
#include "file_shim.h"
#include "ipc/permit.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/identity.h"
#include "store/session_lock.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX    64
#define LINE_MAX_N   16384
#define DEPOSITS_MAX 40
#define LISTED_MAX   16
#define UIDL_ROOM    80

struct drive {
	const struct store_ops *ops;
	uint8_t kind;
	int root;
	char path[PATH_MAX];
	struct store_options o;
	struct store *s;
	const struct store_table *t; /* NULL: none, or the refresh failed */
	bool locked;
	char listed[LISTED_MAX][UIDL_ROOM]; /* by the newest list */
	int foreign; /* another program's open of the mbox; -1: none */
};

/* Another program's calls do not fail; without a shim there is nothing to tell. */
[[gnu::weak]] void shim_spare(bool on);

static void
spare(bool on)
{
	if (shim_spare)
		shim_spare(on);
}

[[gnu::format(printf, 1, 2)]] static void
say(const char *format, ...)
{
	char line[LINE_MAX_N];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	CHECK(n > 0);
	CHECK(n < (int)sizeof(line) - 1);
	line[n++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		exit(3);
}

static void
say_words(const char *what, char **words, int n)
{
	char line[LINE_MAX_N];
	struct buf b = buf_over((uint8_t *)line, sizeof(line) - 1);

	buf_put_str(&b, what);
	for (int i = 0; i < n; i++) {
		const char *slash = strrchr(words[i], '/');
		buf_put_str(&b, " ");
		buf_put_str(&b, slash ? slash + 1 : words[i]);
	}
	line[b.n] = '\0';
	say("%s", line);
}

static uint32_t
crc(const uint8_t *p, size_t n)
{
	uint32_t c = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		c ^= p[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? UINT32_C(0xEDB88320) : 0);
	}
	return ~c;
}

static void
forget_table(struct drive *d)
{
	if (d->t)
		d->ops->release(&d->t);
	d->t = NULL;
}

/* ---- which store ---- */

static void
do_close(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	forget_table(d);
	if (d->s)
		d->ops->close(&d->s);
	d->locked = false;
}

static void
do_at(struct drive *d, char **words, int n)
{
	CHECK(n >= 3);
	do_close(d, NULL, 0);
	fd_close(&d->foreign);
	fd_close(&d->root);
	spare(true);
	d->root = open(words[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	spare(false);
	CHECK(d->root >= 0);
	d->kind = strcmp(words[1], "mbox") == 0 ? STORE_MBOX : STORE_MAILDIR;
	d->ops = store_ops_of(d->kind);
	CHECK(d->ops);
	(void)snprintf(d->path, sizeof(d->path), "%s", words[2]);
	d->o = (struct store_options){.hostname = "drive.example"};
	for (int i = 3; i < n; i++) {
		d->o.mbox_unquote |= strcmp(words[i], "unquote") == 0;
		d->o.mbox_rename |= strcmp(words[i], "rename") == 0;
	}
}

static void
do_open(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	int r = d->ops->open(d->root, d->path, &d->o, &d->s);

	say("opened %d", r);
}

static void
do_lock(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	struct lock_holder me = {.since = clock_unix_s()}, other;
	int r = d->ops->lock(d->s, &me, &other);

	d->locked = r == 0;
	say("locked %d", r);
}

static void
do_unlock(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	forget_table(d);
	if (d->locked)
		d->ops->unlock(d->s);
	d->locked = false;
	say("unlocked");
}

static void
do_flush(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	d->ops->flush(d->s);
	say("flushed");
}

/* ---- what a client sees ---- */

static void
do_refresh(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	const struct store_table *t = NULL;
	int r = -EINVAL;

	forget_table(d);
	if (d->locked)
		r = d->ops->refresh(d->s, &t);
	if (r == 0)
		d->t = d->ops->retain(t);
	say("refreshed %d %u", r, d->t ? d->t->count : 0);
	while (d->ops->notice) {
		const char *notice = d->ops->notice(d->s);
		if (!notice)
			break;
		say("notice %s", notice);
	}
}

static int
read_slice(struct drive *d, uint32_t i, struct store_slice *slice, uint32_t *ret_crc)
{
	int r = d->ops->slice(d->s, d->t, i, slice);

	if (r < 0)
		return r;
	AUTO_FD fd = slice->fd;
	AUTO_FREE uint8_t *octets = malloc(slice->length + 1);
	CHECK(octets);
	r = fd_pread_all(fd, octets, slice->length, slice->offset);
	if (r == 0 && slice->shared)
		r = d->ops->slice_is_current(d->s, d->t, i, slice);
	*ret_crc = crc(octets, slice->length);
	return r;
}

static void
say_row(struct drive *d, uint32_t i)
{
	const struct store_message *m = &d->t->messages[i];
	struct store_slice slice;
	uint32_t sum = 0;
	int r = -ESTALE;

	CHECK(i < LISTED_MAX);
	for (int tries = 0; tries < 3 && r == -ESTALE; tries++)
		r = read_slice(d, i, &slice, &sum);
	(void)snprintf(d->listed[i], UIDL_ROOM, "%.*s", r < 0 ? 0 : (int)m->uidl.n,
		(const char *)m->uidl.p);
	if (r < 0)
		say("row-failed %.*s %d", (int)m->uidl.n, (const char *)m->uidl.p, r);
	else
		say("row %.*s %llu %llu %llu %08x %d", (int)m->uidl.n,
			(const char *)m->uidl.p, (unsigned long long)m->wire,
			(unsigned long long)slice.wire, (unsigned long long)slice.length,
			sum, m->seen);
}

static void
do_list(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	memset(d->listed, 0, sizeof(d->listed));
	for (uint32_t i = 0; d->t && i < d->t->count; i++)
		say_row(d, i);
	say("listed %d", d->t ? 0 : -EINVAL);
}

/* The row with this UIDL, or of this number; UINT32_MAX: none. */
static uint32_t
row_of(const struct drive *d, const char *word)
{
	size_t n = strlen(word);
	uint32_t number = 0;

	for (uint32_t i = 0; d->t && i < d->t->count; i++) {
		struct view u = d->t->messages[i].uidl;
		if (u.n == n && memcmp(u.p, word, n) == 0)
			return i;
	}
	if (n == 0 || n > 3 || strspn(word, "0123456789") != n)
		return UINT32_MAX;
	for (const char *p = word; *p; p++)
		number = number * 10 + (uint32_t)(*p - '0');
	return d->t && number < d->t->count ? number : UINT32_MAX;
}

static void
do_seen(struct drive *d, char **words, int n)
{
	CHECK(n == 1);
	uint32_t i = row_of(d, words[0]);

	say("seen %d", i == UINT32_MAX ? -ENOENT : d->ops->seen(d->s, d->t, i));
}

static void
do_remove(struct drive *d, char **words, int n)
{
	struct store_removed removed = {0};
	uint8_t marks[256] = {0};
	char line[LINE_MAX_N];
	int at = snprintf(line, sizeof(line), "removing");

	for (int i = 0; i < n; i++) {
		uint32_t row = row_of(d, words[i]);
		/* Nobody deletes what could not be read. */
		if (row >= LISTED_MAX || d->listed[row][0] == '\0')
			continue;
		struct view u = d->t->messages[row].uidl;
		marks[row / 8] |= (uint8_t)(1 << row % 8);
		at += snprintf(line + at, sizeof(line) - (size_t)at, " %.*s", (int)u.n,
			(const char *)u.p);
	}
	if (!d->t || at == (int)strlen("removing"))
		return;
	say("%s", line);
	int r = d->ops->remove(d->s, d->t, (struct view){marks, sizeof(marks)}, &removed);
	say("removed %d %u %u", r, removed.removed, removed.remain);
}

/* ---- mail comes in ---- */

static void
do_deposit(struct drive *d, char **words, int n)
{
	struct store_deposit list[DEPOSITS_MAX] = {0};
	struct stat st;

	CHECK(n <= DEPOSITS_MAX);
	for (int i = 0; i < n; i++) {
		list[i].fd = open(words[i], O_RDONLY | O_CLOEXEC);
		CHECK(list[i].fd >= 0);
		CHECK(fstat(list[i].fd, &st) == 0);
		list[i].length = (uint64_t)st.st_size;
		list[i].sender = (struct view){(const uint8_t *)"sender@example.org", 18};
		list[i].recipient =
			(struct view){(const uint8_t *)"anna@example.com", 16};
		list[i].now_s = clock_unix_s();
	}
	say_words("depositing", words, n);
	d->ops->deposit(d->s, list, (size_t)n);
	for (int i = 0; i < n; i++) {
		const char *slash = strrchr(words[i], '/');
		say("deposited %s %d", slash ? slash + 1 : words[i], list[i].result);
		fd_close(&list[i].fd);
	}
}

static int
foreign_open(struct drive *d)
{
	if (d->foreign < 0)
		d->foreign = openat(d->root, d->path, O_RDWR | O_CLOEXEC);
	return d->foreign;
}

static void
do_foreign_open(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	spare(true);
	say("foreign-opened %d", foreign_open(d) < 0 ? -errno : 0);
	spare(false);
}

static int
foreign_append(struct drive *d, const char *path)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	AUTO_FREE uint8_t *octets = NULL;
	AUTO_FD from = open(path, O_RDONLY | O_CLOEXEC);
	size_t n;

	CHECK(from >= 0);
	CHECK(fd_read_file(from, 1 << 20, &octets, &n) == 0);
	int fd = foreign_open(d);
	if (fd < 0 || fcntl(fd, F_SETLK, &whole) < 0)
		return -errno;
	off_t end = lseek(fd, 0, SEEK_END);
	int r = fd_pwrite_all(fd, octets, n, (uint64_t)end);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	fd_close(&d->foreign);
	return r;
}

static void
do_foreign_append(struct drive *d, char **words, int n)
{
	CHECK(n == 1);
	spare(true);
	say_words("depositing", words, 1);
	const char *slash = strrchr(words[0], '/');
	say("deposited %s %d", slash ? slash + 1 : words[0], foreign_append(d, words[0]));
	spare(false);
}

/* ---- rows of another server ---- */

/* As the store names the message with this plain UIDL: its name, or its digest. */
static struct view
key_of(const struct drive *d, const char *uidl, uint8_t room[IDENTITY_KEY_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = strlen(uidl);

	CHECK(n <= IDENTITY_KEY_MAX);
	if (d->kind == STORE_MAILDIR) {
		memcpy(room, uidl, n);
		return (struct view){room, n};
	}
	for (size_t i = 0; i < n; i++) {
		const char *p = strchr(digits, uidl[i]);
		CHECK(p);
		room[i / 2] = (uint8_t)(room[i / 2] << 4 | (p - digits));
	}
	return (struct view){room, n / 2};
}

static int
open_log(struct drive *d, struct identity **ret)
{
	char name[PATH_MAX + 32];
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%s", d->path);
	(void)snprintf(name, sizeof(name), IDENTITY_NAME);
	if (d->kind == STORE_MBOX) {
		char *slash = strrchr(dir, '/');
		CHECK(slash);
		*slash = '\0';
		(void)snprintf(name, sizeof(name), ".%s." IDENTITY_NAME, slash + 1);
	}
	AUTO_FD at = fd_open_beneath(d->root, dir, O_RDONLY | O_DIRECTORY, 0);
	return at < 0 ? at : identity_open(at, name, ret);
}

static void
do_import(struct drive *d, char **words, int n)
{
	struct identity *log = NULL;
	uint8_t room[IDENTITY_KEY_MAX] = {0};

	CHECK(n == 3);
	/* A number also after the session. */
	const char *old = words[0];
	if (strlen(old) == 1) {
		CHECK(old[0] >= '0' && old[0] <= '9');
		old = d->listed[old[0] - '0'];
	}
	struct identity_row row = {.source = IDENTITY_IMPORTED,
		.place = (uint32_t)(words[2][0] - '0'),
		.key = key_of(d, old, room),
		.uidl = {(const uint8_t *)words[1], strlen(words[1])}};
	say("importing %s %s", old, words[1]);
	int r = open_log(d, &log);
	if (r == 0)
		r = identity_add(log, &row);
	if (r == 0)
		r = identity_sync(log);
	identity_close(&log);
	say("imported %d", r);
}

static void
do_last(struct drive *d, [[maybe_unused]] char **words, [[maybe_unused]] int n)
{
	struct lock_holder last = {.since = 0};
	char path[PATH_MAX + 32];
	char *slash = strrchr(d->path, '/');

	if (d->kind == STORE_MAILDIR)
		(void)snprintf(path, sizeof(path), "%s/" SESSION_LOCK_NAME, d->path);
	else
		(void)snprintf(path, sizeof(path), "%.*s/.%s.restante-lock",
			slash ? (int)(slash - d->path) : 1, slash ? d->path : ".",
			slash ? slash + 1 : d->path);
	AUTO_FD fd = fd_open_beneath(d->root, path, O_RDONLY, 0);
	int r = fd < 0 ? fd : session_lock_read(fd, &last);
	say("last %d %llu", r == -ENOENT ? 0 : r, (unsigned long long)last.since);
}

static void
do_end([[maybe_unused]] struct drive *d, [[maybe_unused]] char **words,
	[[maybe_unused]] int n)
{
	say("end");
}

/* ---- the script ---- */

static const struct command {
	const char *name;
	void (*play)(struct drive *d, char **words, int n);
	bool needs_store;
} commands[] = {
	{"at", do_at, false},
	{"open", do_open, false},
	{"close", do_close, false},
	{"lock", do_lock, true},
	{"unlock", do_unlock, true},
	{"flush", do_flush, true},
	{"refresh", do_refresh, true},
	{"list", do_list, true},
	{"seen", do_seen, true},
	{"remove", do_remove, true},
	{"deposit", do_deposit, true},
	{"foreign-open", do_foreign_open, false},
	{"foreign-append", do_foreign_append, false},
	{"import", do_import, false},
	{"last", do_last, false},
	{"end", do_end, false},
};

static void
play(struct drive *d, char *line)
{
	char *words[WORDS_MAX];
	int n = 0;

	for (char *p = line; *p && n < WORDS_MAX; n++) {
		words[n] = p;
		p += strcspn(p, " \n");
		if (*p)
			*p++ = '\0';
	}
	if (n == 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(words[0], commands[i].name) != 0)
			continue;
		if (!commands[i].needs_store || d->s)
			commands[i].play(d, words + 1, n - 1);
		return;
	}
	(void)fprintf(stderr, "store_drive: what is %s?\n", words[0]);
	exit(2);
}

int
main(void)
{
	static struct drive d = {.root = -1, .foreign = -1};
	static char line[LINE_MAX_N];

	while (fgets(line, sizeof(line), stdin))
		play(&d, line);
	do_close(&d, NULL, 0);
	return 0;
}
