/* pam.h: the parts of restante-auth-pam. */
#ifndef HELPER_PAM_H
#define HELPER_PAM_H

#include "base/buf.h"
#include "pop3/view.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PAM_NAME_MAX 32 /* as useradd(8) */
#define PAM_HOME_MAX 1024

enum pam_found {
	PAM_FOUND,
	PAM_UNKNOWN,	/* or one that may never log in */
	PAM_UNREACHABLE /* the name service does not answer */
};

struct pam_account {
	char name[PAM_NAME_MAX + 1]; /* as the name service spells it */
	char home[PAM_HOME_MAX + 1];
	uid_t uid;
	gid_t gid;
};

/* Whether an account could have this name: it is asked for nothing else. */
bool pam_name_may(struct view name);
/* NULL, or why what the name service found for this name is no user's. */
const char *pam_account_refusal(const char *asked, const struct passwd *found);
/* The account of this name, which pam_name_may allowed. *ret_reason is static. */
enum pam_found pam_account_find(
	const char *name, struct pam_account *ret, const char **ret_reason);

enum pam_verdict {
	PAM_RIGHT,
	PAM_WRONG,
	PAM_NO_ANSWER /* a module could not say */
};

/*
 * Password and account, by the rules of this service. address: 16 octets, or none.
 * *ret_reason is static, or NULL.
 */
enum pam_verdict pam_check(const char *service, const char *name, struct view password,
	struct view address, const char **ret_reason);
/*
 * The account alone, for who has shown by a ticket or a token who he is: no password is
 * there.
 */
enum pam_verdict pam_account_check(const char *service, const char *name,
	struct view address, const char **ret_reason);

#endif
