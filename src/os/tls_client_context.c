/*
 * The settings of the client side: whom to trust, and who we are.
 */
#include "base/check.h"
#include "os/fd.h"
#include "os/tls_client_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CA_FILE_MAX	 (4 << 20)
#define PEM_FILE_MAX	 (256 << 10)
#define CERTIFICATES_MAX 4096
/* A message comes in many records: take several of them with one call. But OpenSSL moves
 * all that is left to the front of its buffer for each record, so not too many. */
#define READ_AHEAD (32 << 10)

struct text_file {
	uint8_t *p;
	size_t n;
};

static void
text_done(struct text_file *f)
{
	if (f->p)
		explicit_bzero(f->p, f->n);
	free(f->p);
}

/* 0, or -errno with the reason in why. */
static int
read_text(const char *option, const char *path, size_t max, struct text_file *ret,
	char *why, size_t why_n)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err = fd < 0 ? -errno : fd_read_file(fd, max, &ret->p, &ret->n);

	if (err == -EFBIG)
		(void)snprintf(why, why_n,
			"--%s %s is larger than %zu KiB: name a file of PEM certificates",
			option, path, max >> 10);
	else if (err < 0)
		(void)snprintf(why, why_n, "--%s %s cannot be read: %s", option, path,
			strerrordesc_np(-err));
	return err;
}

static bool
trust_pem(SSL_CTX *ctx, struct view pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *b = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	size_t n = 0;
	bool ok = b != NULL;

	while (ok && n < CERTIFICATES_MAX) {
		X509 *x = PEM_read_bio_X509_AUX(b, NULL, tls_no_password, NULL);
		if (!x)
			break;
		ok = X509_STORE_add_cert(store, x) == 1;
		X509_free(x);
		n++;
	}
	unsigned long last = ERR_peek_last_error();
	ok = ok && n > 0 && ERR_GET_LIB(last) == ERR_LIB_PEM &&
		ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
	BIO_free(b);
	ERR_clear_error();
	/* Who names a certificate trusts it, whether it is a root or not. */
	return ok && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1;
}

static int
load_trust(struct tls_context *c, const struct tls_client_options *o, EVP_MD_CTX *digest,
	char *why, size_t why_n)
{
	struct tls_client_rules *rules = c->client;
	struct text_file f = {0};

	if (!o->ca_file) {
		/* With pins nobody asks the store. */
		if (o->pins_n > 0 || SSL_CTX_set_default_verify_paths(c->ctx) == 1)
			return 0;
		(void)snprintf(why, why_n,
			"the system's certificates cannot be loaded: install the package "
			"ca-certificates, or name a file of certificates with --ca");
		return -EINVAL;
	}
	rules->own_ca = true;
	int err = read_text("ca", o->ca_file, CA_FILE_MAX, &f, why, why_n);
	if (err < 0)
		return err;
	bool ok = trust_pem(c->ctx, (struct view){f.p, f.n});
	if (!ok)
		(void)snprintf(why, why_n,
			"--ca %s is no list of certificates in PEM form (-----BEGIN "
			"CERTIFICATE-----), or one of them is damaged",
			o->ca_file);
	ok = ok && EVP_DigestUpdate(digest, f.p, f.n) == 1;
	text_done(&f);
	return ok ? 0 : -EINVAL;
}

static int
load_identity(struct tls_context *c, const struct tls_client_options *o,
	EVP_MD_CTX *digest, char *why, size_t why_n)
{
	struct tls_client_rules *rules = c->client;
	struct text_file cert = {0}, key = {0};
	/* One file may hold both. */
	const char *key_path = o->key ? o->key : o->certificate;
	const char *failed = NULL;

	if (!o->certificate && !o->key)
		return 0;
	if (!o->certificate) {
		(void)snprintf(why, why_n,
			"a key for a client certificate is given (%s), but no "
			"certificate",
			o->key);
		return -EINVAL;
	}
	rules->has_identity = true;
	int err =
		read_text("certificate", o->certificate, PEM_FILE_MAX, &cert, why, why_n);
	if (err == 0)
		err = read_text(o->key ? "key" : "certificate", key_path, PEM_FILE_MAX,
			&key, why, why_n);
	if (err == 0) {
		failed = tls_context_load(c->ctx, (struct view){cert.p, cert.n},
			(struct view){key.p, key.n});
		err = !failed && EVP_DigestUpdate(digest, cert.p, cert.n) == 1 ? 0
									       : -EINVAL;
	}
	if (failed)
		(void)snprintf(why, why_n, "client certificate %s, key %s: %s",
			o->certificate, key_path, failed);
	text_done(&cert);
	text_done(&key);
	return err;
}

