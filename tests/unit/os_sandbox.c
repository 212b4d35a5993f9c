/*
 * Each try is made by a child of its own, in the cage of a profile: it must end it
 * (SIGSYS), fail, or succeed. Everything runs as the caller's real user and, as root,
 * also without.
 */
#include "unit.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/loop.h"
#include "os/sandbox.h"
#include "os/sealed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY	       65534
#define LIMIT_OF_FILES 1048576

/* What a child has in hand before its cage is shut. */
struct hand {
	int pair[2];  /* a stream socket pair */
	int listener; /* TCP on loopback, one connection waiting */
	int client;   /* that connection */
	int file;    /* a regular file, open read-write, 16 octets, no more to be found by
			name */
	int mail;    /* a directory that Landlock leaves to the keeper */
	int outside; /* another one that it does not */
};

static struct {
	char path[64];
	int empty, mail, outside;
} place;

/* ---- tries: 0 is success ------------------------------------------------------------
 */

static int
try_open(struct hand *h)
{
	(void)h;
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0;
}

static int
try_openat(struct hand *h)
{
	return openat(h->mail, "x", O_RDONLY | O_CLOEXEC) < 0;
}

static int
try_socket(struct hand *h)
{
	(void)h;
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0;
}

static int
try_socketpair(struct hand *h)
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, h->pair) < 0;
}

static int
try_connect(struct hand *h)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/x"};

	return connect(h->pair[0], (struct sockaddr *)&to, sizeof(to)) < 0;
}

static int
try_sendto_address(struct hand *h)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/x"};

	return sendto(h->pair[0], "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) < 0;
}

static int
try_exec(struct hand *h)
{
	char *argv[] = {NULL}, *envp[] = {NULL};

	(void)h;
	return execve("/bin/true", argv, envp);
}

static int
try_fork(struct hand *h)
{
	(void)h;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid < 0;
}

static int
try_kill(struct hand *h)
{
	(void)h;
	return kill(getppid(), 0) < 0;
}

static int
try_tgkill_other(struct hand *h)
{
	(void)h;
	return syscall(SYS_tgkill, getppid(), getppid(), 0) < 0;
}

static int
try_ptrace(struct hand *h)
{
	(void)h;
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0;
}

static int
try_posix_lock(struct hand *h)
{
	struct flock l = {.l_type = F_WRLCK};

	return fcntl(h->file, F_SETLK, &l) < 0;
}

static int
try_ofd_lock(struct hand *h)
{
	struct flock l = {.l_type = F_WRLCK};

	return fcntl(h->file, F_OFD_SETLK, &l) < 0;
}

static int
try_flock(struct hand *h)
{
	return flock(h->file, LOCK_EX | LOCK_NB) < 0;
}

static int
try_truncate(struct hand *h)
{
	return ftruncate(h->file, 1) < 0;
}

/* An answer, not the signal that would end it. */
static int
try_large_file(struct hand *h)
{
	return pwrite(h->file, "x", 1, LIMIT_OF_FILES) != -1 || errno != EFBIG;
}

static int
try_pwrite(struct hand *h)
{
	return pwrite(h->file, "x", 1, 0) != 1;
}

static int
try_mmap_exec(struct hand *h)
{
	(void)h;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0) == MAP_FAILED;
}

static int
try_mprotect_exec(struct hand *h)
{
	(void)h;
	void *p = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0;
}

static int
try_memfd(struct hand *h)
{
	(void)h;
	AUTO_FD fd = sealed_new("test", VIEW("octets"));
	uint64_t n;

	return fd < 0 || sealed_check(fd, &n) < 0 || n != 6;
}

static int
try_ioctl(struct hand *h)
{
	int n;

	return ioctl(h->pair[0], FIONREAD, &n) < 0;
}

static int
try_prctl(struct hand *h)
{
	(void)h;
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0;
}

