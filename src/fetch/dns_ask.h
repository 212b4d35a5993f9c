/*
 * dns_ask.h: asks a DNS server for SRV records: over UDP, over TCP where the answer was
 * cut (RFC 7766), each server twice. Blocking, for seconds at most.
 */
#ifndef FETCH_DNS_ASK_H
#define FETCH_DNS_ASK_H

#include "fetch/dns_srv.h"
#include "os/address.h"

#define DNS_SERVERS_MAX 3 /* as resolv.conf(5) */
#define DNS_UDP_MS	2500
#define DNS_TCP_MS	5000

struct dns_servers {
	size_t n;
	union socket_address at[DNS_SERVERS_MAX];
	socklen_t length[DNS_SERVERS_MAX];
};

/* The `nameserver` lines of a resolv.conf; none: this machine's own, as the libc does.
 * Pure but for the names of interfaces (fe80::1%eth0). */
void dns_servers_read(struct view text, struct dns_servers *ret);
/* NULL: those of /etc/resolv.conf; else ADDRESS or ADDRESS:PORT. False: it is neither. */
[[nodiscard]] bool dns_servers_find(const char *text, struct dns_servers *ret);
/*
 * 0 with the answer, in the order to try; -ETIMEDOUT and the like where no server gave
 * one: why names the last of them.
 */
[[nodiscard]] int dns_srv_ask(const struct dns_servers *s, const char *name,
	struct srv_answer *ret, char *why, size_t why_n);

#endif
