#include "monitor/monitor.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG		4096
#define CONTROL_BACKLOG 64

_Static_assert(CONF_SOCKET_PATH_MAX < sizeof(((struct sockaddr_un *)NULL)->sun_path),
	"a path of the configuration fits with its NUL");

static bool
name_of(int fd, struct sockaddr_un *ret, socklen_t *ret_n)
{
	*ret = (struct sockaddr_un){0};
	*ret_n = sizeof(*ret);
	return getsockname(fd, (struct sockaddr *)ret, ret_n) == 0 &&
		ret->sun_family == AF_UNIX;
}

void
listen_unix_name(int fd, char *text, size_t n)
{
	struct sockaddr_un a;
	socklen_t len;

	if (name_of(fd, &a, &len) && a.sun_path[0] == '/')
		(void)snprintf(text, n, "unix:%.*s", (int)sizeof(a.sun_path), a.sun_path);
	else
		(void)snprintf(text, n, "unknown");
}

/* The file itself, whatever is put there afterwards; -errno. */
static int
open_file(const char *path, struct stat *ret)
{
	AUTO_FD fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, ret) < 0)
		return -errno;
	return S_ISSOCK(ret->st_mode) ? fd_take(&fd) : -ENOTSOCK;
}

static int
open_own(const struct listen_socket *s, struct stat *ret)
{
	AUTO_FD fd = open_file(s->path, ret);

	if (fd < 0)
		return fd;
	return ret->st_dev == s->device && ret->st_ino == s->inode ? fd_take(&fd)
								   : -ESTALE;
}

bool
listen_unix_is_there(const struct listen_socket *s)
{
	struct stat st;
	AUTO_FD fd = s->path[0] ? open_own(s, &st) : -1;

	return fd >= 0;
}

void
listen_unix_remove(const struct listen_socket *s)
{
	/* Where the directory is not ours it stays, and the next start takes it away. */
	if (listen_unix_is_there(s))
		(void)unlink(s->path);
}

static struct sockaddr_un
address_of(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

/* 0 if nothing is in the way any more: a socket that nobody listens at is removed. */
static int
clear_the_way(const char *path)
{
	struct sockaddr_un a = address_of(path);
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 ||
		errno != ECONNREFUSED)
		return errno == EACCES ? -EACCES : -EADDRINUSE;
	return unlink(path) < 0 ? -errno : 0;
}

static int
bind_file(int fd, const struct conf_listener *l)
{
	struct sockaddr_un a = address_of(l->path);
	mode_t old = umask(0777 & ~l->mode);
	int rc = bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;

	(void)umask(old);
	return rc;
}

static int
give_to_group(int file, const struct conf_listener *l, const struct stat *st)
{
	gid_t gid = (gid_t)l->socket_group;

	if (gid == 0 || gid == st->st_gid)
		return 0;
	return fchownat(file, "", (uid_t)-1, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* What failed, in words, or NULL; *ret_rc has its -errno. */
static const char *
make(const struct conf_listener *l, struct listen_socket *s, int *ret_rc)
{
	struct stat st;

	*ret_rc = clear_the_way(l->path);
	if (*ret_rc < 0)
		return *ret_rc == -EEXIST ? "something that is no socket stands there"
			: *ret_rc == -EADDRINUSE ? "another program listens there"
						 : "what stands there cannot be removed";
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	*ret_rc = s->fd < 0 ? -errno : bind_file(s->fd, l);
	if (*ret_rc < 0)
		return *ret_rc == -ENOENT ? "its directory does not exist, make it"
					  : "it cannot be made there";
	AUTO_FD file = open_file(l->path, &st);
	*ret_rc = file < 0 ? file : 0;
	/* A link to another socket would get our mode and group. */
	if (file >= 0 && (st.st_uid != geteuid() || st.st_nlink != 1))
		*ret_rc = -ESTALE;
	if (*ret_rc < 0)
		return "it was taken away";
	(void)snprintf(s->path, sizeof(s->path), "%s", l->path);
	s->local = true;
	s->device = st.st_dev;
	s->inode = st.st_ino;
	*ret_rc = give_to_group(file, l, &st);
	if (*ret_rc < 0)
		return "socket_group cannot be set; after the start that needs a restart";
	*ret_rc = listen(s->fd, BACKLOG) < 0 ? -errno : 0;
	return *ret_rc < 0 ? "it cannot be listened at" : NULL;
}

/* Which file it is, so that what others put there later is not taken for it. */
static int
remember(const char *path, struct listen_socket *s)
{
	struct stat st;
	AUTO_FD file = open_file(path, &st);

	if (file < 0)
		return file;
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	s->local = true;
	s->device = st.st_dev;
	s->inode = st.st_ino;
	return 0;
}

/*
 * Below run_dir, whose lock is ours, it was left by a monitor that was killed, and whose
 * restante-control may not have followed yet. Elsewhere another server may listen there.
 */
static int
clear_control(const char *path, const char *run_dir)
{
	struct stat st;
	size_t n = strlen(run_dir);

	if (strncmp(path, run_dir, n) != 0 || path[n] != '/')
		return clear_the_way(path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	return 0;
}

int
listen_control(const struct conf *c, struct listen_socket *ret)
{
	const char *path = c->control_socket;
	const struct conf_listener l = {.path = path, .mode = 0600};
	struct listen_socket s = {.fd = -1};
	int rc = clear_control(path, c->run_dir);

	if (rc == 0) {
		s.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		rc = s.fd < 0 ? -errno : bind_file(s.fd, &l);
	}
	if (rc == 0)
		rc = remember(path, &s);
	if (rc == 0 && listen(s.fd, CONTROL_BACKLOG) < 0)
		rc = -errno;
	if (rc < 0) {
		listen_unix_remove(&s);
		fd_close(&s.fd);
	}
	*ret = s;
	return rc;
}

bool
listen_unix(struct monitor *m, const struct conf_listener *l, struct listen_socket *ret)
{
	struct listen_socket s = {.fd = -1};
	int rc;
	const char *failed = make(l, &s, &rc);

	if (!failed) {
		*ret = s;
		return true;
	}
	report_text(m, LOG_LEVEL_ERROR, "listener %s: %s: %s (%s)", l->name, l->address,
		failed, strerrordesc_np(-rc));
	listen_unix_remove(&s);
	fd_close(&s.fd);
	return false;
}

void
listen_unix_adjust(
	struct monitor *m, const struct conf_listener *l, const struct listen_socket *s)
{
	char path[40];
	struct stat st;
	AUTO_FD file = open_own(s, &st);

	if (file < 0)
		return;
	int rc = give_to_group(file, l, &st);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (rc == 0 && (st.st_mode & 0777) != l->mode && chmod(path, l->mode) < 0)
		rc = -errno;
	if (rc < 0)
		report_text(m, LOG_LEVEL_WARNING,
			"listener %s: %s: its mode and group could not be set (%s); they "
			"are when restanted is restarted",
			l->name, l->address, strerrordesc_np(-rc));
}