/*
 * SSL_CTX_set_cert_verify_callback: in the place of the whole verification. Never called
 * where a session is resumed; tls_session_offer stands for that.
 */
static int
verify(X509_STORE_CTX *store, void *arg)
{
	const struct tls_client_rules *rules = arg;
	SSL *ssl =
		X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_peer *p = SSL_get_app_data(ssl);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	uint8_t pin[TLS_PIN_OCTETS];
	int good = 0;

	p->verified = true;
	if (leaf && !p->leaf && X509_up_ref(leaf) == 1)
		p->leaf = leaf;
	if (rules->pins_n == 0) {
		good = X509_verify_cert(store) > 0;
	} else if (leaf && tls_spki_digest(leaf, pin)) {
		for (size_t i = 0; i < rules->pins_n; i++)
			good |= memcmp(pin, rules->pins[i], sizeof(pin)) == 0;
		X509_STORE_CTX_set_error(
			store, good ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
	}
	p->verify_error = X509_STORE_CTX_get_error(store);
	if (!good && p->verify_error == X509_V_OK)
		X509_STORE_CTX_set_error(store, p->verify_error = X509_V_ERR_UNSPECIFIED);
	if (good)
		return 1;
	X509 *culprit = X509_STORE_CTX_get_current_cert(store);
	p->verify_depth = X509_STORE_CTX_get_error_depth(store);
	if (culprit && !p->culprit && X509_up_ref(culprit) == 1)
		p->culprit = culprit;
	return 0;
}

static int
settle(struct tls_context *c, const struct tls_client_options *o, char *why, size_t why_n)
{
	struct tls_client_rules *rules = c->client;
	const char *failed = tls_context_settle(c->ctx);
	EVP_MD_CTX *digest = EVP_MD_CTX_new();

	CHECK(o->pins_n <= TLS_PINS_MAX);
	memcpy(rules->pins, o->pins, sizeof(rules->pins));
	rules->pins_n = o->pins_n;
	if (!failed && (!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1))
		failed = "no memory";
	if (failed)
		(void)snprintf(why, why_n, "TLS cannot be prepared: %s", failed);
	int err = failed ? -ENOMEM : load_trust(c, o, digest, why, why_n);
	if (err == 0)
		err = load_identity(c, o, digest, why, why_n);
	if (err == 0 &&
		(EVP_DigestUpdate(digest, rules->pins, TLS_PIN_OCTETS * rules->pins_n) !=
				1 ||
			EVP_DigestFinal_ex(digest, rules->digest, NULL) != 1))
		err = -ENOMEM;
	EVP_MD_CTX_free(digest);
	if (err < 0)
		return err;
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(c->ctx, verify, rules);
	SSL_CTX_set_default_read_buffer_len(c->ctx, READ_AHEAD);
	/* No cache of OpenSSL's: sessions belong to accounts, which keep them. */
	(void)SSL_CTX_set_session_cache_mode(
		c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, tls_session_keep);
	return 0;
}

int
tls_client_begin(void)
{
	/* The settings are this program's own, not those of a file of the system's. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
		!OSSL_LIB_CTX_get0_global_default())
		return -ENOMEM;
	EVP_MD *digest = EVP_MD_fetch(NULL, "SHA256", NULL);
	EVP_MD_free(digest);
	return digest ? 0 : -ENOMEM;
}

int
tls_client_context_new(const struct tls_client_options *o, struct tls_context **ret,
	char *why, size_t why_n)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	ERR_clear_error();
	(void)snprintf(why, why_n, "TLS cannot be prepared: no memory");
	*ret = NULL;
	if (!c)
		return err;
	c->refs = 1;
	bool ok = tls_client_begin() == 0;
	c->bio = tls_bio_method();
	c->ctx = SSL_CTX_new(TLS_client_method());
	c->client = calloc(1, sizeof(struct tls_client_rules));
	if (ok && c->bio && c->ctx && c->client)
		err = settle(c, o, why, why_n);
	ERR_clear_error();
	if (err < 0) {
		tls_context_unref(&c);
		return err;
	}
	if (why_n > 0)
		why[0] = '\0';
	*ret = c;
	return 0;
}
