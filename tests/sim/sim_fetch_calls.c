/* What only the retriever asks of a system: names, directories, a terminal. */
#include "sim_fetch_calls.h"
#include "sim_calls.h"
#include "sim_disk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- directories
 * ---------------------------------------------------------------------------- */

struct listing {
	int fd;
	size_t n, at;
	char octets[32768];
};

void *
sim_fdopendir(int fd)
{
	struct listing *l = k_new(sizeof(*l));

	l->fd = fd;
	return l;
}

void *
sim_readdir64(void *dir)
{
	struct listing *l = dir;

	if (l->at == l->n) {
		ssize_t n = sim_getdents64(l->fd, l->octets, sizeof(l->octets));
		if (n <= 0)
			return NULL;
		l->n = (size_t)n;
		l->at = 0;
	}
	char *entry = l->octets + l->at;
	uint16_t n;
	memcpy(&n, entry + 16, sizeof(n)); /* d_ino, d_off, d_reclen */
	l->at += n;
	return entry;
}

int
sim_closedir(void *dir)
{
	return sim_close(((struct listing *)dir)->fd);
}

char *
sim_realpath_chk(const char *path, char *ret, size_t n)
{
	const struct inode *i = k_disk_walk(NULL, path);

	if (!i) {
		errno = ENOENT;
		return NULL;
	}
	char *to = ret ? ret : malloc(4096);
	(void)n;
	return to ? memcpy(to, path, strlen(path) + 1) : NULL;
}

char *
sim_realpath(const char *path, char *ret)
{
	return sim_realpath_chk(path, ret, 4096);
}

char *
sim_getcwd(char *ret, size_t n)
{
	return n > 1 ? memcpy(ret, "/", 2) : NULL;
}

/* The disk's all of it is safe. */
int
sim_syncfs(int fd)
{
	(void)fd;
	k_enter();
	int e = disk_fault(false);
	if (e)
		return k_fail(e);
	k_trace("%s %d syncs the disk", k_proc()->name, k_proc()->pid);
	disk_sync_all(disk_root());
	return 0;
}

ssize_t
sim_copy_file_range(int from, off_t *at, int to, off_t *to_at, size_t n, unsigned flags)
{
	(void)from, (void)at, (void)to, (void)to_at, (void)n, (void)flags;
	return k_fail(EXDEV);
}

int
sim_fchmod(int fd, mode_t mode)
{
	struct file *f = k_get(fd);

	if (f && f->kind == FILE_DISK)
		f->inode->mode = (f->inode->mode & S_IFMT) | mode;
	return f ? 0 : -1;
}

/* ---- the network
 * ------------------------------------------------------------------------------- */

/* Names are looked up by threads of ours; only numbers are asked for here. */
int
sim_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **ret)
{
	struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_family = AF_INET,
		.ai_socktype = SOCK_STREAM};

	(void)hints;
	return getaddrinfo(host, service, &numeric, ret);
}

int
sim_connect(int fd, const struct sockaddr *to, socklen_t n)
{
	struct file *f = k_get(fd);
	struct sockaddr_in in;

	k_enter();
	if (!f)
		return -1;
	if (to->sa_family != AF_INET || n < sizeof(in))
		return k_fail(ECONNREFUSED);
	memcpy(&in, to, sizeof(in));
	f->out = k_pipe();
	f->in = k_pipe();
	if (!k_connect(ntohs(in.sin_port), f->out, f->in))
		return k_fail(ECONNREFUSED);
	f->kind = FILE_STREAM;
	f->in->reader = f;
	f->out->writer = f;
	return 0;
}

/* ---- a person
 * ------------------------------------------------------------------------------------ */

/* Everything that is printed goes nowhere; what is said on errors is told. */
int
sim_printf_chk(int flag, const char *format, ...)
{
	(void)flag, (void)format;
	return 0;
}

int
sim_printf(const char *format, ...)
{
	(void)format;
	return 0;
}

size_t
sim_fwrite(const void *p, size_t size, size_t n, FILE *to)
{
	(void)to;
	k_trace("%s %d says %.*s", k_proc()->name, k_proc()->pid, (int)(size * n),
		(const char *)p);
	return n;
}

int
sim_putc(int c, FILE *to)
{
	(void)to;
	return c;
}

int
sim_getpwuid_r(unsigned uid, void *pw, char *text, size_t n, void **ret)
{
	(void)uid, (void)pw, (void)text, (void)n;
	*ret = NULL;
	return 0;
}

time_t
sim_time(time_t *ret)
{
	time_t now = (time_t)(K_EPOCH_S + k_world.now_ns / K_S);

	if (ret)
		*ret = now;
	return now;
}
