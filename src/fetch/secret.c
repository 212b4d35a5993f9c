/*
 * secret.c: reads secrets from a file, a descriptor, systemd's credentials, the
 * configuration; secret_ask.c asks commands and people.
 */
#include "fetch/secret_ask.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- memory: whole pages, so that locking one secret touches nothing else ---- */

static size_t
page_size(void)
{
	long n = sysconf(_SC_PAGESIZE);

	return n > 0 ? (size_t)n : 4096;
}

static size_t
pages_of(size_t n)
{
	size_t page = page_size();

	return (n + page - 1) / page * page;
}

uint8_t *
secret_memory(size_t n)
{
	void *p = NULL;

	if (posix_memalign(&p, page_size(), pages_of(n)) != 0)
		return NULL;
	/* Both are best effort: RLIMIT_MEMLOCK may be small. */
	(void)mlock(p, pages_of(n));
	(void)madvise(p, pages_of(n), MADV_DONTDUMP);
	return p;
}

void
secret_memory_free(uint8_t *p, size_t n)
{
	if (!p)
		return;
	explicit_bzero(p, n);
	/* A secret that a test or a caller made with malloc shares its pages. */
	if ((uintptr_t)p % page_size() == 0) {
		(void)munlock(p, pages_of(n));
		(void)madvise(p, pages_of(n), MADV_DODUMP);
	}
	free(p);
}

void
secret_wipe(struct secret *s)
{
	secret_memory_free(s->octets, s->n + 1);
	s->octets = NULL;
	s->n = 0;
}

/* ---- from octets to a secret ---- */

int
secret_make(const uint8_t *p, size_t n, const char *source, struct secret *ret, char *why,
	size_t why_n)
{
	const uint8_t *end = memchr(p, '\n', n);
	uint8_t *octets;

	if (end)
		n = (size_t)(end - p);
	if (end && n > 0 && p[n - 1] == '\r')
		n--;
	if (n == 0) {
		(void)snprintf(why, why_n,
			"%s is empty: its first line must be the secret", source);
		return -EINVAL;
	}
	if (n > SECRET_OCTETS_MAX) {
		(void)snprintf(why, why_n, "%s: the first line is longer than %d octets",
			source, SECRET_OCTETS_MAX);
		return -EFBIG;
	}
	if (memchr(p, '\0', n)) {
		(void)snprintf(why, why_n,
			"%s: there is a NUL in the secret, which no login "
			"can carry",
			source);
		return -EINVAL;
	}
	octets = secret_memory(n + 1);
	if (!octets) {
		(void)snprintf(why, why_n, "%s: there is no memory", source);
		return -ENOMEM;
	}
	memcpy(octets, p, n);
	octets[n] = '\0';
	*ret = (struct secret){n, octets};
	return 0;
}

/* Octet by octet: what follows the line in a pipe is somebody else's. */
static int
read_line(int fd, const char *source, struct secret *ret, char *why, size_t why_n)
{
	uint8_t *p = secret_memory(SECRET_READ_MAX);
	size_t n = 0;
	int rc = 0;

	if (!p) {
		(void)snprintf(why, why_n, "%s: there is no memory", source);
		return -ENOMEM;
	}
	while (n < SECRET_READ_MAX) {
		ssize_t got = read(fd, p + n, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			rc = -errno;
		if (got <= 0)
			break;
		if (p[n++] == '\n')
			break;
	}
	if (rc < 0)
		(void)snprintf(
			why, why_n, "%s cannot be read: %s", source, strerror(-rc));
	else
		rc = secret_make(p, n, source, ret, why, why_n);
	secret_memory_free(p, SECRET_READ_MAX);
	return rc;
}

/* ---- sources ---- */

static int
from_file(const char *path, struct secret *ret, char *why, size_t why_n)
{
	char source[300];
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int rc = fd < 0 ? -errno : 0;

	if (rc < 0) {
		(void)snprintf(why, why_n,
			"password file %s: %s: it must exist and be "
			"readable for this user",
			path, strerror(-rc));
		return rc;
	}
	(void)snprintf(source, sizeof(source), "password file %.250s", path);
	return read_line(fd, source, ret, why, why_n);
}

bool
secret_file_is_open(const char *path, char *why, size_t why_n)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 077))
		return false;
	(void)snprintf(why, why_n,
		"password file %s: others than its owner have access to it "
		"(mode %03o): chmod 600 it",
		path, (unsigned)(st.st_mode & 0777));
	return true;
}

static int
from_fd(int fd, struct secret *ret, char *why, size_t why_n)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0) {
		(void)snprintf(why, why_n,
			"--password-fd %d is not open: give it as in "
			"%d<file",
			fd, fd);
		return -EBADF;
	}
	/* Filters and delivery programs have no business with it. */
	(void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	return read_line(fd, "--password-fd", ret, why, why_n);
}

/* systemd.exec(5), LoadCredential= and SetCredential=. */
static int
from_credential(const char *name, struct secret *ret, char *why, size_t why_n)
{
	const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
	char source[300];
	AUTO_FD dirfd = -1;
	AUTO_FD fd = -1;

	if (name[0] == '\0' || strchr(name, '/') || strcmp(name, ".") == 0 ||
		strcmp(name, "..") == 0) {
		(void)snprintf(why, why_n,
			"password_credential %s: a name without slashes "
			"is wanted",
			name);
		return -EINVAL;
	}
	if (!dir || dir[0] != '/') {
		(void)snprintf(why, why_n,
			"password_credential %s: systemd gave no "
			"credentials: add LoadCredential=%s:/PATH to the "
			"unit",
			name, name);
		return -ENOENT;
	}
	dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd >= 0)
		fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	if (fd < 0) {
		int rc = -errno;

		(void)snprintf(why, why_n,
			"password_credential %s: %s in %s: add "
			"LoadCredential=%s:/PATH to the unit",
			name, strerror(-rc), dir, name);
		return rc;
	}
	(void)snprintf(source, sizeof(source), "password_credential %.250s", name);
	return read_line(fd, source, ret, why, why_n);
}

int
secret_read(const struct fetch_secret_source *from, const char *prompt,
	struct secret *ret, char *why, size_t why_n)
{
	if (from->fd >= 0)
		return from_fd(from->fd, ret, why, why_n);
	if (from->file)
		return from_file(from->file, ret, why, why_n);
	if (from->command)
		return secret_ask_command(
			from->command, "password_command", ret, why, why_n);
	if (from->credential)
		return from_credential(from->credential, ret, why, why_n);
	if (from->text)
		return secret_make((const uint8_t *)from->text, strlen(from->text),
			"password", ret, why, why_n);
	if (prompt)
		return secret_ask_person(prompt, ret, why, why_n);
	(void)snprintf(why, why_n,
		"no password was given: use password_file, "
		"password_command, password_credential or "
		"--password-fd");
	return -ENOENT;
}

int
secret_read_once(const struct fetch_secret_source *from, struct secret *kept,
	struct secret *ret, char *why, size_t why_n)
{
	int r = kept->octets ? 0 : secret_read(from, NULL, kept, why, why_n);

	return r == 0
		? secret_make(kept->octets, kept->n, "the password", ret, why, why_n)
		: r;
}

int
secret_token(const char *command, struct secret *ret, char *why, size_t why_n)
{
	return secret_ask_command(command, "token_command", ret, why, why_n);
}
