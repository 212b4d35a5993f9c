#include "fetch/configure_find.h"

#include "base/ascii.h"

#include <stdio.h>
#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

bool
place_is_within(const char *host, const char *domain)
{
	struct view h = view_of(host), d = view_of(domain);

	if (h.n < d.n || (h.n > d.n && h.p[h.n - d.n - 1] != '.'))
		return false;
	return ascii_equal_nocase((struct view){h.p + h.n - d.n, d.n}, d);
}

void
places_add(struct places *p, const char *host, uint16_t port, enum fetch_tls tls,
	const char *source, bool foreign)
{
	struct place *last = &p->at[p->n];

	for (size_t i = 0; i < p->n; i++)
		if (p->at[i].port == port && p->at[i].tls == tls &&
			ascii_equal_nocase(view_of(p->at[i].host), view_of(host)))
			return;
	if (p->n == PLACES_MAX || strlen(host) >= sizeof(last->host))
		return;
	*last = (struct place){
		.port = port, .tls = tls, .source = source, .foreign = foreign};
	memcpy(last->host, host, strlen(host) + 1);
	p->n++;
}

/* TLS from the first octet first, whatever the priorities say (RFC 8314 s.3). */
static const struct {
	const char *service;
	enum fetch_tls tls;
} services[] = {{"_pop3s._tcp", FETCH_TLS_TLS}, {"_pop3._tcp", FETCH_TLS_STLS}};

/* Whether the service may be looked for under the usual names. */
static bool
find_by_dns(struct places *p, const char *domain, const struct dns_servers *dns, size_t i)
{
	char name[DNS_NAME_MAX + 16];
	struct srv_answer answer = {0};

	(void)snprintf(name, sizeof(name), "%s.%s", services[i].service, domain);
	if (dns_srv_ask(dns, name, &answer, p->why, sizeof(p->why)) != 0)
		return true;
	p->why[0] = '\0';
	for (size_t k = 0; k < answer.n; k++)
		places_add(p, answer.records[k].target, answer.records[k].port,
			services[i].tls, services[i].service,
			!place_is_within(answer.records[k].target, domain));
	return !answer.refused;
}

void
places_find(struct places *p, const char *domain, const struct dns_servers *dns)
{
	static const char *const names[] = {"pop.", "pop3.", "mail.", ""};
	bool usual[2], any = false;

	for (size_t i = 0; i < 2; i++) {
		usual[i] = find_by_dns(p, domain, dns, i);
		any |= usual[i];
	}
	p->none_offered = !any && p->n == 0;
	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; usual[i] && k < sizeof(names) / sizeof(names[0]);
			k++) {
			char host[DNS_NAME_MAX + 8];
			(void)snprintf(host, sizeof(host), "%s%s", names[k], domain);
			places_add(p, host, i == 0 ? 995 : 110, services[i].tls,
				"usual name", false);
		}
	}
}
