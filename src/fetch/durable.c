#include "fetch/durable.h"

#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY  (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define COPY_BLOCK 65536

static bool
is_not_possible(int error)
{
	return error == EXDEV || error == EINVAL || error == ENOSYS ||
		error == EOPNOTSUPP || error == EBADF || error == EPERM;
}

int
durable_sync(int fd)
{
	int r;

	do
		r = fsync(fd);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/*
 * Syncs the directory in which `fd` is an entry. One that may be searched but not read
 * cannot be opened; then all of the file system is synced.
 */
static int
sync_above(int fd)
{
	AUTO_FD above = openat(fd, "..", DIRECTORY);

	if (above >= 0)
		return durable_sync(above);
	if (errno != EACCES)
		return -errno;
	return syncfs(fd) < 0 ? -errno : 0;
}

struct subdirectory {
	bool made, stands; /* stands: with a parent in which nothing can be made */
};

static int
make_subdirectory(int dir, const char *name, struct subdirectory *ret, int *ret_fd)
{
	int error;

	ret->made = mkdirat(dir, name, 0700) == 0;
	error = ret->made ? 0 : errno;
	/* A read-only or foreign parent is no harm where the directory stands. */
	ret->stands = error != 0 && error != EEXIST;
	*ret_fd = openat(dir, name, DIRECTORY);
	if (*ret_fd >= 0)
		return 0;
	return ret->stands ? -error : -errno;
}

int
durable_subdirectories(int dir, const char *const *names, size_t n, int *ret_fds)
{
	struct subdirectory each[DURABLE_SUBDIRECTORIES_MAX];
	bool to_sync = false;
	size_t done = 0;
	int r = 0;

	CHECK(n <= DURABLE_SUBDIRECTORIES_MAX);
	for (; r == 0 && done < n; done++) {
		r = make_subdirectory(dir, names[done], &each[done], &ret_fds[done]);
		to_sync = to_sync || !each[done].stands;
	}
	/* Also where they stood: a killed run may have made them and not synced. */
	bool failed_sync = false;
	if (r == 0 && to_sync) {
		r = durable_sync(dir);
		failed_sync = r < 0;
	}
	for (size_t i = 0; r < 0 && i < done; i++) {
		fd_close(&ret_fds[i]);
		if (failed_sync && each[i].made)
			(void)unlinkat(dir, names[i], AT_REMOVEDIR);
	}
	return r;
}

int
durable_subdirectory(int dir, const char *name, int *ret_fd)
{
	int fd = -1;
	int r = durable_subdirectories(dir, &name, 1, &fd);

	if (r == 0)
		*ret_fd = fd;
	return r;
}

/* The deepest directory of the path that exists; *ret_rest is what is missing of it. */
static int
open_existing(const char *path, size_t n, int *ret_fd, size_t *ret_n)
{
	char part[PATH_MAX];

	if (n >= sizeof(part))
		return -ENAMETOOLONG;
	for (;;) {
		memcpy(part, path, n);
		part[n] = 0;
		int fd = open(n == 0 ? "." : part, DIRECTORY);
		if (fd >= 0) {
			*ret_fd = fd;
			*ret_n = n;
			return 0;
		}
		if (errno != ENOENT || n == 0)
			return -errno;
		while (n > 0 && part[n - 1] == '/')
			n--;
		while (n > 0 && part[n - 1] != '/')
			n--;
	}
}

static int
make_path(const char *path, size_t n, int *ret_fd)
{
	AUTO_FD at = -1;
	size_t done;
	int r = open_existing(path, n, &at, &done);

	if (r < 0)
		return r;
	/* Made by a killed run, perhaps, and not synced; for "/" and "." harmless. */
	r = sync_above(at);
	while (r == 0 && done < n) {
		char name[NAME_MAX + 1];
		size_t name_n = 0;
		int next;

		while (done < n && path[done] == '/')
			done++;
		while (done + name_n < n && path[done + name_n] != '/')
			name_n++;
		if (name_n == 0)
			break;
		if (name_n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path + done, name_n);
		name[name_n] = 0;
		done += name_n;
		r = durable_subdirectory(at, name, &next);
		if (r == 0) {
			fd_close(&at);
			at = next;
		}
	}
	if (r == 0)
		*ret_fd = fd_take(&at);
	return r;
}

int
durable_directory(const char *path, int *ret_fd)
{
	return path[0] ? make_path(path, strlen(path), ret_fd) : -ENOENT;
}

int
durable_parent(const char *path, int *ret_fd, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (!name[0])
		return -EISDIR;
	size_t n = slash ? (size_t)(slash - path) : 0;
	int r = make_path(path, slash == path ? 1 : n, ret_fd);
	if (r == 0)
		*ret_name = name;
	return r;
}

int
durable_publish(int from, const char *old_name, int to, const char *name)
{
	if (renameat2(from, old_name, to, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	if (linkat(from, old_name, to, name, 0) < 0)
		return -errno;
	if (unlinkat(from, old_name, 0) < 0) {
		int error = errno;

		/* One name or the other, never both. */
		if (unlinkat(to, name, 0) < 0)
			return -errno;
		return -error;
	}
	return 0;
}

int
durable_copy(int from, int to, uint64_t n)
{
	off_t at = 0;

	while ((uint64_t)at < n) {
		ssize_t r = copy_file_range(from, &at, to, NULL, n - (uint64_t)at, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && !is_not_possible(errno))
			return -errno;
		if (r <= 0)
			break;
	}
	if ((uint64_t)at == n)
		return 0;
	AUTO_FREE uint8_t *block = malloc(COPY_BLOCK);
	if (!block)
		return -ENOMEM;
	for (uint64_t done = (uint64_t)at; done < n;) {
		size_t piece = n - done < COPY_BLOCK ? (size_t)(n - done) : COPY_BLOCK;
		int r = fd_pread_all(from, block, piece, done);

		if (r == 0)
			r = fd_write_all(to, block, piece);
		if (r < 0)
			return r;
		done += piece;
	}
	return 0;
}

int
durable_scan(int dir, int (*take)(void *arg, const char *name), void *arg)
{
	int fd = openat(dir, ".", DIRECTORY);

	if (fd < 0)
		return -errno;
	DIR *entries = fdopendir(fd);
	if (!entries) {
		int error = errno;

		fd_close(&fd);
		return -error;
	}
	int r = 0;
	while (r == 0) {
		errno = 0;
		const struct dirent *e = readdir(entries);
		if (!e) {
			r = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = take(arg, e->d_name);
	}
	(void)closedir(entries); /* nothing was written */
	return r;
}

static struct {
	pthread_once_t once;
	EVP_MD *found;
} sha256 = {.once = PTHREAD_ONCE_INIT};

static void
find_sha256(void)
{
	sha256.found = EVP_MD_fetch(NULL, "SHA256", NULL);
}

const EVP_MD *
durable_sha256(void)
{
	CHECK(pthread_once(&sha256.once, find_sha256) == 0);
	return sha256.found ? sha256.found : EVP_sha256();
}

int
durable_hash(const struct view *fields, size_t n, uint8_t ret[DIGEST_OCTETS])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned out = 0;
	bool good = c && EVP_DigestInit_ex(c, durable_sha256(), NULL) == 1;

	for (size_t i = 0; good && i < n; i++) {
		uint8_t length[8];

		for (size_t k = 0; k < 8; k++)
			length[k] = (uint8_t)((uint64_t)fields[i].n >> (8 * k));
		good = EVP_DigestUpdate(c, length, sizeof(length)) == 1 &&
			EVP_DigestUpdate(c, fields[i].p, fields[i].n) == 1;
	}
	good = good && EVP_DigestFinal_ex(c, ret, &out) == 1;
	EVP_MD_CTX_free(c);
	return good ? 0 : -ENOMEM;
}

void
durable_hex(const uint8_t *p, size_t n, char *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = digits[p[i] >> 4];
		ret[2 * i + 1] = digits[p[i] & 15];
	}
	ret[2 * n] = 0;
}

bool
durable_unhex(const char *text, size_t n, uint8_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		char c = text[i];
		unsigned v;

		if (c >= '0' && c <= '9')
			v = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = (unsigned)(c - 'a') + 10;
		else
			return false;
		if (i % 2 == 0)
			ret[i / 2] = (uint8_t)(v << 4);
		else
			ret[i / 2] = (uint8_t)(ret[i / 2] | v);
	}
	return true;
}

int
durable_random(uint8_t *ret, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = getrandom(ret + done, n - done, 0);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0)
			done += (size_t)r;
	}
	return 0;
}

struct view
durable_view(const char *text)
{
	return (struct view){(const uint8_t *)text, strlen(text)};
}

void
durable_hostname(char ret[DURABLE_HOST_MAX])
{
	char name[HOST_NAME_MAX + 1] = "";
	size_t n = 0;

	if (gethostname(name, sizeof(name) - 1) < 0)
		name[0] = 0;
	for (; n < DURABLE_HOST_MAX - 1 && name[n]; n++) {
		uint8_t c = (uint8_t)name[n], low = ascii_lower(c);
		bool good = (low >= 'a' && low <= 'z') || ascii_is_digit(c) || c == '.' ||
			c == '-';

		ret[n] = good ? (char)c : '-';
	}
	if (n == 0)
		ret[n++] = 'h';
	ret[n] = 0;
}

void
durable_printable(const char *text, size_t n, char *ret, size_t cap)
{
	size_t out = 0;

	for (size_t i = 0; i < n && out + 1 < cap; i++) {
		uint8_t c = (uint8_t)text[i];

		ret[out++] = c >= 0x20 && c <= 0x7E ? (char)c : '?';
	}
	ret[out] = 0;
}
