/*
 * evil_keeper.c: a keeper that was taken over. Only the keeper of uid EVIL_UID is; all
 * others become the real program. The user's name says what the session's front is given.
 */
#include "evil_keeper.h"
#include "ipc/permit.h"
#include "ipc/slice.h"
#include "ipc/snapshot.h"
#include "os/sealed.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVIL_UID     7777
#define SESSIONS_MAX 32

static struct session {
	int fd;
	char attack[64];
	const struct keeper_lie *lie; /* of evil_keeper_lies.c, or NULL */
} sessions[SESSIONS_MAX];
static size_t sessions_n;
static struct received got;

static bool
is(const char *attack, const char *name)
{
	return strcmp(attack, name) == 0;
}

/* A snapshot of two messages of 100 octets, with what the attack changes in it. */
static struct buf
make_snapshot(const char *attack, uint8_t *storage, size_t cap)
{
	struct buf b = buf_over(storage, cap);
	const char *uidl = is(attack, "uidl_control") ? "a\nb" : "aaa";

	buf_put_u64(&b, is(attack, "magic") ? 1 : SNAPSHOT_MAGIC);
	buf_put_u32(&b, is(attack, "version") ? 99 : SNAPSHOT_VERSION);
	buf_put_u32(&b, is(attack, "count") ? 4000000 : 2);
	buf_put_u64(&b, is(attack, "total") ? 7 : 200);
	buf_put_u64(&b, 6);
	for (uint32_t i = 0; i < 2; i++) {
		buf_put_u64(&b, is(attack, "overflow") ? UINT64_MAX - 1 : 100);
		buf_put_u32(&b, is(attack, "uidl_outside") ? 5000 : 3 * i);
		buf_put_u16(&b, is(attack, "uidl_empty") ? 0 : 3);
		buf_put_u16(&b, 0);
	}
	buf_put(&b, uidl, 3);
	buf_put(&b, "bbb", 3);
	return b;
}

static int
snapshot_fd(const char *attack, struct view octets)
{
	int fds[2], fd;

	if (is(attack, "snapshot_pipe"))
		return pipe2(fds, O_CLOEXEC) < 0 ? -1 : fds[0];
	if (is(attack, "snapshot_unsealed")) {
		fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		return write(fd, octets.p, octets.n) < 0 ? -1 : fd;
	}
	if (is(attack, "snapshot_half_sealed")) {
		fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (write(fd, octets.p, octets.n) < 0)
			return -1;
		return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0 ? -1 : fd;
	}
	if (is(attack, "snapshot_file"))
		return openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
	return sealed_new("snapshot", octets);
}

static void
begin(struct session *s)
{
	uint8_t storage[512];
	struct buf octets = make_snapshot(s->attack, storage, sizeof(storage));
	int fd = snapshot_fd(s->attack, buf_view(&octets));
	EVIL(m, snapshot,
		{.rights = RIGHT_READ | RIGHT_DELETE, .count = 2, .octets = 200});
	EVIL(no, refused,
		{.code = 255, .holder = VIEW("0123456789abcdef"), .since = UINT64_MAX});

	if (is(s->attack, "refused_odd"))
		(void)evil_send(s->fd, &no, NULL, 0);
	else if (is(s->attack, "snapshot_none"))
		(void)evil_send(s->fd, &m, NULL, 0);
	else if (is(s->attack, "snapshot_garbage"))
		(void)channel_send(s->fd, (struct view){storage, 100}, &fd, 1);
	else if (is(s->attack, "snapshot_many"))
		(void)evil_send(s->fd, &m, (int[]){fd, fd, fd, fd}, 4);
	else if (!is(s->attack, "snapshot_never"))
		(void)evil_send(s->fd, &m, &fd, 1);
	(void)close(fd);
}

