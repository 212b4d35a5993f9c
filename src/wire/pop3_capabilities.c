#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "pop3/capabilities.h"
#include "pop3/server.h"
#include "wire/pop3_flight.h"

#include <string.h>

/* RFC 4422 s.3.1 */
#define MECHANISM_NAME_MAX 20

static const struct {
	const char *name;
	enum pop3_capability flag;
} rows[] = {
	{"TOP", POP3_CAPA_TOP},
	{"UIDL", POP3_CAPA_UIDL},
	{"USER", POP3_CAPA_USER},
	{"STLS", POP3_CAPA_STLS},
	{"PIPELINING", POP3_CAPA_PIPELINING},
	{"RESP-CODES", POP3_CAPA_RESP_CODES},
	{"AUTH-RESP-CODE", POP3_CAPA_AUTH_RESP_CODE},
	{"UTF8", POP3_CAPA_UTF8},
	{"SASL", POP3_CAPA_SASL},
	{"LOGIN-DELAY", POP3_CAPA_LOGIN_DELAY},
	{"EXPIRE", POP3_CAPA_EXPIRE},
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* Upper case; false for what is no mechanism's name. */
static bool
mechanism_name(struct view word, char ret[MECHANISM_NAME_MAX])
{
	if (word.n == 0 || word.n > MECHANISM_NAME_MAX)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		uint8_t c = ascii_lower(word.p[i]);
		bool letter = c >= 'a' && c <= 'z';
		if (!letter && !ascii_is_digit(c) && c != '-' && c != '_')
			return false;
		ret[i] = (char)(letter ? c - 'a' + 'A' : c);
	}
	return true;
}

static bool
has_mechanism(const struct pop3_capabilities *caps, struct view name)
{
	struct view all = {(const uint8_t *)caps->mechanisms, caps->mechanisms_n};

	for (struct view word = words_take(&all); word.n > 0; word = words_take(&all))
		if (view_equal(word, name))
			return true;
	return false;
}

static void
take_mechanisms(struct pop3_capabilities *caps, struct view rest)
{
	char name[MECHANISM_NAME_MAX];

	for (struct view word = words_take(&rest); word.n > 0; word = words_take(&rest)) {
		size_t n = caps->mechanisms_n;
		if (!mechanism_name(word, name) ||
			has_mechanism(caps, (struct view){(uint8_t *)name, word.n}))
			continue;
		/* One octet stays free, so that it can be read as a C string. */
		if (n + (n > 0) + word.n + 1 > POP3_CLIENT_MECHANISMS_MAX)
			continue;
		if (n > 0)
			caps->mechanisms[n++] = ' ';
		memcpy(caps->mechanisms + n, name, word.n);
		n += word.n;
		caps->mechanisms[n] = '\0';
		caps->mechanisms_n = (uint16_t)n;
	}
}

/* A number that is larger than `max` is `max`; false for what is none. */
static bool
number(struct view word, uint32_t max, uint32_t *ret)
{
	uint64_t n = max;

	for (size_t i = 0; i < word.n; i++)
		if (!ascii_is_digit(word.p[i]))
			return false;
	if (word.n == 0)
		return false;
	if (!num_decimal(word, max, &n))
		n = max;
	*ret = (uint32_t)n;
	return true;
}

/* RFC 2449 s.6.7: "NEVER", or days; both may be followed by USER. */
static bool
take_expire(struct pop3_capabilities *caps, struct view word)
{
	if (!ascii_equal_nocase(word, VIEW("NEVER")))
		return number(word, POP3_EXPIRE_NEVER - 1, &caps->expire_days);
	caps->expire_days = POP3_EXPIRE_NEVER;
	return true;
}

void
pop3_capabilities_take(struct pop3_capabilities *caps, struct view row)
{
	struct view name = words_take(&row);
	enum pop3_capability flag = 0;
	bool good = true;

	CHECK(caps->mechanisms_n < POP3_CLIENT_MECHANISMS_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (ascii_equal_nocase(name, view_of(rows[i].name)))
			flag = rows[i].flag;
	if (flag == POP3_CAPA_SASL)
		take_mechanisms(caps, row);
	else if (flag == POP3_CAPA_LOGIN_DELAY)
		good = number(words_take(&row), UINT32_MAX, &caps->login_delay_s);
	else if (flag == POP3_CAPA_EXPIRE)
		good = take_expire(caps, words_take(&row));
	if (good)
		caps->has |= (uint32_t)flag;
}

bool
pop3_capabilities_offer(const struct pop3_capabilities *caps, const char *name)
{
	return name[0] != '\0' && has_mechanism(caps, view_of(name));
}
