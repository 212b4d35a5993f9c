/*
 * The id of a state, the Received line, and what is put aside for a person to look at.
 */
#include "fetch/spool_parts.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/mutex.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ID_TEXT 33 /* 32 hex digits and LF */
#define ID_NEW	"id.new"

static int
read_id(int dir, uint8_t ret[16])
{
	char text[ID_TEXT + 1];
	AUTO_FD fd = openat(dir, "id", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = pread(fd, text, sizeof(text), 0);
	if (n < 0)
		return -errno;
	if (n != ID_TEXT || text[ID_TEXT - 1] != '\n' || !durable_unhex(text, 32, ret))
		return -EBADMSG;
	return 0;
}

/*
 * One process at a time has the state, and one thread at a time comes here: what lies
 * under the other name is a killed run's, to be written over.
 */
static int
write_id(int dir)
{
	uint8_t id[16];
	char text[ID_TEXT + 1];
	int r = durable_random(id, sizeof(id));

	if (r < 0)
		return r;
	durable_hex(id, sizeof(id), text);
	text[ID_TEXT - 1] = '\n';
	if (unlinkat(dir, ID_NEW, 0) < 0 && errno != ENOENT)
		return -errno;
	AUTO_FD fd = openat(dir, ID_NEW, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, text, ID_TEXT);
	if (r == 0)
		r = durable_sync(fd);
	if (r == 0)
		r = durable_publish(dir, ID_NEW, dir, "id");
	if (r < 0)
		(void)unlinkat(dir, ID_NEW, 0); /* else the next run does */
	return r;
}

static int
find_id(int dir, uint8_t ret[16])
{
	int r = read_id(dir, ret);

	if (r == -ENOENT) {
		r = write_id(dir);
		if (r == 0)
			r = read_id(dir, ret);
	} else if (r == 0) {
		(void)unlinkat(dir, ID_NEW, 0); /* after a crash, perhaps */
	}
	return r;
}

int
spool_id(const char *state_dir, uint8_t ret[16])
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	AUTO_FD dir = -1;
	int r = durable_directory(state_dir, &dir);

	if (r < 0)
		return r;
	mutex_lock(&mutex);
	r = find_id(dir, ret);
	mutex_unlock(&mutex);
	/* A killed run may have given it its name and not synced that. */
	return r < 0 ? r : durable_sync(dir);
}

static void
date_of(uint64_t now_s, char *ret, size_t cap)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
		"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = (time_t)now_s;
	struct tm t = {.tm_mday = 1};

	(void)gmtime_r(&now, &t);
	(void)snprintf(ret, cap, "%s, %02d %s %d %02d:%02d:%02d +0000",
		days[t.tm_wday % 7], t.tm_mday, months[t.tm_mon % 12], t.tm_year + 1900,
		t.tm_hour, t.tm_min, t.tm_sec);
}

/* RFC 5321 s.4.4: from, by, with; folded, no line over 78 octets with usual names. */
size_t
spool_received(const struct fetch_account *a, uint64_t now_s, char *ret, size_t cap)
{
	char me[DURABLE_HOST_MAX], server[200], date[64];

	durable_hostname(me);
	durable_printable(a->host, strlen(a->host), server, sizeof(server));
	date_of(now_s, date, sizeof(date));
	int n = snprintf(ret, cap,
		"Received: from %s\r\n\tby %s (restante-fetch) with %s;\r\n\t%s\r\n",
		server, me, a->tls == FETCH_TLS_NONE ? "POP3" : "POP3S", date);
	return n < 0 || (size_t)n >= cap ? 0 : (size_t)n;
}

#define NOTE_NAME_MAX 80

static void
note_name(const char *name, char ret[NOTE_NAME_MAX])
{
	(void)snprintf(ret, NOTE_NAME_MAX, "%s.txt", name);
}

static int
write_note(int dir, const struct spool *s, const struct letter *l, const char *name,
	const char *why)
{
	const struct fetch_account *a = s->account;
	char file[NOTE_NAME_MAX], date[64], uid[400], server[200], user[200],
		account[200], words[400];
	char text[2048];

	date_of(clock_unix_s(), date, sizeof(date));
	durable_printable((const char *)l->uid.p, l->uid.n, uid, sizeof(uid));
	durable_printable(a->host, strlen(a->host), server, sizeof(server));
	durable_printable(a->user, strlen(a->user), user, sizeof(user));
	durable_printable(a->name, strlen(a->name), account, sizeof(account));
	durable_printable(why, strlen(why), words, sizeof(words));
	int n = snprintf(text, sizeof(text),
		"account: %s\nserver: %s\nuser: %s\nuidl: %s\nmessage: %u\noctets: %llu "
		"received\ndate: %s\nwhy: %s\n",
		account, server, user, uid, l->msgno, (unsigned long long)l->octets, date,
		words);
	if (n < 0)
		return -EINVAL;
	if ((size_t)n >= sizeof(text))
		n = sizeof(text) - 1;
	note_name(name, file);
	AUTO_FD fd = openat(dir, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = fd_write_all(fd, text, (size_t)n);
	if (r == 0)
		r = durable_sync(fd);
	if (r < 0)
		(void)unlinkat(dir, file, 0);
	return r;
}

static int
write_octets(int dir, const struct letter *l, const char *name)
{
	AUTO_FD fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	int r = l->fd < 0 ? 0 : durable_copy(l->fd, fd, l->stored);
	if (r == 0)
		r = durable_sync(fd);
	if (r < 0)
		(void)unlinkat(dir, name, 0);
	return r;
}

static void
remove_kept(int dir, const char *name)
{
	char file[NOTE_NAME_MAX];

	note_name(name, file);
	(void)unlinkat(dir, name, 0);
	(void)unlinkat(dir, file, 0);
}

int
spool_quarantine(
	struct spool *s, struct letter *l, const char *why, char *ret_path, size_t cap)
{
	char name[64], hex[17];
	uint8_t random[8];
	AUTO_FD root = -1, dir = -1;
	int r = durable_random(random, sizeof(random));

	if (r < 0)
		return r;
	durable_hex(random, sizeof(random), hex);
	(void)snprintf(
		name, sizeof(name), "%llu.%s", (unsigned long long)clock_unix_s(), hex);
	struct writing *w = l->writing;
	if (w) {
		if (w->error == 0 && s->to_lf)
			w->n += line_ends_finish(&w->ends, w->block + w->n);
		r = spool_flush(l);
	}
	if (r == 0)
		r = durable_directory(s->state_dir, &root);
	if (r == 0)
		r = durable_subdirectory(root, "quarantine", &dir);
	if (r == 0)
		r = write_octets(dir, l, name);
	if (r == 0) {
		r = write_note(dir, s, l, name, why);
		if (r == 0)
			r = durable_sync(dir);
		if (r < 0)
			remove_kept(dir, name);
	}
	if (r < 0)
		return r;
	(void)snprintf(ret_path, cap, "%s/quarantine/%s", s->state_dir, name);
	spool_abort(s, l);
	return 0;
}