static int
slice_fd(const char *attack)
{
	int fds[2];

	if (is(attack, "slice_pipe"))
		return pipe2(fds, O_CLOEXEC) < 0 ? -1 : fds[0];
	if (is(attack, "slice_socket"))
		return socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 ? -1 : fds[0];
	if (is(attack, "slice_directory"))
		return openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (is(attack, "slice_device"))
		return openat(AT_FDCWD, "/dev/zero", O_RDONLY | O_CLOEXEC);
	if (is(attack, "slice_writable"))
		return openat(AT_FDCWD, "/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (is(attack, "slice_path"))
		return openat(AT_FDCWD, "/proc/self/exe", O_PATH | O_CLOEXEC);
	if (is(attack, "slice_unsealed"))
		return memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static void
give_slices(struct session *s)
{
	uint8_t storage[1024];
	struct buf rows = buf_over(storage, sizeof(storage));
	struct slice row = {.msgno = 1, .kind = SLICE_FILE, .length = 100, .wire = 100};
	int fd = slice_fd(s->attack);

	if (is(s->attack, "slice_beyond"))
		row.length = UINT64_C(1) << 40;
	if (is(s->attack, "slice_overflow"))
		row.offset = UINT64_MAX - 5;
	if (is(s->attack, "slice_not_asked"))
		row.msgno = 2;
	if (is(s->attack, "slice_no_message"))
		row.msgno = 77;
	if (is(s->attack, "slice_kind"))
		row.kind = 99;
	if (is(s->attack, "slice_wire"))
		row.wire = UINT64_MAX;
	slice_put(&row, &rows);
	EVIL(m, slices, {.rows = buf_view(&rows)});
	if (is(s->attack, "slice_no_fd"))
		(void)evil_send(s->fd, &m, NULL, 0);
	else if (is(s->attack, "slice_many_fds"))
		(void)evil_send(s->fd, &m, (int[]){fd, fd, fd, fd, fd}, 5);
	else if (!is(s->attack, "slice_never"))
		(void)evil_send(s->fd, &m, &fd, 1);
	(void)close(fd);
}

static void
give_verdict(struct session *s)
{
	bool odd = is(s->attack, "done_odd");
	EVIL(m, done,
		{.outcome = odd ? 250 : VERDICT_DONE,
			.removed = UINT32_MAX,
			.remain = UINT32_MAX});

	if (!is(s->attack, "done_never"))
		(void)evil_send(s->fd, &m, NULL, 0);
}

static void
hear_session(struct session *s)
{
	struct view payload;
	struct msg_fetch asked;
	int number = evil_receive(s->fd, &got, &payload, 0);

	received_done(&got);
	if (number == MSG_WANT && s->lie && s->lie->want)
		s->lie->want(s->fd);
	else if (number == MSG_WANT)
		give_slices(s);
	if (number == MSG_FETCH && s->lie && s->lie->fetch &&
		msg_fetch_get(&asked, payload))
		s->lie->fetch(s->fd, &asked);
	if (number == MSG_VERDICT && s->lie && s->lie->verdict)
		s->lie->verdict(s->fd);
	else if (number == MSG_VERDICT)
		give_verdict(s);
	if (number < 0) {
		(void)close(s->fd);
		*s = sessions[--sessions_n];
	}
}

static void
hear_monitor(void)
{
	struct view payload;
	struct msg_attach attach;
	int number = evil_receive(FD_MONITOR, &got, &payload, 0);

	if (number < 0)
		_exit(0);
	if (number == MSG_ATTACH && msg_attach_get(&attach, payload) && got.nfds &&
		sessions_n < SESSIONS_MAX) {
		struct session *s = &sessions[sessions_n++];
		s->fd = received_take(&got, 0);
		(void)snprintf(s->attack, sizeof(s->attack), "%.*s", (int)attach.user.n,
			(const char *)attach.user.p);
		if (is(s->attack, "die"))
			_exit(1);
		s->lie = keeper_lie_of(s->attack);
		if (s->lie && s->lie->begin)
			s->lie->begin(s->fd);
		else
			begin(s);
	}
	received_done(&got);
}

/* As the real one does; whose it is stands in the first message, which stays there. */
static bool
is_evil(void)
{
	static uint8_t octets[MESSAGE_OCTETS_MAX];
	struct pollfd p = {.fd = FD_MONITOR, .events = POLLIN};
	struct msg_keeper_setup m;
	struct view payload;

	(void)poll(&p, 1, -1);
	ssize_t n = recv(FD_MONITOR, octets, sizeof(octets), MSG_PEEK);
	if (n <= 0 ||
		message_number((struct view){octets, (size_t)n}, &payload) !=
			MSG_KEEPER_SETUP ||
		!msg_keeper_setup_get(&m, payload) || m.uid != EVIL_UID)
		return false;
	return setgroups(0, NULL) == 0 && setresgid(m.gid, m.gid, m.gid) == 0 &&
		setresuid(m.uid, m.uid, m.uid) == 0;
}

int
main(void)
{
	if (!is_evil())
		evil_become_real();
	evil_ready();
	for (;;) {
		struct pollfd p[1 + SESSIONS_MAX] = {
			{.fd = FD_MONITOR, .events = POLLIN}};
		size_t n = sessions_n;
		for (size_t i = 0; i < n; i++)
			p[1 + i] =
				(struct pollfd){.fd = sessions[i].fd, .events = POLLIN};
		(void)poll(p, (nfds_t)(1 + n), 1000);
		if (p[0].revents)
			hear_monitor();
		for (size_t i = n; i > 0; i--)
			if (p[i].revents)
				hear_session(&sessions[i - 1]);
	}
}
