/*
 * compare_capa.c: what a server says of itself (RFC 2449), as far as clients rely on it.
 */
#include "base/check.h"
#include "move/compare_report.h"
#include "pop3/server.h"

#include <inttypes.h>
#include <string.h>

static const struct {
	enum pop3_capability bit;
	enum difference kind;
	const char *word;
} relied_on[] = {
	{POP3_CAPA_TOP, DIFFERENCE_CAPABILITY, "TOP"},
	{POP3_CAPA_UIDL, DIFFERENCE_CAPABILITY, "UIDL"},
	{POP3_CAPA_USER, DIFFERENCE_CAPABILITY, "USER"},
	{POP3_CAPA_RESP_CODES, DIFFERENCE_CAPABILITY, "RESP-CODES"},
	{POP3_CAPA_AUTH_RESP_CODE, DIFFERENCE_CAPABILITY, "AUTH-RESP-CODE"},
	{POP3_CAPA_UTF8, DIFFERENCE_CAPABILITY, "UTF8"},
	{POP3_CAPA_PIPELINING, DIFFERENCE_SLOWER, "PIPELINING"},
};

static uint32_t
has(const struct live_facts *f)
{
	return f->before.has | f->after.has;
}

/* Words of a list in which a blank stands between two. */
static void
compare_mechanisms(struct compare_report *r, const struct live_facts *old,
	const struct live_facts *new)
{
	const char *at = old->before.mechanisms;

	while (*at) {
		char name[64];
		size_t n = strcspn(at, " ");

		(void)snprintf(name, sizeof(name), "%.*s", (int)(n < 63 ? n : 63), at);
		if (n > 0 && !pop3_capabilities_offer(&new->before, name))
			compare_report_tell(r, DIFFERENCE_MECHANISM, NULL, NULL, name);
		at += n + strspn(at + n, " ");
	}
	if (old->apop && !new->apop)
		compare_report_tell(r, DIFFERENCE_MECHANISM, NULL, NULL, "APOP");
}

static uint32_t
expire(const struct live_facts *f)
{
	return f->after.has & POP3_CAPA_EXPIRE ? f->after.expire_days : POP3_EXPIRE_NEVER;
}

static void
compare_numbers(struct compare_report *r, const struct live_facts *old,
	const struct live_facts *new)
{
	char words[96];
	uint32_t then = old->after.login_delay_s, now = new->after.login_delay_s;

	if (expire(new) < expire(old)) {
		(void)snprintf(words, sizeof(words), "EXPIRE %" PRIu32, expire(new));
		compare_report_tell(r, DIFFERENCE_EXPIRE, NULL, NULL, words);
	}
	if (!(new->after.has &POP3_CAPA_LOGIN_DELAY))
		now = 0;
	if (!(old->after.has & POP3_CAPA_LOGIN_DELAY))
		then = 0;
	if (now > then) {
		(void)snprintf(words, sizeof(words), "LOGIN-DELAY %" PRIu32, now);
		compare_report_tell(r, DIFFERENCE_LOGIN_DELAY, NULL, NULL, words);
	}
}

void
compare_capabilities(struct compare_report *r, const struct live_facts *old,
	const struct live_facts *new, bool stls)
{
	for (size_t i = 0; i < ARRAY_SIZE(relied_on); i++)
		if ((has(old) & relied_on[i].bit) && !(has(new) & relied_on[i].bit))
			compare_report_tell(
				r, relied_on[i].kind, NULL, NULL, relied_on[i].word);
	if (stls && old->stls && !new->stls)
		compare_report_tell(r, DIFFERENCE_CAPABILITY, NULL, NULL, "STLS");
	compare_mechanisms(r, old, new);
	compare_numbers(r, old, new);
}
