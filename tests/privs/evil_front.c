/*
 * evil_front.c: a front that was taken over, behind a real front's cage. Front 0 stays
 * the real program; front 1 greets with "EVIL", reads one line "ATTACK ARGUMENTS", and
 * answers with what came of it. A cage that kills shows as a connection that ends without
 * answer.
 */
#include "evil_front.h"
#include "ipc/permit.h"
#include "ipc/slice.h"
#include "ipc/snapshot.h"
#include "os/sandbox.h"
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct evil_front evil = {
	.empty_dir = -1, .auth = -1, .keys = -1, .who = -1, .mail = -1, .slice = -1};
struct received got;

/* ---- what the monitor says -------------------------------------------------- */

static void
hear(int number, struct view payload)
{
	struct msg_front_setup setup;
	struct msg_session_attached attached;
	struct msg_front_tls tls;

	if (number == MSG_FRONT_SETUP && msg_front_setup_get(&setup, payload)) {
		evil.incarnation = setup.incarnation;
		evil.uid = setup.uid;
		evil.empty_dir = got.nfds ? received_take(&got, 0) : -1;
	} else if (number == MSG_FRONT_LISTENER && got.nfds &&
		evil.listeners_n < LISTENERS_MAX) {
		evil.listeners[evil.listeners_n++] = received_take(&got, 0);
	} else if (number == MSG_FRONT_AUTH && got.nfds) {
		evil.auth = received_take(&got, 0);
	} else if (number == MSG_FRONT_KEYS && got.nfds) {
		evil.keys = received_take(&got, 0);
	} else if (number == MSG_FRONT_WHO && got.nfds) {
		evil.who = received_take(&got, 0);
	} else if (number == MSG_FRONT_TLS && msg_front_tls_get(&tls, payload)) {
		evil.generation = tls.generation;
	} else if (number == MSG_FRONT_PEERS) {
		for (evil.peers_n = 0; evil.peers_n < got.nfds; evil.peers_n++)
			evil.peers[evil.peers_n] = received_take(&got, evil.peers_n);
	} else if (number == MSG_SESSION_ATTACHED &&
		msg_session_attached_get(&attached, payload)) {
		if (evil.mail >= 0)
			(void)close(evil.mail);
		evil.mail = got.nfds ? received_take(&got, 0) : -1;
	}
	received_done(&got);
}

/* Reads from the monitor until a message of this number, or nothing comes for ms. */
static int
hear_until(int wanted, int ms)
{
	struct view payload;

	for (;;) {
		int number = evil_receive(FD_MONITOR, &got, &payload, ms);
		if (number < 0)
			_exit(0); /* the monitor is gone, or done with us */
		if (number == 0)
			return 0;
		hear(number, payload);
		if (number == wanted)
			return number;
	}
}

/* ---- sessions --------------------------------------------------------------- */

uint64_t
evil_session(void)
{
	evil.session += UINT64_C(1) << SESSION_COUNT_BIT;
	return evil.session;
}

static int
ask_auth(uint64_t session, const char *name, const char *password)
{
	EVIL(ask, login,
		{.session = session,
			.mechanism = MECHANISM_PASS,
			.address = VIEW("\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1"),
			.port = 1,
			.name = {(const uint8_t *)name, strlen(name)},
			.response = {(const uint8_t *)password, strlen(password)}});
	return evil_send(evil.auth, &ask, NULL, 0);
}

int
evil_answer(int ms)
{
	struct view payload;

	for (int waited = 0; waited < ms; waited += 50) {
		if (hear_until(MSG_SESSION_ATTACHED, 25) == MSG_SESSION_ATTACHED)
			return 1;
		int number = evil_receive(evil.auth, &got, &payload, 25);
		if (number == MSG_LOGIN_FAILED)
			return 0;
	}
	return -1;
}

