/*
 * Why a handshake or a connection failed, in words for a human. All that certificates and
 * servers say is made printable and cut short.
 */
#include "base/ascii.h"
#include "base/buf.h"
#include "os/tls_client_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define WHY_MAX	       1024
#define NAME_MAX_SHOWN 64
#define NAMES_SHOWN    4
/* RFC 8446 s.6, in the range that OpenSSL gives alerts of the peer. */
#define ALERT_BASE 1000
#define ALERT_LAST 1255

static void
put_printable(struct buf *b, const uint8_t *p, size_t n)
{
	size_t shown = n < NAME_MAX_SHOWN ? n : NAME_MAX_SHOWN;

	for (size_t i = 0; i < shown; i++)
		buf_put_u8(b, p[i] == ' ' || ascii_is_graph(p[i]) ? p[i] : '?');
	if (shown < n)
		buf_put_str(b, "...");
}

static void
put_asn1(struct buf *b, const ASN1_STRING *s)
{
	int n = ASN1_STRING_length(s);

	put_printable(b, ASN1_STRING_get0_data(s), n > 0 ? (size_t)n : 0);
}

/* The common name, or the organisation, or what there is. */
static void
put_x509_name(struct buf *b, const X509_NAME *name)
{
	static const int kinds[] = {
		NID_commonName, NID_organizationName, NID_organizationalUnitName};

	for (size_t i = 0; i < 3; i++) {
		int at = X509_NAME_get_index_by_NID(name, kinds[i], -1);
		if (at < 0)
			continue;
		buf_put_str(b, "\"");
		put_asn1(b, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
		buf_put_str(b, "\"");
		return;
	}
	buf_put_str(b, "an authority without a name");
}

static void
put_time(struct buf *b, const ASN1_TIME *t)
{
	struct tm tm;
	char text[40];
	size_t n = 0;

	if (t && ASN1_TIME_to_tm(t, &tm) == 1)
		n = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	if (n > 0)
		buf_put(b, text, n);
	else
		buf_put_str(b, "a date that cannot be read");
}

static void
put_address(struct buf *b, const ASN1_OCTET_STRING *a)
{
	char text[INET6_ADDRSTRLEN];
	int n = ASN1_STRING_length(a), family = n == 4 ? AF_INET : AF_INET6;

	if ((n == 4 || n == 16) &&
		inet_ntop(family, ASN1_STRING_get0_data(a), text, sizeof(text)))
		buf_put_str(b, text);
	else
		buf_put_str(b, "a damaged address");
}

static void
put_pin(struct buf *b, const struct stream *s)
{
	char pin[2 * TLS_PIN_OCTETS + 1];

	buf_put_str(b, "pin sha256:");
	buf_put_str(b, stream_peer_pin(s, pin) == 0 ? pin : "(none)");
}

/* "a, b, c, d and 12 more" of the subjectAltNames, or the common name. */
static void
put_names(struct buf *b, const X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	int n = names ? sk_GENERAL_NAME_num(names) : 0;
	uint64_t shown = 0, more = 0;

	for (int i = 0; i < n; i++) {
		int kind;
		const void *value =
			GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);
		if (kind != GEN_DNS && kind != GEN_IPADD)
			continue;
		if (shown == NAMES_SHOWN) {
			more++;
			continue;
		}
		if (shown++ > 0)
			buf_put_str(b, ", ");
		if (kind == GEN_DNS)
			put_asn1(b, value);
		else
			put_address(b, value);
	}
	GENERAL_NAMES_free(names);
	if (more > 0) {
		buf_put_str(b, " and ");
		buf_put_dec(b, more);
		buf_put_str(b, " more");
	}
	if (shown == 0)
		put_x509_name(b, X509_get_subject_name(x));
}

/* ---- certificates ------------------------------------------------------------------ */

static bool
system_has_certificates(void)
{
	struct stat st;

	return stat(X509_get_default_cert_file(), &st) == 0 ||
		stat(X509_get_default_cert_dir(), &st) == 0;
}

