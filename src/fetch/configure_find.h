/*
 * configure_find.h: where the POP3 server of a domain may be: what its DNS says
 * (RFC 6186), then the usual names.
 */
#ifndef FETCH_CONFIGURE_FIND_H
#define FETCH_CONFIGURE_FIND_H

#include "fetch/account.h"
#include "fetch/dns_ask.h"

#define PLACES_MAX 24

struct place {
	char host[DNS_NAME_MAX];
	uint16_t port;
	enum fetch_tls tls;
	const char *source; /* "_pop3s._tcp", "usual name", "--server" */
	/* DNS alone names it, and it lies outside the domain: somebody must agree before
	 * a password goes there (RFC 6186 s.4). */
	bool foreign;
};

struct places {
	size_t n;
	struct place at[PLACES_MAX];
	bool none_offered; /* DNS says that there is no POP3 */
	char why[200];	   /* where DNS did not answer; "" */
};

/* Adds one, unless it is there already or there is no room. */
void places_add(struct places *p, const char *host, uint16_t port, enum fetch_tls tls,
	const char *source, bool foreign);
void places_find(struct places *p, const char *domain, const struct dns_servers *dns);
/* Whether host is the domain or below it; case does not count. */
[[nodiscard]] bool place_is_within(const char *host, const char *domain);

#endif
