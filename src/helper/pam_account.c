/* pam_account.c: accounts of this machine, by the name service (getpwnam(3)). */
#include "helper/pam.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "os/fd.h"

#define ENTRY_MAX (256U * 1024U)

bool
pam_name_may(struct view name)
{
	if (name.n == 0 || name.n > PAM_NAME_MAX || name.p[0] == '-' || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];
		if (c <= 0x20 || c == 0x7F || c == '/' || c == ':' || c == ',')
			return false;
	}
	return true;
}

/* getpwnam_r with as much room as the entry needs. */
static int
read_entry(const char *name, struct passwd *pw, struct passwd **ret, char **ret_room)
{
	for (size_t n = 4096; n <= ENTRY_MAX; n *= 4) {
		char *room = realloc(*ret_room, n);
		if (!room)
			return ENOMEM;
		*ret_room = room;
		int e = getpwnam_r(name, pw, room, n, ret);
		if (e != ERANGE)
			return e;
	}
	return ERANGE;
}

/*
 * A name service that ignores case answers to several spellings of one account. Only its
 * own is a user's: delays, limits and caches know a user by the name.
 */
const char *
pam_account_refusal(const char *asked, const struct passwd *found)
{
	if (strcmp(asked, found->pw_name) != 0)
		return "the name service has the account in another spelling";
	return found->pw_uid == 0 ? "accounts with uid 0 have no mail here" : NULL;
}

enum pam_found
pam_account_find(const char *name, struct pam_account *ret, const char **ret_reason)
{
	AUTO_FREE char *room = NULL;
	struct passwd pw, *found = NULL;
	int e = read_entry(name, &pw, &found, &room);

	*ret_reason = NULL;
	/* getpwnam(3): several numbers that all mean "there is none". */
	if (!found && (e == 0 || e == ENOENT || e == ESRCH || e == EBADF || e == EPERM))
		return PAM_UNKNOWN;
	if (!found) {
		*ret_reason = "the name service does not answer";
		return PAM_UNREACHABLE;
	}
	*ret_reason = pam_account_refusal(name, found);
	if (*ret_reason)
		return PAM_UNKNOWN;
	if (strlen(found->pw_dir) > PAM_HOME_MAX) {
		*ret_reason = "the account's home is longer than 1024 octets";
		return PAM_UNREACHABLE;
	}
	*ret = (struct pam_account){.uid = found->pw_uid, .gid = found->pw_gid};
	memcpy(ret->name, found->pw_name, strlen(found->pw_name) + 1);
	memcpy(ret->home, found->pw_dir, strlen(found->pw_dir) + 1);
	return PAM_FOUND;
}
