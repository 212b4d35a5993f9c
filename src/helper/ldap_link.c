/* One connection to the directory, and what is waited for on it. */
#include "base/check.h"
#include "helper/ldap_parts.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define URIS_MAX 1024

/* ---- settings ------------------------------------------------------------------- */

static bool
is_local_host(const char *host)
{
	static const char *const local[] = {"localhost", "127.0.0.1", "::1"};

	for (size_t i = 0; i < ARRAY_SIZE(local); i++)
		if (strcmp(host, local[i]) == 0)
			return true;
	return false;
}

/* What kinds of URI there are, as bits. */
enum uri_kind { URI_LOCAL = 1, URI_REMOTE = 2, URI_TLS = 4, URI_UNIX = 8 };

static unsigned int
kind_of(const char *uri)
{
	LDAPURLDesc *d = NULL;
	unsigned int kind = 0;

	if (ldap_url_parse(uri, &d) != LDAP_URL_SUCCESS || !d)
		return 0;
	if (strcmp(d->lud_scheme, "ldaps") == 0)
		kind = URI_TLS;
	else if (strcmp(d->lud_scheme, "ldapi") == 0)
		kind = URI_UNIX;
	else if (strcmp(d->lud_scheme, "ldap") == 0 && d->lud_host && *d->lud_host)
		kind = is_local_host(d->lud_host) ? URI_LOCAL : URI_REMOTE;
	ldap_free_urldesc(d);
	return kind;
}

const char *
ldap_link_prepare(struct helper *h, struct ldap_settings *ret)
{
	const char *starttls = helper_setting(h, "ldap_starttls");
	const char *rest = ret->uri;
	unsigned int kinds = 0;

	while (*rest) {
		char one[URIS_MAX];
		size_t n = strcspn(rest, " ");
		if (n >= sizeof(one))
			return "ldap_uri is too long";
		memcpy(one, rest, n);
		one[n] = 0;
		unsigned int kind = n > 0 ? kind_of(one) : 0;
		if (n > 0 && kind == 0)
			return helper_why(h,
				"ldap_uri: %s is no URI of ldap://HOST, ldaps:// or "
				"ldapi://",
				one);
		kinds |= kind;
		rest += n + (rest[n] == ' ');
	}
	if (kinds == 0)
		return "ldap_uri is empty: give ldap://, ldaps:// or ldapi:// and the "
		       "host";
	bool plain = kinds & (URI_LOCAL | URI_REMOTE);
	ret->starttls = plain &&
		(strcmp(starttls, "yes") == 0 ||
			(strcmp(starttls, "remote") == 0 && (kinds & URI_REMOTE)));
	ret->tls = ret->starttls || (kinds & URI_TLS);
	if (ret->starttls && (kinds & (URI_TLS | URI_UNIX)))
		return "ldap_uri: with ldap_starttls there may be ldap:// alone, no "
		       "ldaps:// or "
		       "ldapi:// beside it";
	return NULL;
}

/* ---- waiting -------------------------------------------------------------------- */

