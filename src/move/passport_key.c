#include "move/passport_parts.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 65536

struct passport_key {
	EVP_PKEY *pkey;
};

/* ---- making ---- */

struct making {
	int dir;
	const char *name; /* of the private key */
	char file[NAME_MAX + 1], fresh[NAME_MAX + 1];
};

static int
open_directory(const char *path, struct making *m)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;

	m->name = slash ? slash + 1 : path;
	if (m->name[0] == '\0')
		return -EISDIR;
	if (n >= sizeof(directory) || strlen(m->name) > NAME_MAX - sizeof("..pub.new"))
		return -ENAMETOOLONG;
	memcpy(directory, path, n);
	directory[n] = '\0';
	m->dir = open(n > 0 ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return m->dir < 0 ? -errno : 0;
}

/* The octets of a PEM file; BIO_free wipes a private key's. */
static BIO *
pem_of(EVP_PKEY *pkey, bool public)
{
	BIO *bio = BIO_new(public ? BIO_s_mem() : BIO_s_secmem());

	if (bio &&
		!(public ? PEM_write_bio_PUBKEY(bio, pkey)
			 : PEM_write_bio_PrivateKey(
				   bio, pkey, NULL, NULL, 0, NULL, NULL))) {
		BIO_free(bio);
		return NULL;
	}
	return bio;
}

/* Under a name that only its maker uses; one that a crash left is used again. -EBUSY:
 * another one makes this key just now. */
static int
open_fresh(const struct making *m, mode_t mode)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat held, named;
	AUTO_FD fd = openat(m->dir, m->fresh,
		O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode);

	if (fd < 0 || fstat(fd, &held) < 0)
		return -errno;
	if (!S_ISREG(held.st_mode) || held.st_uid != geteuid())
		return -EEXIST;
	if (fcntl(fd, F_OFD_SETLK, &whole) < 0)
		return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	if (fstatat(m->dir, m->fresh, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
		named.st_ino != held.st_ino || named.st_dev != held.st_dev)
		return -EBUSY;
	if (fchmod(fd, mode) < 0 || ftruncate(fd, 0) < 0)
		return -errno;
	return fd_take(&fd);
}

static int
publish(const struct making *m)
{
	int flags = RENAME_NOREPLACE;

	if (renameat2(m->dir, m->fresh, m->dir, m->file, (unsigned)flags) < 0) {
		/* Some file systems know no flag of rename. */
		if (errno != EINVAL && errno != ENOSYS)
			return -errno;
		if (linkat(m->dir, m->fresh, m->dir, m->file, 0) < 0)
			return -errno;
		(void)unlinkat(m->dir, m->fresh, 0);
	}
	return fsync(m->dir) < 0 && errno != EINVAL ? -errno : 0;
}

/* A file of that name is there whole, also after a crash, or not at all. */
static int
write_pem(struct making *m, bool public, EVP_PKEY *pkey)
{
	struct stat st;
	char *octets = NULL;

	(void)snprintf(
		m->file, sizeof(m->file), "%.240s%s", m->name, public ? ".pub" : "");
	(void)snprintf(m->fresh, sizeof(m->fresh), ".%.248s.new", m->file);
	if (fstatat(m->dir, m->file, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		/* Of a rename that a crash cut in two. */
		(void)unlinkat(m->dir, m->fresh, 0);
		return -EEXIST;
	}
	AUTO_FD fd = open_fresh(m, public ? 0644 : 0600);
	if (fd < 0)
		return fd;
	BIO *bio = pem_of(pkey, public);
	long n = bio ? BIO_get_mem_data(bio, &octets) : 0;
	int r = n > 0 ? fd_write_all(fd, octets, (size_t)n) : -EIO;
	BIO_free(bio);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = publish(m);
	if (r < 0)
		(void)unlinkat(m->dir, m->fresh, 0);
	return r;
}

/* The private key of which a crash left no public half; NULL: that is not what is there.
 */
static EVP_PKEY *
read_half(const char *path, const struct making *m)
{
	char public[NAME_MAX + 1], why[PASSPORT_WHY_MAX];
	struct stat st;

	(void)snprintf(public, sizeof(public), "%.240s.pub", m->name);
	if (fstatat(m->dir, public, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) {
		(void)snprintf(public, sizeof(public), ".%.240s.pub.new", m->name);
		(void)unlinkat(m->dir, public, 0);
		return NULL;
	}
	struct passport_key *key = passport_key_read(path, false, why, sizeof(why));
	EVP_PKEY *pkey = key ? key->pkey : NULL;
	free(key);
	return pkey;
}

static int
make_both(const char *path, struct making *m)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	int r = pkey ? write_pem(m, false, pkey) : -EIO;
	bool made = r == 0;

	if (r == -EEXIST) {
		EVP_PKEY *there = read_half(path, m);
		r = there ? 0 : r;
		if (there) {
			EVP_PKEY_free(pkey);
			pkey = there;
		}
	}
	if (r == 0)
		r = write_pem(m, true, pkey);
	if (r < 0 && made)
		(void)unlinkat(m->dir, m->name, 0); /* ours: we made it just now */
	EVP_PKEY_free(pkey);
	return r;
}

int
passport_key_make(const char *path, char *why, size_t why_n)
{
	struct making m = {.dir = -1};
	int r = open_directory(path, &m);

	if (r == 0)
		r = make_both(path, &m);
	fd_close(&m.dir);
	if (r == -EEXIST && strcmp(m.file, m.name) != 0)
		(void)snprintf(why, why_n, "%.500s.pub: %s; a key is never written over",
			path, strerror(-r));
	else if (r < 0)
		(void)snprintf(why, why_n, "%.500s: %s%s", path, strerror(-r),
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
