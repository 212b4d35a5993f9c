/*
 * torture.h: what the whole run knows: the command line and what was learnt of the
 * server.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include "fetch/secret.h"
#include "torture/torture_link.h"

#include <stdbool.h>
#include <stdint.h>

#define TORTURE_MAILS_MAX    UINT32_C(1000000)
#define TORTURE_CAPA_MAX     16384
#define TORTURE_PATTERNS_MAX 32
#define TORTURE_NAME_MAX     256

enum torture_tls {
	TORTURE_PLAIN,
	TORTURE_STLS,
	TORTURE_POP3S,
};

struct torture_options {
	char host[TORTURE_NAME_MAX];
	uint16_t port;
	enum torture_tls tls;
	bool tls_given;
	const char *user; /* NULL: only what needs no login */
	struct fetch_secret_source from;
	const char *ca; /* NULL: the system's */
	bool insecure, json, quiet, list, destructive, strict;
	uint32_t timeout_ms, delay_ms;
	uint64_t octets_max; /* of messages that are read, together, in one case */
	const char *only[TORTURE_PATTERNS_MAX], *skip[TORTURE_PATTERNS_MAX];
	size_t only_n, skip_n;
};
/* 0, or the exit status with which to end; help and mistakes were printed. */
[[nodiscard]] int torture_options_read(
	struct torture_options *o, int argc, char **argv, bool *ret_end);

/* An answer to CAPA: its lines, each with a NUL behind it. */
struct torture_capa {
	bool known;
	size_t n;
	char text[TORTURE_CAPA_MAX];
};
/* The arguments of that capability ("" where there are none), or NULL: not announced. */
const char *torture_capa_of(const struct torture_capa *c, const char *tag);
/* Whether the arguments of `tag` hold that word; case does not count. */
bool torture_capa_says(const struct torture_capa *c, const char *tag, const char *word);

struct torture_mail {
	uint64_t size; /* of LIST; 0: no row */
	uint64_t uidl; /* digest of it; 0: no row */
	bool listed;
};

struct torture {
	struct torture_options options;
	struct secret password;
	char plain[2 * TORTURE_NAME_MAX +
		2 * SECRET_OCTETS_MAX]; /* base64, of AUTH PLAIN */
	SSL_CTX *tls;
	struct torture_capa raw;    /* before STLS */
	struct torture_capa before; /* the login */
	struct torture_capa after;
	char greeting[513];
	uint32_t count;
	uint64_t octets;
	struct torture_mail *mails; /* count of them */
	bool has_uidls, surveyed;
	uint64_t connected_ms; /* when the last connection was made */
	struct link shared;    /* a session that cases use one after another */
	bool shared_lives;
};

#endif
