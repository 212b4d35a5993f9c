/*
 * rules.h: what the connections of a listener obey, and what auth offers them.
 */
#ifndef FRONT_RULES_H
#define FRONT_RULES_H

#include "ipc/message.h"

#include <stdbool.h>
#include <stdint.h>

/* Networks of 17 octets each, as messages bring them. */
struct networks {
	uint16_t n;
	uint8_t rows[544];
};

/* What a listener's connections obey, as message FRONT_LISTENER says it; counted, for a
 * connection may outlive its listener. */
struct rules {
	uint32_t refs;
	uint32_t listener;
	uint32_t mechanisms;
	bool implicit_tls;
	bool kpop, apop;
	uint8_t plaintext;
	uint8_t asserts;
	uint8_t client_certificates;
	uint8_t tls_profile;
	uint8_t name_n;
	uint8_t name[64];
	struct networks proxies, xclients, old_tls;
};

/* What auth offers (message AUTH_OFFER). */
struct offer {
	bool is_there;
	uint32_t mechanisms;
	uint32_t expire_days, login_delay_s;
	bool expire_differs, login_delay_differs;
};

/* What is logged at most once a second, whoever brings it about. */
enum turned_away {
	AWAY_DENIED,	/* in deny_file */
	AWAY_NO_PROXY,	/* not one of proxy_networks */
	AWAY_NO_HEADER, /* no PROXY header, or not in time */
	AWAY_KINDS
};

/* NULL: malformed, or no memory. */
struct rules *rules_new(const struct msg_front_listener *m);
struct rules *rules_ref(struct rules *r);
void rules_unref(struct rules **r);
bool networks_have(const struct networks *n, const uint8_t address[16]);

#endif
