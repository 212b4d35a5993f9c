/* restante-auth-pam: the accounts of the system, through PAM and the name service. */
#include "base/check.h"
#include "helper/helper.h"
#include "helper/pam.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

/* Asked for in place of a name that PAM is not to hear. */
static const char nobody[] = "nobody-here";

struct pam_settings {
	const char *service;
	bool asks_unknown;
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* A name of a file in /etc/pam.d, and no way to another directory. */
static bool
is_service(const char *text)
{
	return *text != '\0' && *text != '.' && !strchr(text, '/');
}

static const char *
prepare(struct helper *h)
{
	static struct pam_settings settings;

	settings.service = helper_setting(h, "pam_service");
	settings.asks_unknown = strcmp(helper_setting(h, "pam_ask_unknown"), "no") != 0;
	helper_keep(h, &settings);
	if (!is_service(settings.service))
		return "pam_service must be the name of a file of /etc/pam.d";
	/* The modules of the name service are loaded now. */
	(void)getpwuid(0);
	return NULL;
}

/* Without a password of its own: only PAM can check that. */
static bool
put_line(const struct pam_account *a, struct buf *out)
{
	char uid[16], gid[16];

	(void)snprintf(uid, sizeof(uid), "%u", a->uid);
	(void)snprintf(gid, sizeof(gid), "%u", a->gid);
	struct helper_user u = {.name = view_of(a->name),
		.uid = view_of(uid),
		.gid = view_of(gid),
		.home = view_of(a->home)};
	return helper_put_line(&u, out);
}

static void
found(const struct pam_account *a, struct helper_answer *ret)
{
	if (put_line(a, &ret->line)) {
		ret->outcome = ANSWER_FOUND;
		ret->reason = NULL;
	} else {
		ret->outcome = ANSWER_TEMPORARY;
		ret->reason = "the account's name or home holds a colon or a line end";
	}
}

static void
verify(const struct pam_settings *s, const struct helper_ask *a, const char *name,
	const struct pam_account *account, struct helper_answer *ret)
{
	if (a->secret.n == 0 || memchr(a->secret.p, 0, a->secret.n)) {
		ret->outcome = ANSWER_WRONG;
		ret->reason = "an empty password, or one with NUL";
		return;
	}
	switch (pam_check(s->service, name, a->secret, a->address, &ret->reason)) {
	case PAM_RIGHT:
		found(account, ret);
		ret->valid_s = HELPER_CHECKED_S;
		break;
	case PAM_WRONG: ret->outcome = ANSWER_WRONG; break;
	case PAM_NO_ANSWER: ret->outcome = ANSWER_TEMPORARY; break;
	}
}

/* Those that are settled before the user is looked up, without a password. */
static bool
is_settled(uint8_t mechanism)
{
	static const uint32_t settled = 1U << MECHANISM_GSSAPI | 1U << MECHANISM_KPOP |
		1U << MECHANISM_OAUTHBEARER | 1U << MECHANISM_XOAUTH2;

	return mechanism < MECHANISMS_END && (settled >> mechanism & 1) != 0;
}

/* A login asks PAM for the account, too; mail that comes in does not. */
static void
look_up(const struct pam_settings *s, const struct helper_ask *a,
	const struct pam_account *account, struct helper_answer *ret)
{
	enum pam_verdict v = is_settled(a->mechanism)
		? pam_account_check(s->service, account->name, a->address, &ret->reason)
		: PAM_RIGHT;

	switch (v) {
	case PAM_RIGHT: found(account, ret); break;
	case PAM_WRONG: ret->outcome = ANSWER_WRONG; break;
	case PAM_NO_ANSWER: ret->outcome = ANSWER_TEMPORARY; break;
	}
}

/* What PAM says of a name that has no account counts for nothing, but for the time. */
static void
unknown(const struct pam_settings *s, const struct helper_ask *a, const char *name,
	struct helper_answer *ret)
{
	const char *ignored;

	if (a->kind == ASK_VERIFY && s->asks_unknown && a->secret.n > 0 &&
		!memchr(a->secret.p, 0, a->secret.n))
		(void)pam_check(s->service, name, a->secret, a->address, &ignored);
	ret->outcome = ANSWER_NO_USER;
}

static void
ask(struct helper *h, const struct helper_ask *a, struct helper_answer *ret)
{
	const struct pam_settings *s = helper_state(h);
	struct pam_account account;
	char name[PAM_NAME_MAX + 1] = "";

	if (a->kind != ASK_LOOKUP && a->kind != ASK_VERIFY) {
		ret->outcome = ANSWER_NO_USER;
		ret->reason = "restante-auth-pam answers for names and passwords alone";
		return;
	}
	if (!pam_name_may(a->name)) {
		/* As long as one that might be there; no name of this form can be. */
		unknown(s, a, nobody, ret);
		return;
	}
	memcpy(name, a->name.p, a->name.n);
	switch (pam_account_find(name, &account, &ret->reason)) {
	case PAM_UNKNOWN:
		/* An account that is there and not served (root's): no guess at it counts
		 * against it where PAM counts. */
		unknown(s, a, ret->reason ? nobody : name, ret);
		break;
	case PAM_UNREACHABLE: ret->outcome = ANSWER_TEMPORARY; break;
	case PAM_FOUND:
		if (a->kind == ASK_VERIFY)
			verify(s, a, account.name, &account, ret);
		else
			look_up(s, a, &account, ret);
		break;
	}
}

int
main(void)
{
	static const struct helper_ops ops = {.backend = BACKEND_SYSTEM,
		.name = "pam",
		.stays_root = true,
		.prepare = prepare,
		.ask = ask};

	return helper_main(&ops);
}
