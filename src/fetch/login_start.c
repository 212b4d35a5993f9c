/*
 * login_start.c: what a login needs before its first step.
 *
 * The library keeps copies of the password in its session: they are overwritten before it
 * is finished. A context for each login: nothing is shared between threads or accounts.
 */
#include "base/check.h"
#include "fetch/login_rows.h"

#include <errno.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_BINDING_MAX 256
#define LOGIN_USER_MAX	  1024

/* In the words of somebody who has a password to type and a file to correct. */
const char *
login_library_words(int rc)
{
	switch (rc) {
	case GSASL_SASLPREP_ERROR:
		return "the user or the password holds characters that this mechanism "
		       "cannot carry (RFC 4013): allow another in auth";
	case GSASL_AUTHENTICATION_ERROR:
		return "the server could not prove that it knows the password";
	case GSASL_MECHANISM_PARSE_ERROR: return "the server's challenge makes no sense";
	case GSASL_NO_CB_TLS_UNIQUE:
	case GSASL_NO_CB_TLS_EXPORTER:
		return "this connection has no channel binding: allow it without -PLUS";
	case GSASL_UNKNOWN_MECHANISM:
		return "the SASL library was built without this mechanism";
	case GSASL_GSSAPI_INIT_SEC_CONTEXT_ERROR:
		return "no Kerberos ticket for this server: run kinit, and see that the "
		       "server's name is the one of its service";
	default: return gsasl_strerror(rc);
	}
}

static int
set_property(struct login *l, Gsasl_property p, const void *octets, size_t n)
{
	return gsasl_property_set_raw(l->session, p, octets, n) == GSASL_OK ? 0 : -ENOMEM;
}

/* RFC 5929, RFC 9266. */
static int
set_binding(struct login *l, const struct stream *stream, char *why, size_t why_n)
{
	uint8_t data[LOGIN_BINDING_MAX];
	const char *name = NULL;
	size_t n = 0, text_n = 0;
	char *text = NULL;
	int rc = stream ? stream_channel_binding(stream, &name, data, sizeof(data), &n)
			: -ENOTSUP;

	if (rc < 0 || n == 0) {
		(void)snprintf(why, why_n, "%s: %s", login_rows[l->id].name,
			login_library_words(GSASL_NO_CB_TLS_EXPORTER));
		return rc < 0 ? rc : -ENOTSUP;
	}
	rc = gsasl_base64_to((const char *)data, n, &text, &text_n);
	explicit_bzero(data, sizeof(data));
	if (rc != GSASL_OK)
		return -ENOMEM;
	rc = set_property(l,
		strcmp(name, "tls-exporter") == 0 ? GSASL_CB_TLS_EXPORTER
						  : GSASL_CB_TLS_UNIQUE,
		text, text_n);
	gsasl_free(text);
	return rc;
}

/* Asked before the server is: the library would find out in the middle of the talk (and
 * lose memory there). */
static bool
can_be_prepared(const char *octets)
{
	char *prepared = NULL;

	/* The flag that the library's own client gives, so that both find the same. */
	if (gsasl_saslprep(octets, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) != GSASL_OK)
		return false;
	explicit_bzero(prepared, strlen(prepared));
	gsasl_free(prepared);
	return true;
}

static int
start_library(struct login *l, const struct login_party *p, const struct secret *secret,
	const struct stream *stream, char *why, size_t why_n)
{
	int rc;

	if ((login_is_scram(l->id) || l->id == LOGIN_ID_CRAM_MD5) &&
		(!can_be_prepared(p->user) ||
			!can_be_prepared((const char *)secret->octets))) {
		(void)snprintf(why, why_n, "%s: %s", login_rows[l->id].name,
			login_library_words(GSASL_SASLPREP_ERROR));
		return -EILSEQ;
	}
	rc = gsasl_init(&l->library);
	if (rc == GSASL_OK)
		rc = gsasl_client_start(l->library, login_rows[l->id].name, &l->session);
	if (rc != GSASL_OK) {
		(void)snprintf(why, why_n, "%s: %s", login_rows[l->id].name,
			login_library_words(rc));
		return rc == GSASL_MALLOC_ERROR ? -ENOMEM : -ENOTSUP;
	}
	/* EXTERNAL and GSSAPI prove someone who is named elsewhere: the user is whom to
	 * act as (RFC 4422 app. A, RFC 4752 s.3.1). */
	rc = set_property(l,
		l->id == LOGIN_ID_EXTERNAL || l->id == LOGIN_ID_GSSAPI ? GSASL_AUTHZID
								       : GSASL_AUTHID,
		p->user, strlen(p->user));
	if (rc == 0)
		rc = set_property(l, GSASL_SERVICE, p->service, strlen(p->service));
	if (rc == 0)
		rc = set_property(l, GSASL_HOSTNAME, p->host, strlen(p->host));
	if (rc == 0 && login_rows[l->id].needs == LOGIN_NEEDS_PASSWORD)
		rc = set_property(l, GSASL_PASSWORD, secret->octets, secret->n);
	if (rc == 0 && login_is_plus(l->id))
		rc = set_binding(l, stream, why, why_n);
	return rc;
}

