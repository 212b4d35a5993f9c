/*
 * dns_srv.h: the questions of RFC 6186 as DNS messages: one query for SRV records
 * (RFC 2782) and its answer, read strictly (RFC 1035). Pure.
 */
#ifndef FETCH_DNS_SRV_H
#define FETCH_DNS_SRV_H

#include "pop3/output.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX	256 /* with its NUL (RFC 1035 s.2.3.4) */
#define DNS_QUERY_MAX	512
#define DNS_MESSAGE_MAX 65535
#define SRV_RECORDS_MAX 32 /* more are left out */

struct srv_record {
	uint16_t priority, weight, port;
	char target[DNS_NAME_MAX]; /* lower case, without the last dot */
};

struct srv_answer {
	bool refused; /* the target ".": the service is decidedly not offered */
	size_t n;
	struct srv_record records[SRV_RECORDS_MAX];
};

enum dns_verdict {
	DNS_ANSWER,    /* what *ret says; n may be 0: there are no such records */
	DNS_NOT_OURS,  /* not the answer to this query: wait on */
	DNS_TRUNCATED, /* ask again over TCP */
	DNS_FAILED,    /* the server cannot or will not say: ask another */
	DNS_BROKEN,    /* it makes no sense: ask another */
};

/* Letters, digits, hyphens and underscores between dots; at most 253 octets. */
[[nodiscard]] bool dns_is_name(const char *name);
/* A query for the SRV records of that name; false: it is no name, or does not fit. */
[[nodiscard]] bool dns_srv_query(const char *name, uint16_t id, struct buf *out);
/* The name and id are those of the query. *ret is set on DNS_ANSWER. */
enum dns_verdict dns_srv_answer(
	struct view message, const char *name, uint16_t id, struct srv_answer *ret);
/*
 * In the order in which they are to be tried: by priority, among equals at random by
 * weight (RFC 2782). random: one number for each record.
 */
void dns_srv_order(struct srv_answer *a, const uint32_t random[SRV_RECORDS_MAX]);

#endif
