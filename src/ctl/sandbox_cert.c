#include "ctl/sandbox_office.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define VALID_S	 (365L * 86400)
#define REMAIN_S (86400L) /* a certificate with less time left is made anew */
#define PEM_MAX	 65536

/* Its own authority each time: the authority's key is never stored, so nobody can sign
 * more. */
struct pair {
	X509 *ca, *server;
	EVP_PKEY *ca_key, *server_key;
};

static void
pair_free(struct pair *p)
{
	X509_free(p->ca);
	X509_free(p->server);
	EVP_PKEY_free(p->ca_key);
	EVP_PKEY_free(p->server_key);
}

static bool
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool fine = e && X509_add_ext(cert, e, -1) == 1;
	X509_EXTENSION_free(e);
	return fine;
}

static bool
set_serial(X509 *cert)
{
	unsigned char octets[16];
	BIGNUM *n;

	if (RAND_bytes(octets, sizeof(octets)) != 1)
		return false;
	octets[0] &= 0x7F; /* a positive number (RFC 5280 s.4.1.2.2) */
	octets[0] |= 0x40;
	n = BN_bin2bn(octets, sizeof(octets), NULL);
	bool fine = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return fine;
}

static X509 *
certificate_new(const char *name, EVP_PKEY *key, X509 *issuer)
{
	X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;

	/* An hour back, for clients whose clock is a little behind. */
	if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
		X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
		X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S) &&
		X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
			(const unsigned char *)name, -1, -1, 0) == 1 &&
		X509_set_issuer_name(
			cert, issuer ? X509_get_subject_name(issuer) : subject) == 1 &&
		X509_set_pubkey(cert, key) == 1)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool
make_pair(struct pair *p)
{
	p->ca_key = EVP_EC_gen("P-256");
	p->server_key = EVP_EC_gen("P-256");
	if (!p->ca_key || !p->server_key)
		return false;
	p->ca = certificate_new("Restante sandbox authority", p->ca_key, NULL);
	if (!p->ca ||
		!add_extension(p->ca, p->ca, NID_basic_constraints,
			"critical,CA:TRUE,pathlen:0") ||
		!add_extension(
			p->ca, p->ca, NID_key_usage, "critical,keyCertSign,cRLSign") ||
		!add_extension(p->ca, p->ca, NID_subject_key_identifier, "hash") ||
		X509_sign(p->ca, p->ca_key, EVP_sha256()) == 0)
		return false;
	p->server = certificate_new("localhost", p->server_key, p->ca);
	return p->server &&
		add_extension(
			p->server, p->ca, NID_basic_constraints, "critical,CA:FALSE") &&
		add_extension(
			p->server, p->ca, NID_key_usage, "critical,digitalSignature") &&
		add_extension(p->server, p->ca, NID_ext_key_usage, "serverAuth") &&
		add_extension(p->server, p->ca, NID_subject_alt_name,
			"DNS:localhost,IP:127.0.0.1,IP:::1") &&
		add_extension(p->server, p->ca, NID_subject_key_identifier, "hash") &&
		add_extension(
			p->server, p->ca, NID_authority_key_identifier, "keyid:always") &&
		X509_sign(p->server, p->ca_key, EVP_sha256()) != 0;
}

static BIO *
read_pem(struct office *f, const char *name)
{
	AUTO_FREE uint8_t *octets = NULL;
	size_t n = 0;
	AUTO_FD fd = openat(f->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	BIO *bio = NULL;

	if (fd >= 0 && fd_read_file(fd, PEM_MAX, &octets, &n) == 0)
		bio = BIO_new(BIO_s_mem());
	if (bio && BIO_write(bio, octets, (int)n) != (int)n) {
		BIO_free(bio);
		bio = NULL;
	}
	if (octets)
		explicit_bzero(octets, n);
	return bio;
}

static bool
lasts(const X509 *cert)
{
	time_t soon = time(NULL) + REMAIN_S;

	return X509_cmp_time(X509_get0_notAfter(cert), &soon) > 0 &&
		X509_cmp_current_time(X509_get0_notBefore(cert)) < 0;
}

/* Whether those of an earlier run belong together, name localhost and last a day more. */
static bool
still_serves(struct office *f)
{
	struct pair p = {0};
	BIO *ca = read_pem(f, "ca.pem"), *cert = read_pem(f, "cert.pem"),
	    *key = read_pem(f, "key.pem");
	bool fine = false;

	if (ca && cert && key) {
		p.ca = PEM_read_bio_X509(ca, NULL, NULL, NULL);
		p.server = PEM_read_bio_X509(cert, NULL, NULL, NULL);
		p.server_key = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
	}
	if (p.ca && p.server && p.server_key)
		fine = lasts(p.ca) && lasts(p.server) &&
			X509_check_private_key(p.server, p.server_key) == 1 &&
			X509_verify(p.server, X509_get0_pubkey(p.ca)) == 1 &&
			X509_check_host(p.server, "localhost", 0, 0, NULL) == 1 &&
			X509_check_ip_asc(p.server, "127.0.0.1", 0) == 1 &&
			X509_check_ip_asc(p.server, "::1", 0) == 1;
	pair_free(&p);
	BIO_free(ca);
	BIO_free(cert);
	BIO_free(key);
	ERR_clear_error();
	return fine;
}

static int
write_pem(struct office *f, const char *name, X509 *cert, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *octets = NULL;
	int rc = EX_SOFTWARE;

	bool fine = bio &&
		(cert ? PEM_write_bio_X509(bio, cert)
		      : PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) ==
			1;
	long n = fine ? BIO_get_mem_data(bio, &octets) : 0;
	if (n > 0)
		rc = office_write(f, name, key ? 0600 : 0644,
			(struct view){(const uint8_t *)octets, (size_t)n});
	else
		(void)office_say(rc, "%s/%s: OpenSSL cannot encode it", f->dir, name);
	BIO_free(bio);
	return rc;
}

int
office_certificate(struct office *f)
{
	struct pair p = {0};
	int rc;

	if (still_serves(f))
		return 0;
	if (!make_pair(&p))
		rc = office_say(EX_SOFTWARE, "OpenSSL cannot make a certificate: %s",
			ERR_reason_error_string(ERR_get_error()));
	else
		rc = write_pem(f, "key.pem", NULL, p.server_key);
	if (rc == 0)
		rc = write_pem(f, "cert.pem", p.server, NULL);
	if (rc == 0)
		rc = write_pem(f, "ca.pem", p.ca, NULL);
	pair_free(&p);
	return rc;
}
