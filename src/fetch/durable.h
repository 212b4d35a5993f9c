/*
 * durable.h: directories, copies and hashes for what must survive a power cut. Results
 * are 0 or -errno.
 */
#ifndef FETCH_DURABLE_H
#define FETCH_DURABLE_H

#include "fetch/account.h"
#include "fetch/letter.h"

#include <openssl/types.h>

/*
 * The directory, made where it is missing with all above it (0700), and each entry on the
 * way synced before anything is made below it. *ret_fd: open, the caller closes.
 */
[[nodiscard]] int durable_directory(const char *path, int *ret_fd);
/* The same one step below an open directory. */
[[nodiscard]] int durable_subdirectory(int dir, const char *name, int *ret_fd);
/* n of them with one sync; what is not 0 leaves none open. */
#define DURABLE_SUBDIRECTORIES_MAX 3
[[nodiscard]] int durable_subdirectories(
	int dir, const char *const *names, size_t n, int *ret_fds);
/* For path/to/file: the directory, made as above; *ret_name points into path. */
[[nodiscard]] int durable_parent(const char *path, int *ret_fd, const char **ret_name);
/* fsync over EINTR. */
[[nodiscard]] int durable_sync(int fd);
/*
 * A rename that never replaces. -EEXIST: the name is taken, nothing changed. Where the
 * file system cannot do that in one step: link, then unlink.
 */
[[nodiscard]] int durable_publish(
	int from, const char *old_name, int to, const char *name);
/* n octets from the start of one file to the end of the other. */
[[nodiscard]] int durable_copy(int from, int to, uint64_t n);
/* All entries but "." and ".."; stops with take's result where that is not 0. */
[[nodiscard]] int durable_scan(
	int dir, int (*take)(void *arg, const char *name), void *arg);

/* Found once: with EVP_sha256() OpenSSL looks through its providers at each digest. */
const EVP_MD *durable_sha256(void);
/* SHA-256 over the lengths and octets of n fields. */
[[nodiscard]] int durable_hash(
	const struct view *fields, size_t n, uint8_t ret[DIGEST_OCTETS]);
/* 2 * n lower case hex digits and a NUL. */
void durable_hex(const uint8_t *p, size_t n, char *ret);
/* n lower case hex digits (n even) to n / 2 octets; false: others stand there. */
[[nodiscard]] bool durable_unhex(const char *text, size_t n, uint8_t *ret);
[[nodiscard]] int durable_random(uint8_t *ret, size_t n);
struct view durable_view(const char *text);
/* This host's name, cleaned for file names and header fields: letters, digits, dot and
 * hyphen, at most 25 octets, never empty. */
#define DURABLE_HOST_MAX 26
void durable_hostname(char ret[DURABLE_HOST_MAX]);
/* Printable ASCII only; anything else becomes '?'. */
void durable_printable(const char *text, size_t n, char *ret, size_t cap);

#endif