static int
try_sockopt_filter(struct hand *h)
{
	int on = 1;

	return setsockopt(h->pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0;
}

static int
try_accept(struct hand *h)
{
	AUTO_FD fd = accept4(h->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return 1;
	return send(fd, "+OK\r\n", 5, MSG_NOSIGNAL) != 5 || shutdown(fd, SHUT_WR) < 0;
}

static int
try_shut_listener(struct hand *h)
{
	return shutdown(h->listener, SHUT_RDWR) < 0;
}

static int
try_block_listener(struct hand *h)
{
	return fcntl(h->listener, F_SETFL, 0) < 0;
}

static int
try_tune_listener(struct hand *h)
{
	int ms = 1;

	return setsockopt(h->listener, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)) <
		0;
}

static int
try_accept_peer(struct hand *h)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	AUTO_FD fd = accept4(h->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd < 0 || getsockopt(h->pair[0], SOL_SOCKET, SO_PEERCRED, &who, &n) < 0;
}

static int
try_talk(struct hand *h)
{
	char octets[4];
	struct iovec iov = {octets, sizeof(octets)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (send(h->pair[0], "abcd", 4, MSG_NOSIGNAL) != 4)
		return 1;
	return recvmsg(h->pair[1], &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 4;
}

static int
try_read_passed(struct hand *h)
{
	char octets[16];
	struct iovec iov = {octets, sizeof(octets)};
	struct stat st;

	if (fstat(h->file, &st) < 0 || st.st_size != 16)
		return 1;
	if (pread(h->file, octets, 16, 0) != 16)
		return 2;
	/* Only that the call is allowed: tmpfs answers that it does not know NOWAIT. */
	return preadv2(h->file, &iov, 1, 0, RWF_NOWAIT) < 0 && errno != EOPNOTSUPP;
}

static int
try_sendfile(struct hand *h)
{
	off_t at = 0;

	return sendfile(h->pair[0], h->file, &at, 16) != 16;
}

/* What libc does on its own: memory of every size, text, time, random octets. */
static int
try_libc(struct hand *h)
{
	(void)h;
	char text[64];
	struct tm tm;
	time_t t = 86400;
	struct timespec now;

	for (size_t n = 16; n < (1U << 24); n *= 4) {
		char *p = malloc(n);
		if (!p)
			return 1;
		memset(p, 1, n);
		p = realloc(p, 2 * n);
		if (!p)
			return 2;
		free(p);
	}
	if (snprintf(text, sizeof(text), "%s %d", "x", 1) != 3)
		return 3;
	if (!gmtime_r(&t, &tm) || clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		return 4;
	return getrandom(text, sizeof(text), 0) != sizeof(text);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, 4);
}

static int
try_sort(struct hand *h)
{
	(void)h;
	static uint32_t many[100000];

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (uint32_t)(i * 2654435761U);
	qsort(many, ARRAY_SIZE(many), 4, compare);
	return 0;
}

static void
fired(struct timer *t, uint64_t now)
{
	(void)t, (void)now;
}

static int
try_loop(struct hand *h)
{
	(void)h;
	struct timer t = {.fire = fired};
	struct loop *l = loop_new();

	if (!l || loop_timer_set(l, &t, 0) < 0 || loop_once(l, 1000) < 0)
		return 1;
	loop_free(&l);
	return 0;
}

static void *
thread_main(void *arg)
{
	free(malloc(100000));
	return arg;
}

static int
try_thread(struct hand *h)
{
	pthread_t t;
	void *result;

	if (pthread_create(&t, NULL, thread_main, h) != 0)
		return 1;
	return pthread_join(t, &result) != 0 || result != h;
}

static int
try_abort(struct hand *h)
{
	(void)h;
	abort();
}

static int
try_mail(struct hand *h)
{
	AUTO_FD dir = fd_open_beneath(h->mail, "box", O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return 1;
	AUTO_FD fd = fd_open_beneath(dir, "a", O_RDWR | O_CREAT | O_EXCL, 0600);
	struct stat st;

	if (fd < 0 || write(fd, "mail", 4) != 4 || fsync(fd) < 0 || fsync(dir) < 0)
		return 2;
	if (ftruncate(fd, 2) < 0 || try_ofd_lock(&(struct hand){.file = fd}) != 0)
		return 3;
	if (renameat2(dir, "a", dir, "b", RENAME_NOREPLACE) < 0)
		return 4;
	if (linkat(dir, "b", dir, "c", 0) < 0 || fstatat(dir, "c", &st, 0) < 0)
		return 5;
	return unlinkat(dir, "c", 0) < 0 || unlinkat(dir, "b", 0) < 0;
}

static int
try_outside(struct hand *h)
{
	AUTO_FD fd = openat(h->outside, "secret", O_RDONLY | O_CLOEXEC);

	return fd < 0 && errno == EACCES ? 0 : 1;
}

static int
try_symlink(struct hand *h)
{
	return symlinkat("/etc/passwd", h->mail, "link") < 0;
}

static int
try_root_again(struct hand *h)
{
	(void)h;
	return setuid(0) < 0;
}

/* ---- the cages ----------------------------------------------------------------------
 */

static void
hand_open(struct hand *h)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	h->mail = place.mail;
	h->outside = place.outside;
	h->file = openat(place.mail, "box/passed", O_RDWR | O_CLOEXEC);
	CHECK(h->file >= 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, h->pair) == 0);
	h->listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(h->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
	CHECK(listen(h->listener, 4) == 0);
	CHECK(getsockname(h->listener, (struct sockaddr *)&a, &n) == 0);
	h->client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(h->client, (struct sockaddr *)&a, sizeof(a)) == 0);
}

static struct sandbox_plan
plan_of(enum sandbox_profile profile, bool as_root)
{
	struct sandbox_plan p = {.profile = profile,
		.uid = as_root ? NOBODY : 0,
		.gid = as_root ? NOBODY : 0,
		.empty_dir = place.empty,
		.fsize_max = UINT64_MAX};

	if (profile == SANDBOX_KEEPER || profile == SANDBOX_LMTPD)
		p.fsize_max = LIMIT_OF_FILES;
	if (profile == SANDBOX_KEEPER) {
		p.landlock_dirs = &place.mail;
		p.landlock_dirs_n = 1;
		p.landlock_write = true;
	}
	return p;
}

static void
become_nobody(void)
{
	if (geteuid() != 0)
		return;
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

/* The wait status of a child that tries this. 90: the cage itself failed. */
static int
in_cage(enum sandbox_profile profile, bool as_root, int (*attempt)(struct hand *h))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct hand h;
		uint32_t parts;
		const char *step;
		if (!as_root)
			become_nobody();
		sandbox_first();
		hand_open(&h);
		struct sandbox_plan plan = plan_of(profile, as_root);
		int err = sandbox_enter(&plan, &parts, &step);
		if (err < 0) {
			(void)dprintf(2, "# %s: %s\n", step, strerrordesc_np(-err));
			_exit(90);
		}
		_exit(attempt(&h));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

enum { F = 1, A = 2, K = 4, L = 8, C = 16, M = 32, ALL = 63 };

static const struct attempt {
	const char *name;
	int (*run)(struct hand *h);
	unsigned int works; /* profiles in which it succeeds */
	unsigned int kills; /* and in which it is the end */
} attempts[] = {
	{"open", try_open, 0, ALL & ~K},
	{"openat", try_openat, 0, ALL & ~K},
	{"socket", try_socket, 0, ALL},
	{"socketpair", try_socketpair, 0, ALL},
	{"connect", try_connect, 0, ALL},
	{"sendto with an address", try_sendto_address, 0, ALL},
	{"exec", try_exec, 0, ALL},
	{"fork", try_fork, 0, ALL},
	{"kill", try_kill, 0, ALL},
	{"tgkill", try_tgkill_other, 0, ALL},
	{"ptrace", try_ptrace, 0, ALL},
	{"posix lock", try_posix_lock, 0, ALL},
	{"ofd lock", try_ofd_lock, K, ALL & ~K},
	{"flock", try_flock, K, ALL & ~K},
	{"ftruncate", try_truncate, 0, ALL & ~K},
	{"pwrite", try_pwrite, K | M, ALL & ~(K | M)},
	{"executable memory", try_mmap_exec, 0, ALL},
	{"memory made executable", try_mprotect_exec, 0, ALL},
	{"memfd", try_memfd, K | M, ALL & ~(K | M)},
	{"ioctl", try_ioctl, 0, ALL},
	{"prctl", try_prctl, 0, ALL},
	{"an option of sockets", try_sockopt_filter, 0, ALL},
	{"accept", try_accept, F | M, A | K | L},
	{"accept and peer", try_accept_peer, C, A | K | L},
	{"talk", try_talk, ALL, 0},
	{"read what was passed", try_read_passed, ALL, 0},
	{"the end of a shared listener", try_shut_listener, K, ALL & ~K},
	{"a shared listener made to block", try_block_listener, 0, ALL},
	{"an option of a shared listener", try_tune_listener, 0, ALL},
	{"sendfile", try_sendfile, 0, ALL},
	{"libc", try_libc, ALL, 0},
	{"sort", try_sort, ALL, 0},
	{"loop", try_loop, ALL, 0},
	{"thread", try_thread, A | K, F | L | C | M},
	{"mail", try_mail, K, F | A | L | C | M},
	{"a file beyond its limit", try_large_file, K | M, 0},
	{"symlink", try_symlink, 0, ALL},
	{"setuid", try_root_again, 0, ALL},
};

/* Sanitizers need more calls than the table would let through. */
#ifdef RESTANTE_SANITIZED
#define KILLS_ARE_CHECKED false
#else
#define KILLS_ARE_CHECKED true
#endif

static void
run_all(bool as_root)
{
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		for (int profile = SANDBOX_FRONT; profile <= SANDBOX_LMTPD; profile++) {
			const struct attempt *t = &attempts[i];
			bool works = t->works & (1U << profile);
			bool kills = t->kills & (1U << profile);
			if (!works && !(kills && KILLS_ARE_CHECKED))
				continue;
			int status =
				in_cage((enum sandbox_profile)profile, as_root, t->run);
			bool dead = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
			bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;
			if ((works && !fine) || (kills && !dead))
				fail_msg("%s in profile %d: status %#x", t->name, profile,
					(unsigned int)status);
		}
	}
}

static void
each_profile_as_root(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	run_all(true);
}

static void
each_profile_without_root(void **state)
{
	(void)state;
	run_all(false);
}

static void
abort_is_seen_as_abort(void **state)
{
	(void)state;
	int status = in_cage(SANDBOX_FRONT, geteuid() == 0, try_abort);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* Landlock alone: no chroot, the directory is there and its mode would allow it. */
static void
keeper_reaches_nothing_else(void **state)
{
	(void)state;
	int saved = place.empty;

	place.empty = -1;
	int root = in_cage(SANDBOX_KEEPER, geteuid() == 0, try_outside);
	int plain = in_cage(SANDBOX_KEEPER, false, try_outside);
	place.empty = saved;
	assert_int_equal(root, 0);
	assert_int_equal(plain, 0);
}

/* ---- the state that a cage leaves -----------------------------------------------------
 */

static void
status_line(pid_t pid, const char *key, char *ret, size_t ret_n)
{
	char path[64], line[512];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	ret[0] = 0;
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			(void)snprintf(ret, ret_n, "%s", line + strlen(key));
	(void)fclose(f);
}

static void
assert_status(pid_t pid, const char *key, const char *wanted)
{
	char got[256];

	status_line(pid, key, got, sizeof(got));
	assert_string_equal(got, wanted);
}

static pid_t
caged_child(const struct sandbox_plan *plan, int report)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	struct {
		int err;
		uint32_t parts;
	} r = {0};
	const char *step;
	char octet;
	sandbox_first();
	r.err = sandbox_enter(plan, &r.parts, &step);
	CHECK(write(report, &r, sizeof(r)) == sizeof(r));
	_exit(read(report, &octet, 1) == 1);
}

static uint32_t
report_of(int fd, int *ret_err)
{
	struct {
		int err;
		uint32_t parts;
	} r;

	assert_int_equal(read(fd, &r, sizeof(r)), sizeof(r));
	*ret_err = r.err;
	return r.parts;
}

static void
root_leaves_nothing_of_itself(void **state)
{
	(void)state;
	int pair[2], err, status;
	static const char *const sets[] = {
		"CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapBnd:\t", "CapAmb:\t"};
	struct sandbox_plan plan = plan_of(SANDBOX_FRONT, true);
	char path[64];
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid_t pid = caged_child(&plan, pair[1]);
	uint32_t parts = report_of(pair[0], &err);
	assert_int_equal(err, 0);
	uint32_t wanted =
		SANDBOX_CHROOT | SANDBOX_USER | SANDBOX_NO_NEW_PRIVS | SANDBOX_SECCOMP;
	assert_int_equal(parts & wanted, wanted);
	assert_int_equal(parts & SANDBOX_USERNS, 0);
	assert_status(pid, "Uid:\t", "65534\t65534\t65534\t65534\n");
	assert_status(pid, "Gid:\t", "65534\t65534\t65534\t65534\n");
	assert_status(pid, "Groups:\t", " \n");
	assert_status(pid, "NoNewPrivs:\t", "1\n");
	assert_status(pid, "Seccomp:\t", "2\n");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		assert_status(pid, sets[i], "0000000000000000\n");
	/* Not dumpable: its files in /proc are root's. */
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(write(pair[0], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(pair[0]), (void)close(pair[1]);
}

static int
refusal_of(const struct sandbox_plan *plan)
{
	int pair[2], err, status;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid_t pid = caged_child(plan, pair[1]);
	(void)report_of(pair[0], &err);
	assert_int_equal(write(pair[0], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(pair[0]), (void)close(pair[1]);
	return err;
}

static void
root_is_never_kept(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	struct sandbox_plan plan = plan_of(SANDBOX_FRONT, false);
	assert_int_equal(refusal_of(&plan), -EINVAL);
	plan.uid = NOBODY;
	assert_int_equal(refusal_of(&plan), -EINVAL);
}

static void
what_is_required_must_be_had(void **state)
{
	(void)state;
	struct sandbox_plan plan = plan_of(SANDBOX_LOG, geteuid() == 0);

	plan.empty_dir = -1;
	plan.required = SANDBOX_CHROOT;
	assert_int_equal(refusal_of(&plan), -EOPNOTSUPP);
	plan.required = SANDBOX_SECCOMP | SANDBOX_NO_NEW_PRIVS;
	assert_int_equal(refusal_of(&plan), 0);
}

static void
parts_have_names(void **state)
{
	(void)state;
	char text[128];
	struct buf b = buf_over(text, sizeof(text));

	sandbox_parts_text(SANDBOX_CHROOT | SANDBOX_SECCOMP | SANDBOX_WIDE, &b);
	assert_int_equal(b.n, strlen("chroot seccomp wide"));
	assert_memory_equal(text, "chroot seccomp wide", b.n);
}

/* ---- the place ------------------------------------------------------------------------
 */

static int
make_dir(const char *name, mode_t mode)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", place.path, name);
	CHECK(mkdir(path, 0700) == 0);
	CHECK(chmod(path, mode) == 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(place.path, sizeof(place.path), "/tmp/os_sandbox.XXXXXX");
	CHECK(mkdtemp(place.path));
	CHECK(chmod(place.path, 0755) == 0);
	place.empty = make_dir("empty", 0755);
	place.mail = make_dir("mail", 0755);
	place.outside = make_dir("outside", 0755);
	CHECK(mkdirat(place.mail, "box", 0700) == 0);
	CHECK(fchmodat(place.mail, "box", 0777, 0) == 0);
	AUTO_FD passed =
		openat(place.mail, "box/passed", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	CHECK(fchmod(passed, 0666) == 0);
	CHECK(write(passed, "0123456789abcdef", 16) == 16);
	AUTO_FD secret =
		openat(place.outside, "secret", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	CHECK(secret >= 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	CHECK(unlinkat(place.mail, "box/passed", 0) == 0);
	CHECK(unlinkat(place.mail, "box", AT_REMOVEDIR) == 0);
	CHECK(unlinkat(place.outside, "secret", 0) == 0);
	AUTO_FD dir = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(unlinkat(dir, "mail", AT_REMOVEDIR) == 0);
	CHECK(unlinkat(dir, "outside", AT_REMOVEDIR) == 0);
	CHECK(unlinkat(dir, "empty", AT_REMOVEDIR) == 0);
	fd_close(&place.mail), fd_close(&place.outside), fd_close(&place.empty);
	return rmdir(place.path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_profile_as_root),
		cmocka_unit_test(each_profile_without_root),
		cmocka_unit_test(abort_is_seen_as_abort),
		cmocka_unit_test(keeper_reaches_nothing_else),
		cmocka_unit_test(root_leaves_nothing_of_itself),
		cmocka_unit_test(root_is_never_kept),
		cmocka_unit_test(what_is_required_must_be_had),
		cmocka_unit_test(parts_have_names),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