const char *
evil_snapshot(void)
{
	struct view payload;
	struct msg_snapshot snapshot;
	struct msg_snapshot_small small;
	struct snapshot table;

	switch (evil_answer(4000)) {
	case 0: return "refused";
	case 1: break;
	default: return "silence";
	}
	int number = evil_receive(evil.mail, &got, &payload, 4000);
	received_done(&got);
	if (number == MSG_SNAPSHOT_SMALL && msg_snapshot_small_get(&small, payload) &&
		snapshot_check(small.table, &table)) {
		evil.count = table.count;
		return "attached";
	}
	if (number != MSG_SNAPSHOT || !msg_snapshot_get(&snapshot, payload))
		return number == MSG_REFUSED ? "in-use" : "no-snapshot";
	evil.count = snapshot.count;
	return "attached";
}

static const char *
log_in(const char *name, const char *password)
{
	if (ask_auth(evil_session(), name, password) < 0)
		return "no-auth";
	return evil_snapshot();
}

static int
want(const uint32_t *msgnos, size_t n)
{
	uint8_t storage[256];
	struct buf list = buf_over(storage, sizeof(storage));

	for (size_t i = 0; i < n; i++)
		buf_put_u32(&list, msgnos[i]);
	EVIL(ask, want, {.msgnos = buf_view(&list)});
	return evil_send(evil.mail, &ask, NULL, 0);
}

/* What the keeper says next on the session: a message's name, "end" or "silence". */
static const char *
keeper_says(int ms)
{
	struct view payload;
	int number = evil_receive(evil.mail, &got, &payload, ms);

	if (number == MSG_SLICES && got.nfds) {
		if (evil.slice >= 0)
			(void)close(evil.slice);
		evil.slice = received_take(&got, 0);
	}
	received_done(&got);
	return number < 0     ? "end"
		: number == 0 ? "silence"
			      : message_name((uint16_t)number);
}

static const char *
verdict(uint32_t first, bool last, struct view marks)
{
	EVIL(say, verdict, {.first = first, .last = last, .marks = marks});
	if (evil_send(evil.mail, &say, NULL, 0) < 0)
		return "end";
	struct view payload;
	struct msg_done done;
	static char text[64];
	int number = evil_receive(evil.mail, &got, &payload, 3000);
	if (number == MSG_DONE && msg_done_get(&done, payload)) {
		(void)snprintf(text, sizeof(text), "done outcome=%u removed=%u",
			done.outcome, done.removed);
		return text;
	}
	return number < 0 ? "end" : number == 0 ? "silence" : "other";
}

/* ---- attacks on the system: most end in SIGSYS ------------------------------ */

static const char *
result(long rc)
{
	static char text[64];

	if (rc >= 0)
		return "SUCCEEDED";
	(void)snprintf(text, sizeof(text), "errno=%d", errno);
	return text;
}

const char *
evil_counted(unsigned long n)
{
	static char text[64];

	(void)snprintf(text, sizeof(text), "sent=%lu", n);
	return text;
}

ATTACK(open_file)
{
	return result(openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC));
}
ATTACK(open_up)
{
	return result(openat(evil.empty_dir, "../../etc/passwd", O_RDONLY | O_CLOEXEC));
}
ATTACK(open_own_fd)
{
	return result(openat(AT_FDCWD, "/proc/self/fd/3", O_RDWR | O_CLOEXEC));
}
ATTACK(make_socket)
{
	return result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}
ATTACK(make_unix_pair)
{
	int fds[2];
	return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
}
ATTACK(connect_out)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
	return result(connect(evil.listeners[0], (struct sockaddr *)&to, sizeof(to)));
}
ATTACK(exec_shell)
{
	char *const argv[] = {(char[]){"sh"}, NULL};
	return result(execve("/bin/sh", argv, NULL));
}
ATTACK(fork_child)
{
	return result(fork());
}
ATTACK(kill_monitor)
{
	return result(kill(getppid(), SIGKILL));
}
ATTACK(trace_monitor)
{
	return result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}
ATTACK(become_root)
{
	return result(setresuid(0, 0, 0));
}
ATTACK(be_dumpable)
{
	return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}
