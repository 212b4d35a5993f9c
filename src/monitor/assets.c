#include "base/check.h"
#include "front/peers.h"
#include "ipc/who.h"
#include "monitor/monitor.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

const char *const program_names[PROGRAMS] = {"restante-log", "restante-control",
	"restante-auth", "restante-keys", "restante-auth-pam", "restante-auth-sql",
	"restante-auth-ldap", "restante-auth-command", "restante-auth-oauth",
	"restante-auth-krb5", "restante-lmtpd", "restante-front", "restante-keeper"};

static bool
failed(struct monitor *m, const char *what, int rc)
{
	report_text(m, LOG_LEVEL_ERROR, "%s: %s", what, strerrordesc_np(-rc));
	return false;
}

/* Beside restanted, as in a build directory, else where they are installed. */
static bool
open_programs(struct monitor *m)
{
	char here[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);
	char *slash = NULL;

	if (n > 0) {
		here[n] = '\0';
		slash = strrchr(here, '/');
	}
	if (slash)
		*slash = '\0';
	AUTO_FD beside =
		slash ? open(here[0] ? here : "/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	AUTO_FD libexec = open(RESTANTE_LIBEXECDIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < PROGRAMS; i++) {
		m->programs[i] = openat(beside, program_names[i], O_PATH | O_CLOEXEC);
		if (m->programs[i] < 0)
			m->programs[i] =
				openat(libexec, program_names[i], O_PATH | O_CLOEXEC);
		/* A helper comes with a package of its own, and is looked for when it is
		 * wanted. */
		bool helper = i >= PROGRAM_HELPER && i <= PROGRAM_HELPER_LAST;
		if (m->programs[i] < 0 && !helper) {
			report_text(m, LOG_LEVEL_ERROR,
				"%s is neither beside restanted nor in %s",
				program_names[i], RESTANTE_LIBEXECDIR);
			return false;
		}
	}
	return true;
}

bool
assets_helpers(struct monitor *m, const struct conf *c)
{
	uint32_t wanted[CORE_BACKENDS];
	bool good = true;

	setup_helper_limits(c, wanted);
	for (uint32_t i = 0; i < CORE_BACKENDS; i++) {
		if (wanted[i] == 0 || m->programs[PROGRAM_HELPER + i] >= 0)
			continue;
		report_text(m, LOG_LEVEL_ERROR,
			"%s is neither beside restanted nor in %s, install it and start "
			"restanted anew",
			program_names[PROGRAM_HELPER + i], RESTANTE_LIBEXECDIR);
		good = false;
	}
	return good;
}

/*
 * run_dir, a lock in it (two monitors there would take each other's socket away), and the
 * empty directory that becomes the root of the other programs.
 */
static bool
open_run_dir(struct monitor *m)
{
	const char *path = m->settings.conf->run_dir;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return failed(m, path, -errno);
	AUTO_FD dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return failed(m, path, -errno);
	m->run_lock =
		openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->run_lock < 0)
		return failed(m, path, -errno);
	if (flock(m->run_lock, LOCK_EX | LOCK_NB) < 0) {
		report_text(m, LOG_LEVEL_ERROR,
			"run_dir: %s: another restanted runs there, name another "
			"directory",
			path);
		return false;
	}
	if (mkdirat(dir, "empty", 0555) < 0 && errno != EEXIST)
		return failed(m, path, -errno);
	m->empty_dir =
		openat(dir, "empty", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->empty_dir < 0)
		return failed(m, path, -errno);
	/* Only an empty directory can be removed: so it was empty, and is fresh now. */
	fd_close(&m->empty_dir);
	if (unlinkat(dir, "empty", AT_REMOVEDIR) < 0 || mkdirat(dir, "empty", 0555) < 0) {
		report_text(m, LOG_LEVEL_ERROR,
			"%s/empty: %s, it must be an empty directory", path,
			strerrordesc_np(errno));
		return false;
	}
	m->empty_dir =
		openat(dir, "empty", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return m->empty_dir >= 0 || failed(m, path, -errno);
}

int
memfd_read_only(int fd)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int ro = open(path, O_RDONLY | O_CLOEXEC);
	return ro < 0 ? -errno : ro;
}

/* Of a fixed size for ever: who has mapped it can rely on that. */
static int
page_new(const char *name, size_t n)
{
	AUTO_FD fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)n) < 0)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return fd_take(&fd);
}

int
stat_page_new(void)
{
	return page_new("counters", sizeof(uint64_t) * STAT_COUNT);
}

int
who_table_new(uint32_t sessions)
{
	return page_new("who", (size_t)sessions * WHO_ROW);
}

static bool
open_peers(struct monitor *m)
{
	for (size_t i = 0; i < CORE_FRONTS; i++) {
		m->peers[i] = page_new("peers", PEERS_OCTETS);
		m->peers_read[i] = m->peers[i] < 0 ? -1 : memfd_read_only(m->peers[i]);
		if (m->peers_read[i] < 0)
			return failed(m, "the tables of addresses",
				m->peers[i] < 0 ? m->peers[i] : m->peers_read[i]);
	}
	if (getrandom(m->peers_key, sizeof(m->peers_key), 0) != sizeof(m->peers_key) ||
		getrandom(m->salts_key, sizeof(m->salts_key), 0) != sizeof(m->salts_key))
		return failed(m, "random octets", -EIO);
	return true;
}

static int
connect_syslog(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return fd_take(&fd);
}

int
assets_log_out(struct monitor *m)
{
	fd_close(&m->log_out);
	if (m->settings.conf->log == CONF_LOG_SYSLOG)
		m->log_out = connect_syslog();
	else
		m->log_out = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int rc = m->log_out;
	if (rc == -1)
		rc = -errno;
	if (rc < 0)
		m->log_out = -1;
	return rc;
}

static bool
open_control(struct monitor *m)
{
	const struct conf *c = m->settings.conf;
	int rc = listen_control(c, &m->control);

	if (rc < 0)
		return failed(m, c->control_socket, rc);
	if (c->has_metrics) {
		rc = listen_address(&c->metrics_at, &m->metrics_fd);
		if (rc < 0)
			return failed(m, "metrics", rc);
	}
	return true;
}

bool
assets_open(struct monitor *m)
{
	m->dev_null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (m->dev_null < 0)
		return failed(m, "/dev/null", -errno);
	if (!open_programs(m) || !open_run_dir(m) || !open_peers(m) || !open_control(m))
		return false;
	int rc = assets_log_out(m);
	return rc >= 0 ||
		failed(m,
			m->settings.conf->log == CONF_LOG_SYSLOG ? "/dev/log" : "stderr",
			rc);
}

void
assets_close(struct monitor *m)
{
	for (size_t i = 0; i < PROGRAMS; i++)
		fd_close(&m->programs[i]);
	for (size_t i = 0; i < CORE_FRONTS; i++) {
		fd_close(&m->peers[i]);
		fd_close(&m->peers_read[i]);
	}
	fd_close(&m->deny);
	fd_close(&m->dev_null);
	fd_close(&m->empty_dir);
	fd_close(&m->log_out);
	/* The one of ours alone: another monitor, or a reload, may name another. */
	listen_unix_remove(&m->control);
	fd_close(&m->control.fd);
	fd_close(&m->metrics_fd);
	fd_close(&m->run_lock);
	explicit_bzero(m->ticket_keys, sizeof(m->ticket_keys));
	explicit_bzero(m->salts_key, sizeof(m->salts_key));
}
