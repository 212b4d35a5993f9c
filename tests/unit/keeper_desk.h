/*
 * keeper_desk.h: the real restante-keeper, in its cage, with a test in the place of the
 * monitor and of every front.
 */
#ifndef KEEPER_DESK_H
#define KEEPER_DESK_H

#include "store_help.h"

#include "ipc/channel.h"
#include "ipc/permit.h"
#include "ipc/slice.h"
#include "ipc/snapshot.h"
#include "os/sealed.h"
#include "stat/stat.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define DEADLINE_MS 10000
#define ALL_RIGHTS  (RIGHT_READ | RIGHT_DELETE)

struct desk {
	struct office *o;
	pid_t keeper;
	int monitor, log, stats;
	uint64_t attached;
};

static struct received in;

/* What each ATTACH says of its user. */
static uint32_t attach_connections, attach_delay_s, attach_place;
static const struct msg_keeper_setup usual = {.threads = 2, .idle_s = 3600};

/* Opened before root is given up: the build tree may be root's alone. */
static int program = -1;

[[maybe_unused]] static int
keeper_program(void)
{
	char path[PATH_MAX], keeper[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return -1;
	path[n] = '\0';
	(void)snprintf(
		keeper, sizeof(keeper), "%.4000s/../../restante-keeper", dirname(path));
	int fd = open(keeper, O_PATH | O_CLOEXEC);
	return fd;
}

[[maybe_unused]] static void
send_to(int fd, const struct buf *b, int take_fd)
{
	assert_false(b->full);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int e;
	while ((e = channel_send(fd, buf_view(b), &take_fd, take_fd >= 0)) == -EAGAIN)
		assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	assert_int_equal(e, 0);
	if (take_fd >= 0)
		(void)close(take_fd);
}

/* The number of the next message, 0 at the end of the channel. */
[[maybe_unused]] static uint16_t
receive(int fd, struct view *payload)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	received_done(&in);
	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	int e = channel_recv(fd, &in, MESSAGE_FDS_MAX);
	if (e == -EPIPE)
		return 0;
	assert_int_equal(e, 0);
	return message_number(in.message, payload);
}

[[maybe_unused]] static struct desk *
desk_open(const struct msg_keeper_setup *setup)
{
	struct desk *d = calloc(1, sizeof(*d));
	int monitor[2], log[2];
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	struct view payload;

	assert_non_null(d);
	/* On a disk: deliveries share their syncs where a sync takes its time. */
	d->o = office_open_under("/tmp");
	assert_int_equal(channel_pair(monitor), 0);
	assert_int_equal(channel_pair(log), 0);
	d->stats = memfd_create("stats", MFD_CLOEXEC);
	assert_int_equal(ftruncate(d->stats, sizeof(uint64_t) * STAT_COUNT), 0);
	d->monitor = monitor[0];
	d->log = log[0];
	msg_keeper_setup_put(setup, &b);
	send_to(d->monitor, &b, dup(d->o->root));
	d->keeper = fork();
	assert_true(d->keeper >= 0);
	if (d->keeper == 0) {
		char name[] = "restante-keeper";
		char *const argv[] = {name, NULL};
		int from[] = {monitor[1], log[1], d->stats, program};
		for (int i = 0; i < 4; i++)
			from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 20);
		for (int i = 0; i < 3; i++)
			(void)dup2(from[i], 3 + i);
		(void)fexecve(from[3], argv, (char *const[]){NULL});
		_exit(99);
	}
	(void)close(monitor[1]);
	(void)close(log[1]);
	assert_int_equal(receive(d->monitor, &payload), MSG_READY);
	return d;
}

[[maybe_unused]] static void
desk_close(struct desk *d)
{
	int status;

	/* The end of the monitor's channel is the end of the keeper, with success. */
	(void)close(d->monitor);
	assert_int_equal(waitpid(d->keeper, &status, 0), d->keeper);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	received_done(&in);
	(void)close(d->log);
	(void)close(d->stats);
	office_close(d->o);
	free(d);
}

/* SIGSTOP, and until it holds: the signal alone is on its way for a while. */
[[maybe_unused]] static void
desk_stop_keeper(const struct desk *d)
{
	int status;

	assert_int_equal(kill(d->keeper, SIGSTOP), 0);
	assert_int_equal(waitpid(d->keeper, &status, WUNTRACED), d->keeper);
	assert_true(WIFSTOPPED(status));
}