ATTACK(leave_root)
{
	return result(chroot("."));
}
ATTACK(code_pages)
{
	void *p = mmap(
		NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? result(-1) : "SUCCEEDED";
}
ATTACK(mount_things)
{
	return result(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL));
}
ATTACK(write_memory)
{
	return result(syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0));
}

/* Listening sockets are shared with the other fronts. */
ATTACK(shut_listener)
{
	return result(shutdown(evil.listeners[0], SHUT_RDWR));
}
ATTACK(block_listener)
{
	return result(fcntl(evil.listeners[0], F_SETFL, 0));
}
ATTACK(tune_listener)
{
	int ms = 1;
	return result(setsockopt(
		evil.listeners[0], IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)));
}

/* ---- attacks on descriptors: a message of the session at hand ---------------- */

static bool
have_slice(void)
{
	uint32_t one = 1;

	return want(&one, 1) == 0 && strcmp(keeper_says(3000), "SLICES") == 0 &&
		evil.slice >= 0;
}

ATTACK(slice_write)
{
	return have_slice() ? result(write(evil.slice, "x", 1)) : "no-slice";
}
ATTACK(slice_pwrite)
{
	return have_slice() ? result(pwrite(evil.slice, "x", 1, 0)) : "no-slice";
}
ATTACK(slice_truncate)
{
	return have_slice() ? result(ftruncate(evil.slice, 0)) : "no-slice";
}
ATTACK(slice_chmod)
{
	return have_slice() ? result(fchmod(evil.slice, 0777)) : "no-slice";
}
ATTACK(slice_flock)
{
	return have_slice() ? result(flock(evil.slice, LOCK_EX | LOCK_NB)) : "no-slice";
}
ATTACK(slice_lock)
{
	struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	return have_slice() ? result(fcntl(evil.slice, F_OFD_SETLK, &l)) : "no-slice";
}
ATTACK(slice_reopen)
{
	char path[64];
	if (!have_slice())
		return "no-slice";
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", evil.slice);
	return result(openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC));
}
ATTACK(peers_write)
{
	if (evil.peers_n < 2)
		return "no-peers";
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, evil.peers[1], 0);
	if (p != MAP_FAILED)
		return "SUCCEEDED";
	return result(pwrite(evil.peers[1], "x", 1, 0));
}

/* ---- attacks by words -------------------------------------------------------- */

