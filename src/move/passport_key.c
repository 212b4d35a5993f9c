#include "move/passport_parts.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 65536

struct passport_key {
	EVP_PKEY *pkey;
};

/* ---- making ---- */

static int
write_pem(const char *path, mode_t mode, EVP_PKEY *pkey, bool public)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int r = 0;

	if (!f) {
		r = -errno;
		fd_close(&fd);
		return r;
	}
	int put = public ? PEM_write_PUBKEY(f, pkey)
			 : PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL);
	if (!put || fflush(f) != 0)
		r = -EIO;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (fclose(f) != 0 && r == 0)
		r = -EIO;
	if (r < 0)
		(void)unlink(path); /* half a key is of no use to anybody */
	return r;
}

int
passport_key_make(const char *path, char *why, size_t why_n)
{
	char public[4096];
	int n = snprintf(public, sizeof(public), "%s.pub", path);
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	int r = n < 0 || (size_t)n >= sizeof(public) ? -ENAMETOOLONG : pkey ? 0 : -EIO;
	const char *file = path;

	if (r == 0)
		r = write_pem(path, 0600, pkey, false);
	if (r == 0) {
		file = public;
		r = write_pem(public, 0644, pkey, true);
		if (r < 0)
			(void)unlink(path); /* ours: we made it just now */
	}
	EVP_PKEY_free(pkey);
	if (r < 0)
		(void)snprintf(why, why_n, "%.500s: %s%s", file, strerror(-r),
			r == -EEXIST ? "; a key is never written over" : "");
	return r;
}

/* ---- reading ---- */

static EVP_PKEY *
parse(const uint8_t *text, size_t n, bool public)
{
	BIO *bio = BIO_new_mem_buf(text, (int)n);
	EVP_PKEY *pkey = NULL;

	if (!bio)
		return NULL;
	/* An empty pass phrase: nobody is asked on the terminal. */
	pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, (char[]){""});
	if (!pkey && public && BIO_reset(bio) >= 0)
		pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, (char[]){""});
	BIO_free(bio);
	if (pkey && EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	return pkey;
}

static const char *
check_mode(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is no plain file";
	return st.st_mode & 077 ? "others may read this private key: chmod 600 it" : NULL;
}

struct passport_key *
passport_key_read(const char *path, bool public, char *why, size_t why_n)
{
	struct passport_key *k = calloc(1, sizeof(*k));
	uint8_t *text = NULL;
	size_t n = 0;
	const char *wrong = NULL;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r = fd < 0 ? -errno : fd_read_file(fd, KEY_FILE_MAX, &text, &n);

	if (r < 0)
		wrong = strerror(-r);
	if (!wrong && !public)
		wrong = check_mode(fd);
	if (!wrong && k)
		k->pkey = parse(text, n, public);
	if (!wrong && (!k || !k->pkey))
		wrong = public ? "this is no PEM file with an Ed25519 key"
			       : "this is no PEM file with a private Ed25519 key; "
				 "'restante passport key FILE' makes one";
	if (text)
		explicit_bzero(text, n);
	free(text);
	if (!wrong)
		return k;
	(void)snprintf(why, why_n, "%.500s: %s", path, wrong);
	passport_key_free(&k);
	return NULL;
}

void
passport_key_free(struct passport_key **k)
{
	if (*k)
		EVP_PKEY_free((*k)->pkey);
	free(*k);
	*k = NULL;
}

void
passport_key_public(const struct passport_key *k, uint8_t ret[PASSPORT_KEY_OCTETS])
{
	size_t n = PASSPORT_KEY_OCTETS;

	if (!EVP_PKEY_get_raw_public_key(k->pkey, ret, &n))
		memset(ret, 0, PASSPORT_KEY_OCTETS);
}

/* ---- sealing ---- */

int
passport_key_sign(const struct passport_key *k, struct view text,
	uint8_t ret[PASSPORT_SIGNATURE_OCTETS])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t n = PASSPORT_SIGNATURE_OCTETS;
	bool good = c && EVP_DigestSignInit(c, NULL, NULL, NULL, k->pkey) > 0 &&
		EVP_DigestSign(c, ret, &n, text.p, text.n) > 0;

	EVP_MD_CTX_free(c);
	return good ? 0 : -EIO;
}

int
passport_digest(struct view text, uint8_t ret[MESSAGE_DIGEST_OCTETS])
{
	return EVP_Digest(text.p, text.n, ret, NULL, EVP_sha256(), NULL) ? 0 : -EIO;
}

static bool
signature_is_good(const struct passport *p)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(
		EVP_PKEY_ED25519, NULL, p->key, PASSPORT_KEY_OCTETS);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool good = pkey && c && EVP_DigestVerifyInit(c, NULL, NULL, NULL, pkey) > 0 &&
		EVP_DigestVerify(c, p->signature, PASSPORT_SIGNATURE_OCTETS, p->sealed.p,
			p->sealed.n) == 1;

	EVP_MD_CTX_free(c);
	EVP_PKEY_free(pkey);
	return good;
}

bool
passport_seal_is_good(const struct passport *p)
{
	uint8_t digest[MESSAGE_DIGEST_OCTETS];

	if (p->is_signed)
		return signature_is_good(p);
	return passport_digest(p->sealed, digest) == 0 &&
		memcmp(digest, p->digest, sizeof(digest)) == 0;
}
