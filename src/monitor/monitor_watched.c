/* monitor_watched.c: files that count anew when they change, without a reload. */
#include "monitor/deny_list.h"
#include "monitor/monitor_send.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOOK_MS	      2000
#define BAD_LINES_MAX 20
#define BAD_SHOWN_MAX 60

bool
file_is_as_seen(const char *path, struct file_seen *seen)
{
	struct file_seen now = {0};
	struct stat st;

	if (stat(path, &st) == 0)
		now = (struct file_seen){
			.mtime_ns = st.st_mtim.tv_sec * INT64_C(1000000000) +
				st.st_mtim.tv_nsec,
			.ctime_ns = st.st_ctim.tv_sec * INT64_C(1000000000) +
				st.st_ctim.tv_nsec,
			.inode = st.st_ino,
			.octets = (uint64_t)st.st_size};
	bool same = now.mtime_ns == seen->mtime_ns && now.ctime_ns == seen->ctime_ns &&
		now.inode == seen->inode && now.octets == seen->octets;
	*seen = now;
	return same;
}

/* ---- the deny list ---- */

struct bad_lines {
	struct deny_sink sink; /* first */
	struct monitor *m;
	uint32_t n;
};

static void
bad_line(struct deny_sink *s, uint32_t line, struct view text)
{
	struct bad_lines *b = (struct bad_lines *)s;
	size_t n = text.n < BAD_SHOWN_MAX ? text.n : BAD_SHOWN_MAX;

	if (b->n++ < BAD_LINES_MAX)
		report_text(b->m, LOG_LEVEL_ERROR,
			"%s:%u: %.*s: must be an address as 192.0.2.1, or a network as "
			"10.0.0.0/8 or 2001:db8::/32 with zeros behind its bits; the "
			"line is left out",
			b->m->settings.conf->deny_file, line, (int)n,
			(const char *)text.p);
}

static void
no_line(struct deny_sink *s, uint32_t line, struct view text)
{
	(void)s, (void)line, (void)text;
}

/* Once what is good of it is in force; rows has room for them again. */
static void
tell_bad_lines(struct monitor *m, struct view text, uint8_t *rows)
{
	struct bad_lines bad = {.sink = {bad_line}, .m = m};

	(void)deny_list_read(text, &bad.sink, rows);
	if (bad.n > BAD_LINES_MAX)
		report_text(m, LOG_LEVEL_ERROR, "%s: %u more such lines",
			m->settings.conf->deny_file, bad.n - BAD_LINES_MAX);
}

/* 0 and a sealed memfd, or -errno. */
static int
deny_read(struct monitor *m, int *ret, uint32_t *ret_rows)
{
	const char *path = m->settings.conf->deny_file;
	struct deny_sink silent = {no_line};
	AUTO_FREE uint8_t *octets = NULL, *rows = NULL;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t n = 0;
	int rc = fd < 0 ? -errno : fd_read_file(fd, DENY_OCTETS_MAX, &octets, &n);

	if (rc < 0)
		return rc;
	struct view text = {octets, n};
	rows = malloc(deny_list_rows(text) * DENY_ROW);
	if (!rows)
		return -ENOMEM;
	size_t count = deny_list_read(text, &silent, rows);
	/* A row may be longer than its line, and fronts take no more than this. */
	if (count > DENY_OCTETS_MAX / DENY_ROW)
		return -EFBIG;
	rc = sealed_new("deny", (struct view){rows, count * DENY_ROW});
	if (rc < 0)
		return rc;
	tell_bad_lines(m, text, rows);
	*ret = rc;
	*ret_rows = (uint32_t)count;
	return 0;
}

void
watched_deny_to_front(struct monitor *m, uint32_t slot)
{
	struct msg_front_deny d = {.count = m->deny_rows};

	/* None was ever there: there is nothing to take back. */
	if (m->deny >= 0)
		(void)SEND(front_deny, &d, slot, &m->deny, 1);
}

static void
deny_to_all(struct monitor *m)
{
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (core_lives(m->core, s))
			watched_deny_to_front(m, s);
}

/* A file that cannot be read leaves in force what was there. */
static void
deny_renew(struct monitor *m)
{
	int fresh = -1;
	uint32_t rows = 0;
	int rc = deny_read(m, &fresh, &rows);

	if (rc < 0) {
		/* Whatever is not the file's own fault may pass: it is read again, and
		 * told once. */
		bool told = rc != -EFBIG && m->deny_told == rc;
		if (rc != -EFBIG)
			m->deny_seen = (struct file_seen){0};
		m->deny_told = rc;
		if (told)
			return;
		report_text(m, LOG_LEVEL_ERROR,
			"deny_file: %s: %s; what was denied before is denied still",
			m->settings.conf->deny_file, strerrordesc_np(-rc));
		return;
	}
	m->deny_told = 0;
	fd_close(&m->deny);
	m->deny = fresh;
	m->deny_rows = rows;
	report_text(m, LOG_LEVEL_INFO, "deny_file: %u networks are not served", rows);
	deny_to_all(m);
}

/* The option was taken away. */
static void
deny_nothing(struct monitor *m)
{
	m->deny_seen = (struct file_seen){0};
	if (m->deny < 0)
		return;
	int none = sealed_new("deny", (struct view){NULL, 0});
	if (none < 0)
		return;
	fd_close(&m->deny);
	m->deny = none;
	m->deny_rows = 0;
	deny_to_all(m);
}

/* ---- when ---- */

static void
look_later(struct monitor *m)
{
	const struct conf *c = m->settings.conf;
	bool any = c->deny_file[0] != '\0' || c->tls_ocsp[0] != '\0';

	for (size_t i = 0; i < c->certificates_n; i++)
		any |= c->certificates[i].ocsp[0] != '\0';
	if (!any)
		loop_timer_clear(m->loop, &m->files);
	else if (loop_timer_set(m->loop, &m->files, clock_ms() + LOOK_MS) < 0)
		report_text(m, LOG_LEVEL_ERROR, "no memory for a timer");
}

static void
look(struct timer *t, uint64_t now_ms)
{
	struct monitor *m =
		(struct monitor *)(void *)((char *)t - offsetof(struct monitor, files));
	const char *deny = m->settings.conf->deny_file;

	(void)now_ms;
	if (deny[0] != '\0' && !file_is_as_seen(deny, &m->deny_seen))
		deny_renew(m);
	if (certificates_look(m))
		certificates_renew(m);
	look_later(m);
	monitor_act(m);
}

void
watched_begin(struct monitor *m)
{
	const char *deny = m->settings.conf->deny_file;

	m->files.fire = look;
	if (deny[0] != '\0') {
		(void)file_is_as_seen(deny, &m->deny_seen);
		m->deny_told = 0;
		deny_renew(m);
	} else {
		deny_nothing(m);
	}
	look_later(m);
}