ATTACK(login_as)
{
	return log_in(a, b);
}
ATTACK(login_again)
{
	/* The number of a session that was granted, once more. */
	const char *first = log_in(a, b);
	int held = evil.mail;
	evil.mail = -1;
	if (strcmp(first, "attached") != 0)
		return first;
	(void)ask_auth(evil.session, a, b);
	int got_one = evil_answer(1500);
	(void)close(held);
	return got_one == 1 ? "SUCCEEDED" : got_one == 0 ? "refused" : "silence";
}
ATTACK(login_flood)
{
	unsigned long sent = 0;
	for (unsigned i = 0; i < 5000; i++)
		sent += ask_auth(evil_session(), a, "wrong") == 0;
	return evil_counted(sent);
}
/* Logins that are granted, of which it never reads that they were. */
ATTACK(never_hear)
{
	unsigned long sent = 0;
	struct view payload;
	for (unsigned i = 0; i < 20000 && sent < 12000; i++) {
		int rc = ask_auth(evil_session(), a, b);
		sent += rc == 0;
		if (rc < 0 && rc != -EAGAIN)
			break;
		while (evil_receive(evil.auth, &got, &payload, rc < 0 ? 1 : 0) > 0)
			received_done(&got);
	}
	return evil_counted(sent);
}
ATTACK(grant_to_monitor)
{
	EVIL(m, grant,
		{.front = evil.incarnation,
			.session = evil_session(),
			.uid = 5000,
			.gid = 5000,
			.rights = RIGHT_READ | RIGHT_DELETE,
			.store = STORE_MAILDIR,
			.address = VIEW("0123456789abcdef"),
			.user = VIEW("x"),
			.maildrop = {(const uint8_t *)a, strlen(a)}});
	(void)evil_send(FD_MONITOR, &m, NULL, 0);
	return evil_answer(1500) == 1 ? "SUCCEEDED" : "silence";
}
ATTACK(grant_to_auth)
{
	EVIL(m, grant,
		{.front = evil.incarnation,
			.session = evil_session(),
			.uid = 5000,
			.gid = 5000,
			.rights = RIGHT_READ | RIGHT_DELETE,
			.store = STORE_MAILDIR,
			.address = VIEW("0123456789abcdef"),
			.user = VIEW("x"),
			.maildrop = {(const uint8_t *)a, strlen(a)}});
	(void)evil_send(evil.auth, &m, NULL, 0);
	return evil_answer(1500) == 1 ? "SUCCEEDED" : "silence";
}
ATTACK(attach_to_session)
{
	/* What only a monitor says to a keeper, on a session's channel. */
	EVIL(m, attach,
		{.session = 1,
			.rights = RIGHT_READ | RIGHT_DELETE,
			.store = STORE_MAILDIR,
			.address = VIEW("0123456789abcdef"),
			.user = VIEW("x"),
			.maildrop = {(const uint8_t *)a, strlen(a)}});
	(void)evil_send(evil.mail, &m, NULL, 0);
	return keeper_says(1500);
}
ATTACK(control_to_monitor)
{
	EVIL(m, control, {.command = CONTROL_DRAIN});
	(void)evil_send(FD_MONITOR, &m, NULL, 0);
	(void)hear_until(0, 500);
	return "said";
}
ATTACK(users_ask_to_monitor)
{
	EVIL(m, users_ask, {0});
	(void)evil_send(FD_MONITOR, &m, NULL, 0);
	(void)hear_until(0, 500);
	return "said";
}
ATTACK(idle_to_monitor)
{
	EVIL(m, keeper_idle, {.attached = 0});
	(void)evil_send(FD_MONITOR, &m, NULL, 0);
	(void)hear_until(0, 500);
	return "said";
}
static int
target(const char *name)
{
	return strcmp(name, "monitor") == 0 ? FD_MONITOR
		: strcmp(name, "auth") == 0 ? evil.auth
		: strcmp(name, "log") == 0  ? FD_LOG
					    : evil.mail;
}
ATTACK(garbage)
{
	/* Messages of every length and of no meaning. */
	uint8_t octets[4096];
	uint64_t x = 88172645463325252ULL;
	for (unsigned round = 0; round < 300; round++) {
		size_t n = 1 + (size_t)(x % sizeof(octets));
		for (size_t i = 0; i < n; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			octets[i] = (uint8_t)x;
		}
		if (channel_send(target(a), (struct view){octets, n}, NULL, 0) == -EPIPE)
			return "end";
	}
	return "said";
}
ATTACK(with_descriptors)
{
	/* Descriptors that nobody asked for, hung on a word that is legal. */
	int fds[16];
	for (size_t i = 0; i < 16; i++)
		fds[i] = evil.listeners[0];
	EVIL(m, login,
		{.session = evil_session(),
			.mechanism = MECHANISM_PASS,
			.address = VIEW("0123456789abcdef"),
			.name = VIEW("x"),
			.response = VIEW("y")});
	for (unsigned i = 0; i < 200; i++)
		if (evil_send(target(a), &m, fds, 16) == -EPIPE)
			return "end";
	return "said";
}
ATTACK(want_nothing_there)
{
	uint32_t numbers[3] = {evil.count + 1, 0, UINT32_MAX};
	(void)want(numbers, 3);
	return keeper_says(1500);
}
ATTACK(never_read)
{
	/* Asks for ever and reads nothing: descriptors and memory must stay bounded. */
	uint32_t one[32];
	unsigned long sent = 0;
	for (size_t i = 0; i < 32; i++)
		one[i] = 1 + (uint32_t)(i % (evil.count ? evil.count : 1));
	for (unsigned i = 0; i < 5000; i++)
		sent += want(one, 32) == 0;
	return evil_counted(sent);
}
ATTACK(fetch_beyond)
{
	EVIL(m, fetch, {.msgno = 1, .offset = UINT64_MAX - 10, .length = UINT32_MAX});
	(void)evil_send(evil.mail, &m, NULL, 0);
	return keeper_says(1500);
}
ATTACK(verdict_all)
{
	return verdict(1, true, VIEW("\xff\xff\xff\xff"));
}
ATTACK(verdict_first)
{
	return verdict(1, true, VIEW("\1"));
}
ATTACK(verdict_zero)
{
	return verdict(0, true, VIEW("\1"));
}
ATTACK(verdict_beyond)
{
	return verdict(UINT32_MAX, true, VIEW("\xff"));
}
ATTACK(verdict_unfinished)
{
	const char *said = verdict(1, false, VIEW("\xff"));
	(void)close(evil.mail);
	evil.mail = -1;
	return said;
}
ATTACK(verdict_twice)
{
	(void)verdict(1, true, VIEW("\0"));
	return verdict(1, true, VIEW("\xff"));
}
/* One that is no record, since its event is no word; and one whose value pretends. */
ATTACK(forge_log)
{
	static const char value[] =
		"x\nevent=login program=restante-auth user=\x1b[31mroot";
	static const uint8_t head[] = {4, 'u', 's', 'e', 'r', sizeof(value) - 1, 0};
	uint8_t pairs[sizeof(head) + sizeof(value) - 1];
	EVIL(line, log_record, {.level = 3, .event = VIEW("forged\nevent")});

	memcpy(pairs, head, sizeof(head));
	memcpy(pairs + sizeof(head), value, sizeof(value) - 1);
	EVIL(record, log_record,
		{.level = 3, .event = VIEW("forged"), .pairs = {pairs, sizeof(pairs)}});
	return evil_counted(evil_send(FD_LOG, &line, NULL, 0) == 0 &&
		evil_send(FD_LOG, &record, NULL, 0) == 0);
}
ATTACK(flood_log)
{
	EVIL(m, log_record, {.level = 3, .event = VIEW("flood")});
	unsigned long sent = 0;
	for (unsigned i = 0; i < 100000; i++)
		sent += evil_send(FD_LOG, &m, NULL, 0) == 0;
	return evil_counted(sent);
}
ATTACK(say_full)
{
	for (unsigned i = 0; i < 1000; i++) {
		EVIL(m, front_full, {.full = (uint8_t)(i & 1)});
		(void)evil_send(FD_MONITOR, &m, NULL, 0);
	}
	return "said";
}
/* Nothing can be used, it says: what came, what may come, and what comes. */
ATTACK(refuse_certificates)
{
	for (uint32_t i = 0; i < 1000; i++) {
		EVIL(m, front_tls_taken, {.generation = evil.generation + i});
		(void)evil_send(FD_MONITOR, &m, NULL, 0);
	}
	(void)hear_until(MSG_FRONT_TLS, 2000);
	EVIL(m, front_tls_taken, {.generation = evil.generation});
	(void)evil_send(FD_MONITOR, &m, NULL, 0);
	return "refused";
}
ATTACK(spin_stat)
{
	/* Its own page of counters may hold anything. */
	uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, FD_STAT, 0);
	if (page == MAP_FAILED)
		return result(-1);
	memset(page, 0xff, 256);
	return "said";
}
ATTACK(quit_session)
{
	if (evil.mail >= 0)
		(void)close(evil.mail);
	evil.mail = -1;
	return "closed";
}

