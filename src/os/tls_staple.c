/* OCSP responses that go with a certificate (RFC 6066 s.8, RFC 6960). */
#include "os/clock.h"
#include "os/tls_server_parts.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RESPONSE_OCTETS_MAX 65536
/* One that does not say when the next comes: newer ones are always to be had (RFC 6960
 * s.4.2.2.1), so it is not kept for long. */
#define WITHOUT_NEXT_S (7 * 86400)

static bool
seconds_of(const ASN1_GENERALIZEDTIME *t, uint64_t *ret)
{
	struct tm tm;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	time_t s = timegm(&tm);
	*ret = s > 0 ? (uint64_t)s : 0;
	return s > 0;
}

/* By serial number, and the hash of the issuer's name in the response's own digest. */
static bool
is_about(OCSP_CERTID *id, X509 *leaf)
{
	ASN1_OCTET_STRING *name;
	ASN1_OBJECT *digest;
	ASN1_INTEGER *serial;
	uint8_t got[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (OCSP_id_get0_info(&name, &digest, NULL, &serial, id) != 1)
		return false;
	const EVP_MD *md = EVP_get_digestbyobj(digest);
	return md && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) == 0 &&
		X509_NAME_digest(X509_get_issuer_name(leaf), md, got, &n) == 1 &&
		ASN1_STRING_length(name) == (int)n &&
		memcmp(ASN1_STRING_get0_data(name), got, n) == 0;
}

/* NULL and until when, or what is wrong. */
static const char *
look(OCSP_BASICRESP *basic, X509 *leaf, uint64_t now_s, uint64_t *ret_until)
{
	ASN1_GENERALIZEDTIME *from, *next;
	uint64_t begin, end;

	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
		if (!is_about(
			    (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(one), leaf))
			continue;
		int status = OCSP_single_get0_status(one, NULL, NULL, &from, &next);
		if (status == V_OCSP_CERTSTATUS_REVOKED)
			return "the OCSP response says that the certificate is revoked";
		if (status != V_OCSP_CERTSTATUS_GOOD)
			return "the OCSP response does not know the certificate";
		if (!seconds_of(from, &begin))
			return "the OCSP response has no sound time";
		end = begin + WITHOUT_NEXT_S;
		if (next && !seconds_of(next, &end))
			return "the OCSP response has no sound time";
		if (end <= now_s)
			return "the OCSP response is out of date: fetch a new one";
		*ret_until = end;
		return NULL;
	}
	return "the OCSP response is for another certificate";
}

const char *
tls_staple_take(struct tls_certificate *c, struct view der, uint64_t now_s)
{
	const uint8_t *p = der.p;
	uint64_t until = 0;
	const char *failed = NULL;

	if (der.n > RESPONSE_OCTETS_MAX)
		return "the OCSP response is larger than 65536 octets";
	OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, (long)der.n);
	OCSP_BASICRESP *basic = NULL;
	if (!r || p != der.p + der.n)
		failed = "the OCSP response is not one in DER";
	else if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		failed = "the OCSP response is not successful";
	else if (!(basic = OCSP_response_get1_basic(r)))
		failed = "the OCSP response is not a basic one";
	if (!failed)
		failed = look(basic, c->leaf, now_s, &until);
	if (!failed && !(c->ocsp = malloc(der.n)))
		failed = "no memory";
	if (!failed) {
		memcpy(c->ocsp, der.p, der.n);
		c->ocsp_n = der.n;
		c->ocsp_until = until;
	}
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	return failed;
}

int
tls_staple_send(SSL *ssl, void *arg)
{
	const struct tls_server *s = arg;
	const X509 *chosen = SSL_get_certificate(ssl);
	const struct tls_certificate *c = NULL;

	for (size_t i = 0; i < s->certificates_n; i++)
		if (s->certificates[i].leaf == chosen)
			c = &s->certificates[i];
	if (!c || !c->ocsp || c->ocsp_until <= clock_unix_s())
		return SSL_TLSEXT_ERR_NOACK;
	uint8_t *copy = OPENSSL_memdup(c->ocsp, c->ocsp_n);
	if (!copy || SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)c->ocsp_n) != 1) {
		OPENSSL_free(copy);
		return SSL_TLSEXT_ERR_NOACK;
	}
	return SSL_TLSEXT_ERR_OK;
}
