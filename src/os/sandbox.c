#include "os/sandbox.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EXIT_SOFTWARE 70

#ifdef RESTANTE_SANITIZED
/*
 * Leaks are looked for by ptrace, which a process that is not dumpable refuses; in a cage
 * the try would end it, whatever ASAN_OPTIONS ask for.
 */
static bool caged;

/* The names are the runtime's. NOLINTBEGIN(bugprone-reserved-identifier) */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}

int __lsan_is_turned_off(void);
__attribute__((visibility("default"))) int
__lsan_is_turned_off(void)
{
	return caged;
}
/* NOLINTEND(bugprone-reserved-identifier) */
#endif

/* ---- first line of main --------------------------------------------------------- */

/* Both are lost when the user changes. */
static int
guard_again(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

static int
set_limit(__rlimit_resource_t which, uint64_t max)
{
	struct rlimit now, wanted = {max, max};

	if (getrlimit(which, &now) < 0)
		return -errno;
	if (now.rlim_max < max)
		return 0; /* stricter already */
	return setrlimit(which, &wanted) < 0 ? -errno : 0;
}

static int
settle_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGHUP, SIGINT, SIGXFSZ};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (sigaction(ignored[i], &ignore, NULL) < 0)
			return -errno;
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static int
settle_environment(void)
{
	if (clearenv() != 0)
		return -ENOMEM;
	if (setenv("TZ", "UTC0", 1) < 0)
		return -errno;
	tzset();
	return 0;
}

void
sandbox_first(void)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} steps[] = {
		{"prctl", guard_again},
		{"environment", settle_environment},
		{"signals", settle_signals},
	};
	const char *failed = NULL;
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && err == 0; i++) {
		err = steps[i].run();
		failed = steps[i].name;
	}
	if (err == 0) {
		(void)umask(077);
		err = set_limit(RLIMIT_CORE, 0);
		failed = "RLIMIT_CORE";
	}
	if (err == 0)
		return;
	(void)dprintf(STDERR_FILENO, "restante: start: %s: %s\n", failed,
		strerrordesc_np(-err));
	_exit(EXIT_SOFTWARE);
}

/* ---- the cage: one function a step; 0 or -errno ----------------------------------- */

struct cage {
	const struct sandbox_plan *plan;
	uint32_t parts;
	bool root;
};

static int
write_file(const char *path, const char *text)
{
	AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd_write_all(fd, text, strlen(text));
}

static int
map_id(const char *path, unsigned int id)
{
	char line[64];

	(void)snprintf(line, sizeof(line), "%u %u 1\n", id, id);
	return write_file(path, line);
}

/* Who we are must stay the same inside: others' ids would all look alike otherwise. */
static int
map_ids(unsigned int uid, unsigned int gid)
{
	int err = write_file("/proc/self/setgroups", "deny");

	if (err == 0)
		err = map_id("/proc/self/uid_map", uid);
	return err < 0 ? err : map_id("/proc/self/gid_map", gid);
}

static int
enter_user_namespace(void)
{
	unsigned int uid = geteuid(), gid = getegid();

	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	/* Files of /proc/self belong to root while we are not dumpable. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return -errno;
	int err = map_ids(uid, gid);
	int guarded = guard_again();
	return err < 0 ? err : guarded;
}

static int
change_root(int dir)
{
	if (fchdir(dir) < 0)
		return -errno;
	if (chroot(".") < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

static int
step_chroot(struct cage *c)
{
	int dir = c->plan->empty_dir, err = 0;

	if (dir < 0)
		return 0;
	if (!c->root) {
		/* Not every kernel lets everybody do this; Landlock and seccomp remain.
		 */
		if (enter_user_namespace() < 0)
			return 0;
		c->parts |= SANDBOX_USERNS;
	}
	err = change_root(dir);
	if (err == 0)
		c->parts |= SANDBOX_CHROOT;
	return c->root ? err : 0;
}

/* What PAM's modules need of root: files of others, another user, the audit log. */
static const cap_value_t root_keeps[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
	CAP_FOWNER, CAP_SETGID, CAP_SETUID, CAP_AUDIT_WRITE};

static bool
keeps(const struct cage *c, cap_value_t cap)
{
	for (size_t i = 0; c->root && c->plan->stays_root && i < ARRAY_SIZE(root_keeps);
		i++)
		if (root_keeps[i] == cap)
			return true;
	return false;
}

/* While we still have the capability to do so; without, there is nothing to drop. */
static int
step_bounds(struct cage *c)
{
	unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
		SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
		SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 && errno != EPERM)
		return -errno;
	for (cap_value_t cap = 0; CAP_IS_SUPPORTED(cap); cap++)
		if (!keeps(c, cap) && cap_drop_bound(cap) < 0 && errno != EPERM)
			return -errno;
	return 0;
}