static const struct attack attacks[] = {
#define ROW(name)                                                                        \
	{                                                                                \
#name, name                                                              \
	}
	ROW(open_file),
	ROW(open_up),
	ROW(open_own_fd),
	ROW(make_socket),
	ROW(make_unix_pair),
	ROW(connect_out),
	ROW(exec_shell),
	ROW(fork_child),
	ROW(kill_monitor),
	ROW(trace_monitor),
	ROW(become_root),
	ROW(be_dumpable),
	ROW(leave_root),
	ROW(code_pages),
	ROW(mount_things),
	ROW(write_memory),
	ROW(slice_write),
	ROW(slice_pwrite),
	ROW(slice_truncate),
	ROW(slice_chmod),
	ROW(slice_flock),
	ROW(slice_lock),
	ROW(slice_reopen),
	ROW(peers_write),
	ROW(login_as),
	ROW(login_again),
	ROW(shut_listener),
	ROW(block_listener),
	ROW(tune_listener),
	ROW(login_flood),
	ROW(never_hear),
	ROW(grant_to_monitor),
	ROW(grant_to_auth),
	ROW(attach_to_session),
	ROW(control_to_monitor),
	ROW(users_ask_to_monitor),
	ROW(idle_to_monitor),
	ROW(garbage),
	ROW(with_descriptors),
	ROW(want_nothing_there),
	ROW(never_read),
	ROW(fetch_beyond),
	ROW(verdict_all),
	ROW(verdict_first),
	ROW(verdict_zero),
	ROW(verdict_beyond),
	ROW(verdict_unfinished),
	ROW(verdict_twice),
	ROW(forge_log),
	ROW(flood_log),
	ROW(say_full),
	ROW(refuse_certificates),
	ROW(spin_stat),
	ROW(quit_session),
};