static void
why_unknown_issuer(struct buf *b, const struct stream *s, const struct tls_peer *p)
{
	const struct tls_client_rules *rules = s->context->client;
	const X509 *leaf = p->leaf;

	buf_put_str(b, "the certificate of ");
	buf_put_str(b, p->host);
	if (p->verify_error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) {
		buf_put_str(b, " is signed by itself alone");
	} else {
		buf_put_str(b, " was issued by ");
		put_x509_name(b, X509_get_issuer_name(leaf));
		buf_put_str(b,
			rules->own_ca ? ", whom the file of --ca does not hold"
				      : ", whom this system does not know");
	}
	if (!rules->own_ca && !system_has_certificates())
		buf_put_str(b, " (it knows nobody: install ca-certificates)");
	buf_put_str(b,
		"; if you are sure that it is the right server, name the issuer's "
		"certificate with --ca FILE, or trust this key alone with --");
	put_pin(b, s);
}

static void
why_time(struct buf *b, const struct tls_peer *p)
{
	const X509 *x = p->culprit ? p->culprit : p->leaf;
	bool early = p->verify_error == X509_V_ERR_CERT_NOT_YET_VALID;

	buf_put_str(b, "the certificate of ");
	if (p->verify_depth > 0)
		put_x509_name(b, X509_get_subject_name(x));
	else
		buf_put_str(b, p->host);
	buf_put_str(b, early ? " is not valid before " : " expired on ");
	put_time(b, early ? X509_get0_notBefore(x) : X509_get0_notAfter(x));
	buf_put_str(b,
		early ? ": is the clock of this machine right?"
		      : ": its operator has to renew it");
}

static void
why_pin(struct buf *b, const struct stream *s, const struct tls_peer *p)
{
	buf_put_str(b, "the key of ");
	buf_put_str(b, p->host);
	buf_put_str(b, " is not the one that is pinned; the server has ");
	put_pin(b, s);
	buf_put_str(b, ": ask its operator before you change the pin");
}

static void
why_certificate(struct buf *b, const struct stream *s, const struct tls_peer *p)
{
	const struct tls_client_rules *rules = s->context->client;

	if (!p->leaf) {
		buf_put_str(b, "the server showed no certificate");
		return;
	}
	if (rules->pins_n > 0) {
		why_pin(b, s, p);
		return;
	}
	switch (p->verify_error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		buf_put_str(b, "the certificate is not for ");
		buf_put_str(b, p->host);
		buf_put_str(b, " but for ");
		put_names(b, p->leaf);
		buf_put_str(
			b, "; use one of these names, or trust this key alone with --");
		put_pin(b, s);
		return;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID: why_time(b, p); return;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED: why_unknown_issuer(b, s, p); return;
	default:
		buf_put_str(b, "the certificate of ");
		buf_put_str(b, p->host);
		buf_put_str(b, " is not accepted: ");
		buf_put_str(b, X509_verify_cert_error_string(p->verify_error));
		return;
	}
}

/* ---- the rest ---------------------------------------------------------------------- */

/* A TLS record begins with its kind, 20 to 23, and the major version 3 (RFC 8446 s.5.1).
 */
static bool
speaks_no_tls(const struct tls_peer *p)
{
	return p->first_n > 0 &&
		(p->first[0] < 20 || p->first[0] > 23 ||
			(p->first_n > 1 && p->first[1] != 3));
}

static void
why_no_tls(struct buf *b, const struct stream *s, const struct tls_peer *p)
{
	size_t n = p->first_n;

	while (n > 0 && (p->first[n - 1] == '\r' || p->first[n - 1] == '\n'))
		n--;
	buf_put_str(b,
		s->was_plain ? "the server sent plain text where TLS begins: \""
			     : "the server speaks no TLS here, it says \"");
	put_printable(b, p->first, n);
	if (s->was_plain)
		buf_put_str(b, "\"; nothing of it was used");
	else if (p->first[0] == '+' || p->first[0] == '-')
		buf_put_str(b,
			"\"; this looks like plain POP3: use --tls stls or another "
			"port (TLS from the start is usually 995)");
	else
		buf_put_str(b, "\"; is the port right?");
}

