/*
 * login_rows.h: the table of logins.def, for the files of login.h alone.
 */
#ifndef FETCH_LOGIN_ROWS_H
#define FETCH_LOGIN_ROWS_H

#include "fetch/login.h"

enum login_needs {
	LOGIN_NEEDS_PASSWORD,
	LOGIN_NEEDS_TOKEN,
	LOGIN_NEEDS_CERTIFICATE,
	LOGIN_NEEDS_TICKET,
};
enum login_way { LOGIN_BY_CLIENT, LOGIN_BY_SERVER, LOGIN_BY_OAUTH, LOGIN_BY_COMMAND };
enum login_id {
#define LOGIN(id, name, needs, way, shows, one_flight) LOGIN_ID_##id,
#include "fetch/logins.def"
#undef LOGIN
	LOGIN_ROWS
};

struct login_row {
	char name[24];
	enum login_needs needs;
	enum login_way way;
	bool shows, one_flight;
};
extern const struct login_row login_rows[LOGIN_ROWS];
/* Case does not count. LOGIN_ROWS: none of that name. */
enum login_id login_row_find(struct view name);

/* ---- a login under way: login_start.c, login.c ---- */
#define LOGIN_WORDS_MAX 480
struct login {
	enum login_id id;
	struct Gsasl *library;
	struct Gsasl_session *session;
	uint8_t *out; /* what was given last; wiped and freed by the next call */
	size_t out_n, line_max;
	uint32_t challenges;
	bool tls, two_lines, started;
	bool done; /* nothing is missing from our side and the server's proof is good */
	bool refused; /* the server sent an error document */
	bool held;    /* the initial response waits for the empty challenge */
	bool failed;  /* on our side, for good */
	char words[LOGIN_WORDS_MAX];
};

static inline bool
login_is_scram(enum login_id id)
{
	return id <= LOGIN_ID_SCRAM_SHA_1;
}

static inline bool
login_is_plus(enum login_id id)
{
	return id <= LOGIN_ID_SCRAM_SHA_1_PLUS;
}
/* The library's result for somebody who has a password to type and a file to correct. */
const char *login_library_words(int rc);

/* ---- login_oauth.c ---- */
/* The initial response (malloc'ed, holds the token: the caller wipes). -EINVAL: the user
 * or the token has octets that the mechanism cannot carry; why says so. */
[[nodiscard]] int oauth_initial(enum login_id id, const struct login_party *p,
	const struct secret *token, uint8_t **ret, size_t *ret_n, char *why,
	size_t why_n);
/* RFC 7628 s.3.2.2 in plain words, printable ASCII only; never "". */
void oauth_error_words(struct view json, char *ret, size_t cap);

#endif