static const char *
run(char *line)
{
	char *save = NULL, *name = strtok_r(line, " \r\n", &save);
	char *a = strtok_r(NULL, " \r\n", &save), *b = strtok_r(NULL, " \r\n", &save);
	static char none[] = "";

	for (size_t i = 0; name && i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (strcmp(attacks[i].name, name) == 0)
			return attacks[i].run(a ? a : none, b ? b : none);
	for (const struct attack *w = evil_words; name && w->name; w++)
		if (strcmp(w->name, name) == 0)
			return w->run(a ? a : none, b ? b : none);
	return "no such attack";
}

static void
serve(int conn)
{
	char line[512];
	struct pollfd p = {.fd = conn, .events = POLLIN};

	(void)send(conn, "EVIL\r\n", 6, MSG_NOSIGNAL);
	if (poll(&p, 1, 2000) > 0) {
		ssize_t n = recv(conn, line, sizeof(line) - 1, MSG_DONTWAIT);
		if (n > 0) {
			line[n] = '\0';
			const char *said = run(line);
			(void)send(conn, said, strlen(said), MSG_NOSIGNAL);
		}
	}
	(void)close(conn);
}

int
main(void)
{
	struct view payload;
	struct msg_front_setup setup;

	struct pollfd first = {.fd = FD_MONITOR, .events = POLLIN};
	(void)poll(&first, 1, 10000);
	uint8_t peeked[1024];
	ssize_t n = recv(FD_MONITOR, peeked, sizeof(peeked), MSG_PEEK);
	if (n <= 0 ||
		message_number((struct view){peeked, (size_t)n}, &payload) !=
			MSG_FRONT_SETUP)
		return 70;
	if (!msg_front_setup_get(&setup, payload) || setup.index != 1)
		evil_become_real();
	while (evil.auth < 0 || evil.listeners_n < 1)
		if (hear_until(0, 200) == 0 && evil.incarnation == 0)
			return 70;
	evil_cage(SANDBOX_FRONT, evil.uid, evil.empty_dir);
	evil_ready();
	for (;;) {
		struct pollfd on[2] = {{.fd = FD_MONITOR, .events = POLLIN},
			{.fd = evil.listeners[0], .events = POLLIN}};
		(void)poll(on, 2, 1000);
		(void)hear_until(0, 0);
		int conn = accept4(
			evil.listeners[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn >= 0)
			serve(conn);
	}
}
