#include "base/check.h"
#include "monitor/monitor.h"

#include <errno.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What the monitor goes on with: start children, open files again, listen again. */
static const cap_value_t kept[] = {
	CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_SYS_CHROOT, CAP_KILL,
	CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE,
	CAP_AUDIT_WRITE, /* nothing of ours; the helper of PAM could not have it else */
};
/* What a child that starts as root needs to shut itself in. */
static const cap_value_t for_children[] = {
	CAP_SETUID,
	CAP_SETGID,
	CAP_SETPCAP,
	CAP_SYS_CHROOT,
};

/*
 * PAM stays root: pam_unix reads /etc/shadow, wherever a link leads, and what a login was
 * goes to the kernel's audit, without which libpam says no to all.
 */
static const cap_value_t for_pam[] = {
	CAP_SETPCAP,
	CAP_DAC_READ_SEARCH,
	CAP_AUDIT_WRITE,
};

/* 1, 0, or -errno: who does not know it would go on as one who has none. */
static int
has(cap_value_t cap)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	if (!caps)
		return -errno;
	int rc = cap_get_flag(caps, cap, CAP_EFFECTIVE, &value) < 0 ? -errno : 0;
	(void)cap_free(caps);
	return rc < 0 ? rc : value == CAP_SET;
}

int
privileges_learn(struct monitor *m)
{
	m->uid = geteuid();
	m->gid = getegid();
	m->operator_uid = getuid();
	int user = m->uid == 0 ? has(CAP_SETUID) : 0;
	int group = user > 0 ? has(CAP_SETGID) : 0;
	m->privileged = user > 0 && group > 0;
	return user < 0 ? user : group < 0 ? group : 0;
}

static bool
listed(const cap_value_t *list, size_t n, cap_value_t cap)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == cap)
			return true;
	return false;
}

static int
bound(const cap_value_t *list, size_t n)
{
	for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (listed(list, n, cap) || cap_get_bound(cap) <= 0)
			continue;
		if (cap_drop_bound(cap) < 0)
			return -errno;
	}
	return 0;
}

int
privileges_bound_child(bool pam)
{
	int may = has(CAP_SETPCAP);

	if (may <= 0)
		return may;
	return pam ? bound(for_pam, ARRAY_SIZE(for_pam))
		   : bound(for_children, ARRAY_SIZE(for_children));
}

static int
keep_only(void)
{
	cap_t caps = cap_init();
	int rc = 0;

	if (!caps)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(kept) && rc == 0; i++) {
		int there = has(kept[i]);
		/* In a container some were never there. */
		if (there == 0)
			continue;
		if (there < 0)
			rc = there;
		else if (cap_set_flag(caps, CAP_PERMITTED, 1, &kept[i], CAP_SET) < 0 ||
			cap_set_flag(caps, CAP_EFFECTIVE, 1, &kept[i], CAP_SET) < 0)
			rc = -errno;
	}
	if (rc == 0 && cap_set_proc(caps) < 0)
		rc = -errno;
	(void)cap_free(caps);
	return rc;
}

int
privileges_drop(struct monitor *m)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	if (!m->privileged)
		return 0;
	int rc = has(CAP_SETPCAP);
	if (rc > 0)
		rc = bound(kept, ARRAY_SIZE(kept));
	return rc < 0 ? rc : keep_only();
}