static int
start_command(struct login *l, const struct secret *secret, struct view stamp)
{
	l->done = true;
	if (l->id == LOGIN_ID_APOP) {
		l->out = malloc(33);
		if (!l->out)
			return -ENOMEM;
		l->out_n = 32;
		return login_apop(stamp, secret, (char *)l->out);
	}
	l->out = malloc(secret->n + 1);
	if (!l->out)
		return -ENOMEM;
	memcpy(l->out, secret->octets, secret->n);
	l->out_n = secret->n;
	return 0;
}

static int
start_any(struct login *l, const struct login_party *p, const struct secret *secret,
	const struct stream *stream, struct view stamp, char *why, size_t why_n)
{
	const struct login_row *row = &login_rows[l->id];
	bool wanted =
		row->needs == LOGIN_NEEDS_PASSWORD || row->needs == LOGIN_NEEDS_TOKEN;

	if (wanted && (!secret || secret->n == 0)) {
		(void)snprintf(why, why_n, "%s needs a %s and there is none", row->name,
			row->needs == LOGIN_NEEDS_TOKEN ? "token (token_command)"
							: "password");
		return -EINVAL;
	}
	if (wanted && memchr(secret->octets, '\0', secret->n)) {
		(void)snprintf(why, why_n,
			"the password holds a NUL, which no login can "
			"carry: correct it");
		return -EINVAL;
	}
	switch (row->way) {
	case LOGIN_BY_OAUTH:
		l->done = true;
		return oauth_initial(l->id, p, secret, &l->out, &l->out_n, why, why_n);
	case LOGIN_BY_COMMAND: return start_command(l, secret, stamp);
	case LOGIN_BY_CLIENT:
	case LOGIN_BY_SERVER: break;
	}
	return start_library(l, p, secret, stream, why, why_n);
}

int
login_start_for(const char *mechanism, const struct login_party *party,
	const struct secret *secret, const struct stream *stream, struct view stamp,
	struct login **ret, char *why, size_t why_n)
{
	struct view name = {(const uint8_t *)mechanism, strlen(mechanism)};
	struct login *l;
	int rc;

	CHECK(why_n > 0);
	why[0] = '\0';
	if (login_row_find(name) == LOGIN_ROWS) {
		(void)snprintf(why, why_n, "%s is no known mechanism", mechanism);
		return -ENOTSUP;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->id = login_row_find(name);
	l->line_max = party->line_max;
	l->tls = stream && stream->ssl;
	rc = start_any(l, party, secret, stream, stamp, why, why_n);
	if (rc < 0) {
		if (why[0] == '\0')
			(void)snprintf(why, why_n, "%s: there is no memory",
				login_rows[l->id].name);
		login_free(&l);
		return rc;
	}
	*ret = l;
	return 0;
}

int
login_start(const char *mechanism, const struct fetch_account *a,
	const struct secret *secret, const struct stream *stream, struct view stamp,
	struct login **ret, char *why, size_t why_n)
{
	char user[LOGIN_USER_MAX];
	struct login_party party = {"pop", a->host, a->port, user, LOGIN_LINE_POP};
	int n = snprintf(user, sizeof(user), "%s%s", a->recent ? "recent:" : "", a->user);

	if (n < 0 || (size_t)n >= sizeof(user)) {
		(void)snprintf(why, why_n,
			"the user is longer than %d octets: correct user",
			LOGIN_USER_MAX);
		return -EINVAL;
	}
	return login_start_for(mechanism, &party, secret, stream, stamp, ret, why, why_n);
}

void
login_two_lines(struct login *l)
{
	l->two_lines = true;
}

/* ---- APOP, RFC 1939 s.7 ---- */

int
login_apop(struct view stamp, const struct secret *secret, char ret[33])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md;
	bool good;

	if (stamp.n == 0)
		return -EINVAL;
	md = EVP_MD_CTX_new();
	if (!md)
		return -ENOMEM;
	good = EVP_DigestInit_ex(md, EVP_md5(), NULL) == 1 &&
		EVP_DigestUpdate(md, stamp.p, stamp.n) == 1 &&
		EVP_DigestUpdate(md, secret->octets, secret->n) == 1 &&
		EVP_DigestFinal_ex(md, digest, NULL) == 1;
	EVP_MD_CTX_free(md);
	if (!good)
		return -ENOTSUP;
	for (int i = 0; i < 16; i++) {
		ret[2 * i] = digits[digest[i] >> 4];
		ret[2 * i + 1] = digits[digest[i] & 15];
	}
	ret[32] = '\0';
	explicit_bzero(digest, sizeof(digest));
	return 0;
}