static int
step_user(struct cage *c)
{
	uid_t uid = c->plan->uid, r, e, s;
	gid_t gid = c->plan->gid;

	if (!c->root)
		return uid != 0 && uid != geteuid() ? -EPERM : 0;
	if (c->plan->stays_root)
		return uid == 0 ? 0 : -EINVAL;
	if (uid == 0 || gid == 0)
		return -EINVAL;
	if (setgroups(c->plan->groups_n, c->plan->groups) < 0 ||
		setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (getresuid(&r, &e, &s) < 0 || r != uid || e != uid || s != uid)
		return -EPERM;
	if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0)
		return -EPERM;
	c->parts |= SANDBOX_USER;
	return 0;
}

/* Of those that there are: a container may have taken some away. */
static int
keep_some(const struct cage *c, cap_t wanted)
{
	cap_t have = cap_get_proc();
	int err = have ? 0 : -errno;

	for (size_t i = 0; i < ARRAY_SIZE(root_keeps) && err == 0; i++) {
		cap_value_t cap = root_keeps[i];
		cap_flag_value_t is = CAP_CLEAR;
		if (!keeps(c, cap) || cap_get_flag(have, cap, CAP_PERMITTED, &is) < 0 ||
			is != CAP_SET)
			continue;
		if (cap_set_flag(wanted, CAP_PERMITTED, 1, &cap, CAP_SET) < 0 ||
			cap_set_flag(wanted, CAP_EFFECTIVE, 1, &cap, CAP_SET) < 0)
			err = -errno;
	}
	(void)cap_free(have);
	return err;
}

static int
step_capabilities(struct cage *c)
{
	cap_t wanted = cap_init();

	if (!wanted)
		return -ENOMEM;
	int err = keep_some(c, wanted);
	if (err == 0 && cap_set_proc(wanted) < 0)
		err = -errno;
	(void)cap_free(wanted);
	/* Empty with the permitted set already; kernels that lack ambient ones have none.
	 */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return err;
}

static int
step_guard(struct cage *c)
{
	(void)c;
	return guard_again();
}

static int
step_limits(struct cage *c)
{
	int err = 0;

	/* A hard 0 for the programs that have no threads; it counts for this process
	 * alone. A helper's library may want one to resolve a name. */
	if (c->plan->profile != SANDBOX_AUTH && c->plan->profile != SANDBOX_KEEPER &&
		c->plan->profile != SANDBOX_HELPER)
		err = set_limit(RLIMIT_NPROC, 0);
	if (err == 0 && c->plan->fsize_max != UINT64_MAX)
		err = set_limit(RLIMIT_FSIZE, c->plan->fsize_max);
	return err;
}

static int
step_no_new_privs(struct cage *c)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	c->parts |= SANDBOX_NO_NEW_PRIVS;
	return 0;
}

static int
step_landlock(struct cage *c)
{
	if (c->plan->landlock_off || c->plan->runs_programs)
		return 0;
	int err = sandbox_landlock(c->plan);

	if (err == -EOPNOTSUPP)
		return 0;
	if (err == 0)
		c->parts |= SANDBOX_LANDLOCK;
	return err;
}

static int
step_required(struct cage *c)
{
	uint32_t coming = c->parts | SANDBOX_SECCOMP;

	return (c->plan->required & ~coming) ? -EOPNOTSUPP : 0;
}

static int
step_seccomp(struct cage *c)
{
	if (c->plan->runs_programs)
		return 0;
	int err = sandbox_seccomp(c->plan->profile);

	if (err == 0)
		c->parts |= SANDBOX_SECCOMP;
#ifdef RESTANTE_SANITIZED
	caged = true;
	c->parts |= SANDBOX_WIDE;
#endif
	return err;
}

int
sandbox_enter(const struct sandbox_plan *plan, uint32_t *ret_parts, const char **ret_step)
{
	static const struct {
		const char *name;
		int (*run)(struct cage *c);
	} steps[] = {
		{"chroot", step_chroot},
		{"capability bounds", step_bounds},
		{"user", step_user},
		{"capabilities", step_capabilities},
		{"prctl", step_guard},
		{"limits", step_limits},
		{"no_new_privs", step_no_new_privs},
		{"landlock", step_landlock},
		{"required parts", step_required},
		{"seccomp", step_seccomp},
	};
	struct cage c = {.plan = plan, .root = geteuid() == 0};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int err = steps[i].run(&c);
		if (err < 0) {
			*ret_step = steps[i].name;
			return err;
		}
	}
	*ret_parts = c.parts;
	return 0;
}

void
sandbox_parts_text(uint32_t parts, struct buf *out)
{
	static const struct {
		uint32_t part;
		const char *name;
	} names[] = {
		{SANDBOX_CHROOT, "chroot"},
		{SANDBOX_USERNS, "userns"},
		{SANDBOX_USER, "user"},
		{SANDBOX_NO_NEW_PRIVS, "no_new_privs"},
		{SANDBOX_LANDLOCK, "landlock"},
		{SANDBOX_SECCOMP, "seccomp"},
		{SANDBOX_WIDE, "wide"},
	};
	size_t start = out->n;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(parts & names[i].part))
			continue;
		if (out->n > start)
			buf_put_u8(out, ' ');
		buf_put_str(out, names[i].name);
	}
}
