#include "auth/auth_parts.h"
#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file being read by a thread of its own: five million users take seconds. */
struct loading {
	struct auth *auth;
	pthread_t thread;
	int fd;
	struct stamp stamp;
	uint64_t read_ns;
	struct users *users;
	int result;
};

static uint64_t
nanoseconds(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000U + (uint64_t)t->tv_nsec;
}

static bool
stamp_of(int fd, struct stamp *ret)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	*ret = (struct stamp){
		.device = st.st_dev,
		.inode = st.st_ino,
		.links = st.st_nlink,
		.size = (uint64_t)st.st_size,
		.mtime_ns = nanoseconds(&st.st_mtim),
		.ctime_ns = nanoseconds(&st.st_ctim),
	};
	return true;
}

enum watch_advice
users_fresh(struct auth *a, unsigned rounds)
{
	uint8_t octets[8];
	struct buf b = buf_over(octets, sizeof(octets));
	struct msg_users_ask m = {0};
	struct stamp seen;
	bool ok = stamp_of(a->users_fd, &seen);
	uint64_t now_ms = clock_ms();

	enum watch_advice advice = watch_login(
		&a->watch, ok ? &seen : NULL, rounds, now_ms, clock_unix_ns());
	if (advice != WATCH_ASK)
		return advice;
	msg_users_ask_put(&m, &b);
	/* Where this fails the timer ends the wait. */
	(void)!monitor_send(a, NULL, buf_view(&b));
	(void)!loop_timer_set(a->loop, &a->watch_timer, now_ms + WATCH_ASK_MS);
	return WATCH_ASK;
}

static void
log_unreadable(const struct auth *a, int error)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, "users_unreadable");
	log_text(&r, "file", (struct view){a->users_name, a->users_name_n});
	log_error(&r, "error", error);
	log_str(&r, "effect", "no login is possible until the file can be read");
	auth_log(&r);
}

static void
log_reports(const struct auth *a)
{
	struct view file = {a->users_name, a->users_name_n};
	struct log_record r;
	size_t n;
	size_t all;
	const struct users_report *reports = users_reports(a->users, &n, &all);

	log_begin(&r, LOG_LEVEL_INFO, "users_loaded");
	log_text(&r, "file", file);
	log_number(&r, "users", users_count(a->users));
	log_number(&r, "faults", all);
	auth_log(&r);
	for (size_t i = 0; i < n; i++) {
		log_begin(&r, LOG_LEVEL_WARNING, "users_fault");
		log_text(&r, "file", file);
		log_number(&r, "line", reports[i].line);
		log_text(&r, "user", reports[i].name);
		log_str(&r, "fault", users_fault_text(reports[i].fault));
		if (reports[i].about.n > 0)
			log_text(&r, "about", reports[i].about);
		auth_log(&r);
	}
}

/* None can be used: the old ones neither, for nobody knows who was taken out. */
static void
no_users(struct auth *a, int error)
{
	log_unreadable(a, error);
	a->core.users = NULL;
	users_free(&a->users);
	fd_close(&a->users_fd);
	stat_set(STAT_USERS, 0);
	a->users_settled = true;
	offer_renew(a);
	login_refuse_held(a, "no_users_file");
}

static void *
load_main(void *arg)
{
	struct loading *l = arg;
	struct auth *a = l->auth;
	uint64_t one = 1;

	l->result = users_load(l->fd, &a->options, a->users_key, &l->users);
	/* An eventfd that holds 0 takes 1. */
	(void)!fd_write_all(a->loaded.fd, &one, sizeof(one));
	return NULL;
}

static int
start_loading(struct auth *a, int take_fd)
{
	struct loading *l = calloc(1, sizeof(*l));
	int r = -ENOMEM;

	CHECK(!a->loading);
	if (l) {
		l->auth = a;
		l->fd = take_fd;
		l->read_ns = clock_unix_ns();
		r = stamp_of(take_fd, &l->stamp)
			? -pthread_create(&l->thread, NULL, load_main, l)
			: -EINVAL;
	}
	if (r < 0) {
		(void)close(take_fd);
		free(l);
		return r;
	}
	a->loading = l;
	return 0;
}

void
users_arrived(struct auth *a, int error, int take_fd)
{
	loop_timer_clear(a->loop, &a->watch_timer);
	if (a->loading) {
		fd_close(&a->next_users_fd);
		a->next_users_fd = take_fd;
		return;
	}
	if (take_fd >= 0)
		error = start_loading(a, take_fd);
	else if (error == 0)
		error = -EBADF;
	watch_arrived(&a->watch, error == 0, clock_ms());
	if (error != 0)
		no_users(a, error);
}

static void
take_loaded(struct auth *a, struct loading *l)
{
	watch_loaded(&a->watch, l->result == 0, &l->stamp, l->read_ns, clock_ms());
	if (l->result < 0) {
		(void)close(l->fd);
		no_users(a, l->result);
		return;
	}
	users_free(&a->users);
	fd_close(&a->users_fd);
	a->users = l->users;
	a->users_fd = l->fd;
	a->core.users = a->users;
	stat_add(STAT_USERS_RELOADS, 1);
	stat_set(STAT_USERS, users_count(a->users));
	log_reports(a);
	a->users_settled = true;
	offer_renew(a);
}

void
users_loaded(struct source *s, uint32_t events)
{
	struct auth *a =
		(struct auth *)(void *)((char *)s - offsetof(struct auth, loaded));
	struct loading *l = a->loading;
	uint64_t count;

	(void)events;
	if (read(s->fd, &count, sizeof(count)) < 0 || !l)
		return;
	(void)pthread_join(l->thread, NULL);
	a->loading = NULL;
	take_loaded(a, l);
	free(l);
	if (a->next_users_fd >= 0) {
		users_arrived(a, 0, fd_take(&a->next_users_fd));
		return;
	}
	login_again(a);
}

void
users_timeout(struct timer *t, uint64_t now_ms)
{
	struct auth *a =
		(struct auth *)(void *)((char *)t - offsetof(struct auth, watch_timer));

	(void)now_ms;
	if (watch_gave_up(&a->watch, clock_ms()))
		login_refuse_held(a, "users_file_not_handed_over");
	else if (a->watch.state == WATCH_ASKED)
		(void)!loop_timer_set(a->loop, t, a->watch.at_ms);
}

void
users_end(struct auth *a)
{
	if (a->loading)
		(void)pthread_tryjoin_np(a->loading->thread, NULL);
}