static const char *
advice_for_alert(int alert, bool has_identity)
{
	switch (alert) {
	case SSL_AD_NO_APPLICATION_PROTOCOL: return ": it is no POP3 server";
	case SSL_AD_PROTOCOL_VERSION: return ": it has no TLS 1.2 or newer";
	case SSL_AD_HANDSHAKE_FAILURE:
		return ": it has no cipher suite that is safe, or wants a client "
		       "certificate";
	case SSL_AD_UNRECOGNIZED_NAME: return ": it does not know this host name";
	case TLS13_AD_CERTIFICATE_REQUIRED: return ": it wants a client certificate";
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
		return has_identity ? ": it does not accept the client certificate" : "";
	case SSL_AD_INTERNAL_ERROR: return ": it may be full; later it may do";
	default: return "";
	}
}

/* The alert that ended TLS, or -1. */
static int
alert_of(const struct tls_peer *p)
{
	int reason = ERR_GET_REASON(p->fault);
	bool is_alert = ERR_GET_LIB(p->fault) == ERR_LIB_SSL && reason > ALERT_BASE &&
		reason <= ALERT_LAST;

	return is_alert ? reason - ALERT_BASE : -1;
}

static void
why_fault(struct buf *b, const struct stream *s, const struct tls_peer *p)
{
	const struct tls_client_rules *rules = s->context->client;
	int reason = ERR_GET_REASON(p->fault);
	bool ssl = ERR_GET_LIB(p->fault) == ERR_LIB_SSL;
	int alert = alert_of(p);

	if (alert >= 0) {
		buf_put_str(b, "the server ended TLS with the alert \"");
		buf_put_str(b, SSL_alert_desc_string_long(alert));
		buf_put_str(b, "\"");
		buf_put_str(b, advice_for_alert(alert, rules->has_identity));
		return;
	}
	if (ssl &&
		(reason == SSL_R_UNSUPPORTED_PROTOCOL ||
			reason == SSL_R_VERSION_TOO_LOW ||
			reason == SSL_R_WRONG_SSL_VERSION)) {
		buf_put_str(
			b, "the server has no TLS 1.2 or newer: older ones are not safe");
		return;
	}
	const char *text = ERR_reason_error_string(p->fault);
	buf_put_str(b, "TLS failed: ");
	buf_put_str(b, text ? text : "for a reason that OpenSSL does not tell");
}

static void
why_broken(struct buf *b, const struct stream *s)
{
	const char *text = s->error ? strerrordesc_np(s->error) : NULL;

	if (s->cut && s->handshaking) {
		buf_put_str(b,
			"the server closed the connection in the TLS handshake: does "
			"this port speak TLS?");
	} else if (s->cut) {
		buf_put_str(b, "the server closed the connection without ending TLS");
	} else if (text) {
		buf_put_str(b,
			s->handshaking ? "the connection broke in the TLS handshake: "
				       : "the connection broke: ");
		buf_put_str(b, text);
	} else {
		buf_put_str(b, "the server closed the connection");
	}
}

void
stream_why(const struct stream *s, char *why, size_t why_n, bool *ret_certificate)
{
	uint8_t text[WHY_MAX];
	struct buf b = {.p = text, .cap = sizeof(text)};
	const struct tls_peer *p = s->peer;

	*ret_certificate = p && p->verify_error != X509_V_OK;
	if (*ret_certificate)
		why_certificate(&b, s, p);
	else if (p && s->handshaking && speaks_no_tls(p))
		why_no_tls(&b, s, p);
	else if (p && p->fault)
		why_fault(&b, s, p);
	else
		why_broken(&b, s);
	if (why_n == 0)
		return;
	size_t n = b.n < why_n - 1 ? b.n : why_n - 1;
	memcpy(why, text, n);
	why[n] = '\0';
}

bool
stream_may_do_later(const struct stream *s)
{
	const struct tls_peer *p = s->peer;

	if (p && p->verify_error != X509_V_OK)
		return false;
	return s->error != 0 || s->cut ||
		(p && p->fault && alert_of(p) == SSL_AD_INTERNAL_ERROR);
}
