#include "os/fd.h"
#include "os/sandbox_parts.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Debian 12's headers end at the second ABI; kernels go on. */
#define FS_TRUNCATE	(UINT64_C(1) << 14) /* ABI 3 */
#define FS_IOCTL_DEV	(UINT64_C(1) << 15) /* ABI 5 */
#define NET_BIND_TCP	(UINT64_C(1) << 0)  /* ABI 4 */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT	(UINT64_C(1) << 0) /* ABI 6: abstract unix sockets of others */
#define SCOPE_SIGNAL	(UINT64_C(1) << 1)
#define FS_FIRST_ABI	((UINT64_C(1) << 13) - 1)
#define FS_OF_FILES                                                                      \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |                    \
		LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

/* The whole of what the kernel knows today; an older one takes it if the rest is zero. */
struct ruleset {
	uint64_t fs, net, scoped;
};

static struct ruleset
everything(long abi)
{
	struct ruleset r = {.fs = FS_FIRST_ABI};

	if (abi >= 2)
		r.fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 4)
		r.net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		r.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
	return r;
}

/* What may be done below the plan's directories. No links, sockets, devices, programs. */
static uint64_t
allowed_below(const struct sandbox_plan *plan)
{
	uint64_t rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

	if (plan->landlock_write)
		rights |= LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE |
			LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
			LANDLOCK_ACCESS_FS_REFER;
	return rights;
}

static int
allow(int ruleset, int fd, uint64_t rights)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		rights &= FS_OF_FILES;
	struct landlock_path_beneath_attr rule = {
		.allowed_access = rights, .parent_fd = fd};
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule,
		    0) < 0)
		return -errno;
	return 0;
}

int
sandbox_landlock(const struct sandbox_plan *plan)
{
	long abi = syscall(
		SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 0)
		return errno == ENOSYS ? -EOPNOTSUPP : -errno;
	/* The first ABI refuses every rename between directories, and Maildir lives by
	 * them. */
	if (abi < 2 && plan->landlock_write)
		return -EOPNOTSUPP;
	struct ruleset all = everything(abi);
	if (plan->connects)
		all.net = 0;
	AUTO_FD ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	if (ruleset < 0)
		return -errno;
	for (size_t i = 0; i < plan->landlock_dirs_n; i++) {
		uint64_t rights = allowed_below(plan) & all.fs;
		int err = allow(ruleset, plan->landlock_dirs[i], rights);
		if (err < 0)
			return err;
	}
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