static struct timeval
left(uint64_t deadline_ms)
{
	uint64_t now = clock_ms();
	uint64_t ms = now < deadline_ms ? deadline_ms - now : 1;

	return (struct timeval){.tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

bool
ldap_link_is_lost(int code)
{
	switch (code) {
	case LDAP_SERVER_DOWN:
	case LDAP_CONNECT_ERROR:
	case LDAP_TIMEOUT:
	case LDAP_UNAVAILABLE:
	case LDAP_BUSY:
	case LDAP_PROTOCOL_ERROR:
	case LDAP_DECODING_ERROR:
	case LDAP_ENCODING_ERROR:
	case LDAP_LOCAL_ERROR:
	case LDAP_OTHER: return true;
	default: return code < 0;
	}
}

static int
last_code(LDAP *ld)
{
	int code = LDAP_OTHER;

	(void)ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &code);
	return code == LDAP_SUCCESS ? LDAP_OTHER : code;
}

int
ldap_link_wait(struct ldap_link *l, int msgid, uint64_t deadline_ms, LDAPMessage **ret)
{
	struct timeval t = left(deadline_ms);
	int code = LDAP_OTHER;
	int r = ldap_result(l->ld, msgid, LDAP_MSG_ALL, &t, ret);

	if (r <= 0) {
		*ret = NULL;
		if (r == 0)
			(void)ldap_abandon_ext(l->ld, msgid, NULL, NULL);
		return r == 0 ? LDAP_TIMEOUT : last_code(l->ld);
	}
	int e = ldap_parse_result(l->ld, *ret, &code, NULL, NULL, NULL, NULL, 0);
	return e == LDAP_SUCCESS ? code : e;
}

int
ldap_link_bind(
	struct ldap_link *l, const char *dn, struct view password, uint64_t deadline_ms)
{
	struct berval secret = {
		.bv_len = password.n, .bv_val = (char *)(uintptr_t)password.p};
	LDAPMessage *answer = NULL;
	int msgid;

	/* Either would be a yes to whoever asks. */
	CHECK(password.n > 0);
	CHECK(*dn);
	int code =
		ldap_sasl_bind(l->ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, &msgid);
	if (code != LDAP_SUCCESS)
		return code;
	code = ldap_link_wait(l, msgid, deadline_ms, &answer);
	(void)ldap_msgfree(answer);
	return code;
}

/* ---- the connection ------------------------------------------------------------- */

void
ldap_link_leave(struct ldap_link *l)
{
	if (l->ld)
		(void)ldap_unbind_ext(l->ld, NULL, NULL);
	l->ld = NULL;
}

static int
settle_options(struct ldap_link *l, uint64_t deadline_ms)
{
	const int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, client = 0;
	struct timeval t = left(deadline_ms);
	const struct {
		int option;
		const void *value;
	} options[] = {
		{LDAP_OPT_PROTOCOL_VERSION, &version},
		{LDAP_OPT_REFERRALS, LDAP_OPT_OFF},
		{LDAP_OPT_NETWORK_TIMEOUT, &t},
		{LDAP_OPT_TIMEOUT, &t},
		{LDAP_OPT_X_TLS_REQUIRE_CERT, &demand},
		{LDAP_OPT_X_TLS_CACERTFILE, l->settings->ca},
		/* Last: it takes what stands above. */
		{LDAP_OPT_X_TLS_NEWCTX, &client},
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		bool tls = options[i].option == LDAP_OPT_X_TLS_CACERTFILE ||
			options[i].option == LDAP_OPT_X_TLS_NEWCTX;
		if (tls && !l->settings->tls)
			continue;
		if (ldap_set_option(l->ld, options[i].option, options[i].value) !=
			LDAP_OPT_SUCCESS)
			return LDAP_LOCAL_ERROR;
	}
	return LDAP_SUCCESS;
}

static int
start_tls(struct ldap_link *l, uint64_t deadline_ms)
{
	LDAPMessage *answer = NULL;
	int msgid;
	int code = ldap_start_tls(l->ld, NULL, NULL, &msgid);

	if (code != LDAP_SUCCESS)
		return code;
	code = ldap_link_wait(l, msgid, deadline_ms, &answer);
	(void)ldap_msgfree(answer);
	/* Octets that came in clear before the handshake must not count (RFC 4513
	 * s.3.1.5); libldap starts with an empty buffer. */
	return code == LDAP_SUCCESS ? ldap_install_tls(l->ld) : code;
}

int
ldap_link_open(struct ldap_link *l, uint64_t deadline_ms)
{
	const struct ldap_settings *s = l->settings;

	l->fresh = false;
	if (l->ld)
		return LDAP_SUCCESS;
	int code = ldap_initialize(&l->ld, s->uri);
	if (code != LDAP_SUCCESS) {
		l->ld = NULL;
		return code;
	}
	l->fresh = true;
	code = settle_options(l, deadline_ms);
	if (code == LDAP_SUCCESS && s->starttls)
		code = start_tls(l, deadline_ms);
	if (code == LDAP_SUCCESS && l->service && *s->bind_dn)
		code = ldap_link_bind(l, s->bind_dn,
			(struct view){(const uint8_t *)s->bind_password,
				strlen(s->bind_password)},
			deadline_ms);
	if (code != LDAP_SUCCESS)
		ldap_link_leave(l);
	return code;
}

void
ldap_link_look(struct ldap_link *l)
{
	struct timeval none = {0, 0};
	LDAPMessage *notice = NULL;

	if (!l->ld)
		return;
	/* Nothing was asked, so anything that comes is the end (RFC 4511 s.4.4.1). */
	if (ldap_result(l->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, &notice) != 0) {
		(void)ldap_msgfree(notice);
		ldap_link_leave(l);
	}
}
