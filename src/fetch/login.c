/*
 * login.c: a login step by step. GNU SASL does the mechanisms but for OAuth's.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "fetch/login_rows.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Of SCRAM (RFC 5802 s.5.1). More would let a server hold up all accounts for seconds;
 * fewer than 4096 are taken only from a server whose certificate was verified, as they
 * make guessing the password from what is overheard cheap.
 */
#define LOGIN_ITERATIONS_MAX UINT64_C(2000000)
#define LOGIN_ITERATIONS_MIN UINT64_C(4096)

static void
forget_out(struct login *l)
{
	if (l->out)
		explicit_bzero(l->out, l->out_n);
	free(l->out);
	l->out = NULL;
	l->out_n = 0;
}

void
login_free(struct login **l)
{
	struct login *old = *l;
	const char *password = NULL;

	*l = NULL;
	if (!old)
		return;
	forget_out(old);
	if (old->session)
		password = gsasl_property_fast(old->session, GSASL_PASSWORD);
	if (password) /* the library frees its copy as it is */
		explicit_bzero((void *)(uintptr_t)password, strlen(password));
	if (old->session)
		gsasl_finish(old->session);
	if (old->library)
		gsasl_done(old->library);
	explicit_bzero(old, sizeof(*old));
	free(old);
}

/* What the library does not look at in SCRAM's server-first-message (RFC 5802 s.7):
 * r=nonce,s=salt,i=iterations. */
static bool
iterations_are_sane(const struct login *l, struct view challenge, char *why, size_t why_n)
{
	static const uint8_t mark[] = {',', 'i', '='};
	const uint8_t *at = memmem(challenge.p, challenge.n, mark, sizeof(mark));
	struct view digits;
	uint64_t n;

	if (!at)
		return true; /* an error, or no sense: the library says so */
	digits.p = at + sizeof(mark);
	digits.n = challenge.n - (size_t)(digits.p - challenge.p);
	at = memchr(digits.p, ',', digits.n);
	if (at)
		digits.n = (size_t)(at - digits.p);
	if (!num_decimal(digits, UINT64_MAX, &n) || n > LOGIN_ITERATIONS_MAX) {
		(void)snprintf(why, why_n,
			"the server wants more than %llu rounds of SCRAM: "
			"allow another mechanism in auth",
			(unsigned long long)LOGIN_ITERATIONS_MAX);
		return false;
	}
	if (n < LOGIN_ITERATIONS_MIN && !l->tls) {
		(void)snprintf(why, why_n,
			"the server wants only %llu rounds of SCRAM without "
			"TLS, so the password could be guessed from what "
			"is overheard: use tls = stls or tls",
			(unsigned long long)n);
		return false;
	}
	return true;
}

/* RFC 5802 s.7, server-error: e=invalid-proof and the like. */
static bool
says_error(struct view challenge, char *why, size_t why_n)
{
	char text[64];
	size_t n = 0;

	if (challenge.n < 2 || challenge.p[0] != 'e' || challenge.p[1] != '=')
		return false;
	for (size_t i = 2; i < challenge.n && n + 1 < sizeof(text); i++)
		text[n++] = ascii_is_graph(challenge.p[i]) ? (char)challenge.p[i] : '?';
	text[n] = '\0';
	(void)snprintf(why, why_n, "the server refuses: %s", text);
	return true;
}

static bool
library_step(struct login *l, const struct view *challenge, char *why, size_t why_n)
{
	char *out = NULL;
	size_t n = 0;
	int rc;

	if (challenge && login_is_scram(l->id) && says_error(*challenge, why, why_n))
		return false;
	if (challenge && login_is_scram(l->id) && l->challenges == 1 &&
		!iterations_are_sane(l, *challenge, why, why_n))
		return false;
	/* The library takes what it is given for a string here and there. */
	char *copy = calloc(1, (challenge ? challenge->n : 0) + 1);
	if (!copy) {
		(void)snprintf(why, why_n, "there is no memory");
		return false;
	}
	if (challenge && challenge->n > 0)
		memcpy(copy, challenge->p, challenge->n);
	rc = gsasl_step(l->session, challenge ? copy : NULL, challenge ? challenge->n : 0,
		&out, &n);
	free(copy);
	if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE) {
		gsasl_free(out);
		(void)snprintf(why, why_n, "%s: %s", login_rows[l->id].name,
			login_library_words(rc));
		return false;
	}
	l->done = rc == GSASL_OK;
	if (n > 0) {
		l->out = calloc(1, n + 1);
		if (l->out) {
			memcpy(l->out, out, n);
			l->out_n = n;
		}
		explicit_bzero(out, n);
	}
	gsasl_free(out);
	if (n > 0 && !l->out) {
		(void)snprintf(why, why_n, "there is no memory");
		return false;
	}
	return true;
}

