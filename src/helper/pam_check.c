/* pam_check.c: one password, by PAM. */
#include "base/check.h"
#include "helper/pam.h"

#include <arpa/inet.h>
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>

/* What the conversation has to give. */
struct talk {
	struct view password;
	bool was_asked, was_asked_more;
};

/* pam_conv(3): the answers are malloc'ed; the one who asks wipes and frees them. */
static char *
password_copy(struct talk *t)
{
	char *copy = malloc(t->password.n + 1);

	if (copy) {
		memcpy(copy, t->password.p, t->password.n);
		copy[t->password.n] = '\0';
	}
	return copy;
}

static void
answers_free(struct pam_response *answers, int n)
{
	for (int i = 0; i < n; i++)
		if (answers[i].resp) {
			explicit_bzero(answers[i].resp, strlen(answers[i].resp));
			free(answers[i].resp);
		}
	free(answers);
}

/*
 * One password is what we have: a second prompt (a code, a new password) gets no answer,
 * and what a module wants to tell the user is not for POP3.
 */
static int
converse(int n, const struct pam_message **messages, struct pam_response **ret,
	void *context)
{
	struct talk *t = context;
	struct pam_response *answers = n > 0 && n <= PAM_MAX_NUM_MSG
		? calloc((size_t)n, sizeof(*answers))
		: NULL;

	if (!answers)
		return n > 0 && n <= PAM_MAX_NUM_MSG ? PAM_BUF_ERR : PAM_CONV_ERR;
	for (int i = 0; i < n; i++) {
		int style = messages[i]->msg_style;
		if (style == PAM_TEXT_INFO || style == PAM_ERROR_MSG)
			continue;
		if (style == PAM_PROMPT_ECHO_OFF && !t->was_asked)
			answers[i].resp = password_copy(t);
		t->was_asked = true;
		if (!answers[i].resp) {
			t->was_asked_more = true;
			answers_free(answers, n);
			return PAM_CONV_ERR;
		}
	}
	*ret = answers;
	return PAM_SUCCESS;
}

/* In place of PAM's own: auth says who waits, and nobody waits in here. */
static void
no_delay(int status, unsigned int microseconds, void *context)
{
	(void)status;
	(void)microseconds;
	(void)context;
}

static int
set_items(pam_handle_t *pam, struct view address)
{
	static const uint8_t v4_in_v6[12] = {[10] = 0xFF, [11] = 0xFF};
	char text[INET6_ADDRSTRLEN] = "";
	/* pam_set_item(3) takes functions as objects. */
	union {
		void (*function)(int, unsigned int, void *);
		const void *item;
	} delay = {.function = no_delay};
	int e = pam_set_item(pam, PAM_FAIL_DELAY, delay.item);

	if (e == PAM_SUCCESS)
		e = pam_set_item(pam, PAM_TTY, "pop3");
	if (e != PAM_SUCCESS || address.n != 16)
		return e;
	bool is_v4 = memcmp(address.p, v4_in_v6, sizeof(v4_in_v6)) == 0;
	if (!inet_ntop(is_v4 ? AF_INET : AF_INET6, address.p + (is_v4 ? 12 : 0), text,
		    sizeof(text)))
		return PAM_SUCCESS;
	return pam_set_item(pam, PAM_RHOST, text);
}

/* A module may have put another name in place of the one that was asked. */
static bool
is_still(pam_handle_t *pam, const char *name)
{
	const void *now = NULL;

	return pam_get_item(pam, PAM_USER, &now) == PAM_SUCCESS && now &&
		strcmp(now, name) == 0;
}

/* What the codes of pam_authenticate(3) and pam_acct_mgmt(3) say of the user, or nothing.
 */
static const struct {
	int code;
	enum pam_verdict verdict;
	const char *reason;
} meanings[] = {
	{PAM_SUCCESS, PAM_RIGHT, NULL},
	{PAM_AUTH_ERR, PAM_WRONG, NULL},
	{PAM_USER_UNKNOWN, PAM_WRONG, "PAM does not know the user"},
	{PAM_MAXTRIES, PAM_WRONG, "PAM: too many tries"},
	{PAM_PERM_DENIED, PAM_WRONG, "PAM: permission denied"},
	{PAM_ACCT_EXPIRED, PAM_WRONG, "PAM: the account has expired"},
	{PAM_NEW_AUTHTOK_REQD, PAM_WRONG, "PAM: the password has expired"},
	{PAM_AUTHTOK_EXPIRED, PAM_WRONG, "PAM: the password has expired"},
	{PAM_CRED_EXPIRED, PAM_WRONG, "PAM: the user's credentials have expired"},
};

static enum pam_verdict
verdict_of(int code, const char **ret_reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
		if (meanings[i].code == code) {
			*ret_reason = meanings[i].reason;
			return meanings[i].verdict;
		}
	/* Texts of the library, in the language C: static. */
	*ret_reason = pam_strerror(NULL, code);
	return PAM_NO_ANSWER;
}

enum pam_verdict
pam_check(const char *service, const char *name, struct view password,
	struct view address, const char **ret_reason)
{
	struct talk talk = {.password = password};
	struct pam_conv conv = {converse, &talk};
	pam_handle_t *pam = NULL;
	const int flags = PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK;
	int e = pam_start(service, name, &conv, &pam);

	if (e == PAM_SUCCESS)
		e = set_items(pam, address);
	if (e == PAM_SUCCESS)
		e = pam_authenticate(pam, flags);
	if (e == PAM_SUCCESS)
		e = pam_acct_mgmt(pam, flags);
	bool moved = e == PAM_SUCCESS && !is_still(pam, name);
	enum pam_verdict verdict = verdict_of(e, ret_reason);
	if (pam)
		(void)pam_end(pam, e); /* nothing is left to be told */
	/* Modules have many codes for a question that got no answer. */
	if (verdict != PAM_RIGHT && talk.was_asked_more) {
		*ret_reason = "PAM asks for more than a password";
		return PAM_WRONG;
	}
	if (!moved)
		return verdict;
	*ret_reason = "PAM took another user's name for this one's";
	return PAM_WRONG;
}

enum pam_verdict
pam_account_check(const char *service, const char *name, struct view address,
	const char **ret_reason)
{
	struct talk talk = {.was_asked = true}; /* there is no password to give */
	struct pam_conv conv = {converse, &talk};
	pam_handle_t *pam = NULL;
	int e = pam_start(service, name, &conv, &pam);

	if (e == PAM_SUCCESS)
		e = set_items(pam, address);
	if (e == PAM_SUCCESS)
		e = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	bool moved = e == PAM_SUCCESS && !is_still(pam, name);
	enum pam_verdict verdict = verdict_of(e, ret_reason);
	if (pam)
		(void)pam_end(pam, e);
	if (!moved)
		return verdict;
	*ret_reason = "PAM took another user's name for this one's";
	return PAM_WRONG;
}
