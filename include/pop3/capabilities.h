/*
 * capabilities.h: what a server says of itself: CAPA (RFC 2449) and response codes, as a
 * client reads them.
 */
#ifndef POP3_CAPABILITIES_H
#define POP3_CAPABILITIES_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

POP3_C_BEGIN
enum pop3_capability {
	POP3_CAPA_TOP = 1 << 0,
	POP3_CAPA_UIDL = 1 << 1,
	POP3_CAPA_USER = 1 << 2,
	POP3_CAPA_STLS = 1 << 3,
	POP3_CAPA_PIPELINING = 1 << 4,
	POP3_CAPA_RESP_CODES = 1 << 5,
	POP3_CAPA_AUTH_RESP_CODE = 1 << 6,
	POP3_CAPA_UTF8 = 1 << 7,
	POP3_CAPA_SASL = 1 << 8,
	POP3_CAPA_LOGIN_DELAY = 1 << 9,
	POP3_CAPA_EXPIRE = 1 << 10,
};

#define POP3_CLIENT_MECHANISMS_MAX 512
struct pop3_capabilities {
	uint32_t has; /* enum pop3_capability */
	uint32_t login_delay_s;
	uint32_t expire_days; /* POP3_EXPIRE_NEVER */
	uint16_t mechanisms_n;
	char mechanisms[POP3_CLIENT_MECHANISMS_MAX]; /* upper case, a blank between them
						      */
};
/* Takes one row of CAPA; unknown words are left alone, case does not count. */
void pop3_capabilities_take(struct pop3_capabilities *caps, struct view row);
/* Whether the mechanism is among them; name in upper case. */
bool pop3_capabilities_offer(const struct pop3_capabilities *caps, const char *name);

/* Response codes in brackets (RFC 2449 s.8, RFC 3206), hierarchical: SYS/X is SYS. */
enum pop3_code {
	POP3_CODE_NONE,
	POP3_CODE_OTHER,
	POP3_CODE_AUTH,
	POP3_CODE_IN_USE,
	POP3_CODE_LOGIN_DELAY,
	POP3_CODE_SYS_TEMP,
	POP3_CODE_SYS_PERM,
};
POP3_C_END
#endif