/* "AUTH NAME RESPONSE" CRLF; an empty response is "=" (RFC 5034 s.4). */
static bool
line_is_too_long(const struct login *l)
{
	size_t coded = l->out_n ? (l->out_n + 2) / 3 * 4 : 1;

	return sizeof("AUTH ") - 1 + strlen(login_rows[l->id].name) + 1 + coded + 2 >
		l->line_max;
}

static enum login_step
first_step(struct login *l, struct view *ret, bool *ret_two_line, char *why, size_t why_n)
{
	if (login_rows[l->id].way == LOGIN_BY_SERVER)
		return LOGIN_EMPTY;
	if (login_rows[l->id].way == LOGIN_BY_CLIENT &&
		!library_step(l, NULL, why, why_n))
		return LOGIN_FAILED;
	*ret = (struct view){l->out, l->out_n};
	*ret_two_line = login_rows[l->id].way != LOGIN_BY_COMMAND &&
		(l->two_lines || line_is_too_long(l));
	return LOGIN_SEND;
}

/* RFC 7628 s.3.2.3: an error document must be answered, then the server says -ERR. */
static enum login_step
refused_step(struct login *l, struct view document, struct view *ret)
{
	static const uint8_t dummy[] = {1};

	oauth_error_words(document, l->words, sizeof(l->words));
	l->refused = true;
	l->done = false;
	if (l->id == LOGIN_ID_XOAUTH2)
		return LOGIN_EMPTY;
	*ret = (struct view){dummy, sizeof(dummy)};
	return LOGIN_SEND;
}

static enum login_step
challenged_step(
	struct login *l, struct view challenge, struct view *ret, char *why, size_t why_n)
{
	enum login_way way = login_rows[l->id].way;

	if (way == LOGIN_BY_OAUTH && !l->refused && !l->failed)
		return refused_step(l, challenge, ret);
	if (l->done || l->refused || l->failed || way == LOGIN_BY_COMMAND) {
		(void)snprintf(why, why_n, "%s: the server asks on after the end",
			login_rows[l->id].name);
		return LOGIN_FAILED;
	}
	if (l->id == LOGIN_ID_CRAM_MD5 && challenge.n == 0) {
		(void)snprintf(why, why_n, "CRAM-MD5: the server's challenge is empty");
		return LOGIN_FAILED;
	}
	if (!library_step(l, &challenge, why, why_n))
		return LOGIN_FAILED;
	*ret = (struct view){l->out, l->out_n};
	return l->out_n > 0 ? LOGIN_SEND : LOGIN_EMPTY;
}

enum login_step
login_next(struct login *l, const struct view *challenge, struct view *ret,
	bool *ret_two_line, char *why, size_t why_n)
{
	enum login_step step;

	CHECK(why_n > 0);
	CHECK(l->started == (challenge != NULL));
	*ret = (struct view){NULL, 0};
	*ret_two_line = false;
	if (challenge && l->held) {
		/* The empty challenge to AUTH alone (RFC 5034 s.4). */
		l->held = false;
		*ret = (struct view){l->out, l->out_n};
		return l->out_n > 0 ? LOGIN_SEND : LOGIN_EMPTY;
	}
	if (challenge) {
		forget_out(l);
		l->challenges++;
		step = challenged_step(l, *challenge, ret, why, why_n);
	} else {
		l->started = true;
		step = first_step(l, ret, ret_two_line, why, why_n);
		l->held = *ret_two_line;
	}
	l->failed = l->failed || step == LOGIN_FAILED;
	return step;
}

bool
login_complete(const struct login *l, char *why, size_t why_n)
{
	if (l->started && l->done && !l->failed && !l->held)
		return true;
	if (l->refused)
		(void)snprintf(why, why_n,
			"%s: the server let us in after it had refused "
			"the token: it is not to be trusted",
			login_rows[l->id].name);
	else if (login_is_scram(l->id))
		(void)snprintf(why, why_n,
			"%s: the server did not prove that it knows the "
			"password (RFC 5802 s.5): it may be a false one",
			login_rows[l->id].name);
	else
		(void)snprintf(why, why_n,
			"%s: the server let us in before the login was "
			"over: it may be a false one",
			login_rows[l->id].name);
	return false;
}

const char *
login_words(const struct login *l)
{
	return l->words;
}
