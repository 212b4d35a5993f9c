#include "base/check.h"
#include "os/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONDITIONS_MAX 2

/* clone3 hides its flags in memory, where a filter does not see them. */
#define WITH_THREADS (A | K | H)

enum profile_bit {
	F = 1 << SANDBOX_FRONT,
	A = 1 << SANDBOX_AUTH,
	K = 1 << SANDBOX_KEEPER,
	L = 1 << SANDBOX_LOG,
	C = 1 << SANDBOX_CONTROL,
	M = 1 << SANDBOX_LMTPD,
	Y = 1 << SANDBOX_KEYS,
	H = 1 << SANDBOX_HELPER,
	S = 1 << 30,
	ALL = F | A | K | L | C | M | Y | H,
};

struct condition {
	unsigned int arg;
	enum scmp_compare op;
	uint64_t a, b;
	bool there;
};

struct call {
	const char *name;
	unsigned int profiles;
	struct condition conditions[CONDITIONS_MAX];
};

#define IS(n, value)                                                                     \
	{                                                                                \
		n, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(value), true               \
	}
#define HAS(n, bits)                                                                     \
	{                                                                                \
		n, SCMP_CMP_MASKED_EQ, bits, bits, true                                  \
	}
#define NONE_OF(n, bits)                                                                 \
	{                                                                                \
		n, SCMP_CMP_MASKED_EQ, bits, 0, true                                     \
	}
#define NULL_PTR(n)                                                                      \
	{                                                                                \
		n, SCMP_CMP_EQ, 0, 0, true                                               \
	}

static int
add_call(scmp_filter_ctx filter, const struct call *c)
{
	struct scmp_arg_cmp args[CONDITIONS_MAX];
	unsigned int n = 0;
	int number = seccomp_syscall_resolve_name(c->name);

	if (number < 0)
		return 0;
	for (size_t i = 0; i < CONDITIONS_MAX; i++) {
		const struct condition *k = &c->conditions[i];
		if (k->there)
			args[n++] = (struct scmp_arg_cmp){k->arg, k->op, k->a, k->b};
	}
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, n, args);
}

static int
add_calls(scmp_filter_ctx filter, unsigned int profiles)
{
	const pid_t self = getpid();
	const struct call calls[] = {
#define CALL(name, profiles_)	      {#name, profiles_, {{0}}},
#define CALL_IF(name, profiles_, ...) {#name, profiles_, {__VA_ARGS__}},
#include "os/sandbox_calls.def"
#undef CALL
#undef CALL_IF
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(calls) && err == 0; i++)
		if (calls[i].profiles & profiles)
			err = add_call(filter, &calls[i]);
	if (err == 0 && (profiles & WITH_THREADS))
		err = seccomp_rule_add_array(
			filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, NULL);
	return err;
}

int
sandbox_seccomp(enum sandbox_profile profile)
{
	unsigned int profiles = 1U << profile;
	/* What helpers' libraries try differs by machine: there it fails, and kills
	 * nobody. */
	uint32_t otherwise =
		profile == SANDBOX_HELPER ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS;
	scmp_filter_ctx filter = seccomp_init(otherwise);
	int err;

	if (!filter)
		return -ENOMEM;
#ifdef RESTANTE_SANITIZED
	profiles |= S;
#endif
	err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* no_new_privs is set already, and libseccomp would only set it again. */
	if (err == 0)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	/* A binary tree; on failure (libseccomp before 2.5) a list, which is only slower.
	 */
	if (err == 0)
		(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (err == 0)
		err = add_calls(filter, profiles);
	if (err == 0)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}