[[maybe_unused]] static uint64_t
counter(const struct desk *d, enum stat_id id)
{
	uint64_t n;

	assert_int_equal(
		pread(d->stats, &n, sizeof(n), (off_t)(id * sizeof(n))), sizeof(n));
	return n;
}

[[maybe_unused]] static int
attach_kind(
	struct desk *d, const char *path, const char *user, uint8_t rights, uint8_t kind)
{
	uint8_t storage[4096];
	struct buf b = buf_over(storage, sizeof(storage));
	int pair[2];
	struct msg_attach m = {.session = ++d->attached,
		.rights = rights,
		.store = kind,
		.address = VIEW("0123456789abcdef"),
		.port = 1,
		.connections = attach_connections,
		.login_delay_s = attach_delay_s,
		.place = attach_place,
		.user = {(const uint8_t *)user, strlen(user)},
		.maildrop = {(const uint8_t *)path, strlen(path)}};

	assert_int_equal(channel_pair(pair), 0);
	msg_attach_put(&m, &b);
	send_to(d->monitor, &b, pair[1]);
	return pair[0];
}

[[maybe_unused]] static int
attach_as(struct desk *d, const char *path, const char *user, uint8_t rights)
{
	return attach_kind(d, path, user, rights, STORE_MAILDIR);
}

[[maybe_unused]] static int
attach(struct desk *d, uint8_t rights)
{
	return attach_as(d, "Maildir", "u", rights);
}

[[maybe_unused]] static uint8_t
refusal(int fd)
{
	struct view payload;
	struct msg_refused m;

	assert_int_equal(receive(fd, &payload), MSG_REFUSED);
	assert_true(msg_refused_get(&m, payload));
	return m.code;
}

[[maybe_unused]] static uint32_t
snapshot_count(int fd)
{
	struct view payload;
	struct msg_snapshot m;
	struct msg_snapshot_small small;
	struct snapshot snap;
	struct view map;
	uint16_t number = receive(fd, &payload);

	if (number == MSG_SNAPSHOT_SMALL) {
		assert_int_equal(in.nfds, 0);
		assert_true(msg_snapshot_small_get(&small, payload));
		assert_true(snapshot_check(small.table, &snap));
		return snap.count;
	}
	assert_int_equal(number, MSG_SNAPSHOT);
	assert_true(msg_snapshot_get(&m, payload));
	assert_int_equal(in.nfds, 1);
	assert_int_equal(sealed_map(in.fds[0], 1 << 20, &map.p, &map.n), 0);
	assert_true(snapshot_check(map, &snap));
	assert_int_equal(snap.count, m.count);
	assert_int_equal(snap.octets, m.octets);
	assert_int_equal(munmap((void *)(uintptr_t)map.p, map.n), 0);
	return m.count;
}

[[maybe_unused]] static void
verdict(int fd, uint32_t first, uint8_t last, const char *octets, size_t n)
{
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	struct msg_verdict m = {
		.first = first, .last = last, .marks = {(const uint8_t *)octets, n}};

	msg_verdict_put(&m, &b);
	send_to(fd, &b, -1);
}

[[maybe_unused]] static struct msg_done
done(int fd)
{
	struct view payload;
	struct msg_done m;

	assert_int_equal(receive(fd, &payload), MSG_DONE);
	assert_true(msg_done_get(&m, payload));
	assert_int_equal(receive(fd, &payload), 0);
	return m;
}

[[maybe_unused]] static void
want(int fd, const uint32_t *msgnos, size_t n)
{
	uint8_t storage[256], list[128];
	struct buf b = buf_over(storage, sizeof(storage)),
		   l = buf_over(list, sizeof(list));

	for (size_t i = 0; i < n; i++)
		buf_put_u32(&l, msgnos[i]);
	struct msg_want m = {.msgnos = buf_view(&l)};
	msg_want_put(&m, &b);
	send_to(fd, &b, -1);
}

/* False: no limit of open files, or root that cannot be given up. */
[[maybe_unused]] static bool
desk_ready(void)
{
	program = keeper_program();
	/* As the monitor does before it starts one. */
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return false;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return false;
	/* A keeper never runs as root, and these maildrops are its own. */
	if (geteuid() == 0 &&
		(setresgid(65534, 65534, 65534) < 0 ||
			setresuid(65534, 65534, 65534) < 0))
		return false;
	return true;
}

#endif
