#include "fetch/target.h"

#include "base/check.h"
#include "fetch/durable.h"

#include <stdio.h>
#include <string.h>

const struct target_ops *
target_ops_of(enum fetch_target_kind kind)
{
	switch (kind) {
	case FETCH_MAILDIR: return &target_maildir;
	case FETCH_MBOX: return &target_mbox;
	case FETCH_LMTP: return &target_lmtp;
	case FETCH_SMTP: return &target_smtp;
	case FETCH_PROGRAM: return &target_program;
	}
	UNREACHABLE();
}

int
target_trace_id(
	const struct fetch_account *a, const struct letter *l, char ret[TRACE_ID_MAX])
{
	uint8_t hash[DIGEST_OCTETS];
	struct view fields[] = {VIEW("message"), durable_view(a->name),
		durable_view(a->host), durable_view(a->user), l->uid,
		{l->digest, DIGEST_OCTETS}};
	int r = durable_hash(fields, sizeof(fields) / sizeof(fields[0]), hash);

	if (r < 0)
		return r;
	durable_hex(hash, (TRACE_ID_MAX - 1) / 2, ret);
	return 0;
}

void
target_failed(struct letter *l, enum letter_fate fate, const char *where,
	const char *what, int error)
{
	char place[120];

	durable_printable(where, strlen(where), place, sizeof(place));
	(void)snprintf(l->why, sizeof(l->why), "%s: %s: %s", place, what,
		strerrordesc_np(error < 0 ? -error : error));
	l->fate = fate;
}
