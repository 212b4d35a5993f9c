#include "base/check.h"
#include "monitor/monitor.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* No name, and none can be given to it: gone with its last descriptor. */
#define SPOOL_FLAGS (O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC)

/* Keepers take it only where a read never has to wait (os/sealed.h), or from memory. */
static bool
keepers_take(int file)
{
	AUTO_FD read_only = memfd_read_only(file);

	return read_only >= 0 &&
		(slice_file_check(read_only, 0, 0) == 0 ||
			fcntl(read_only, F_GET_SEALS) >= 0);
}

/* Only the file system can tell whether it has such files: one is made. */
bool
spool_open(struct monitor *m, const char *path, int *ret_fd)
{
	AUTO_FD dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0) {
		report_text(m, LOG_LEVEL_ERROR, "spool_dir: %s: %s", path,
			strerrordesc_np(errno));
		return false;
	}
	AUTO_FD probe = openat(dir, ".", SPOOL_FLAGS, 0600);
	if (probe < 0) {
		report_text(m, LOG_LEVEL_ERROR,
			"spool_dir: %s: no file without a name can be made there (%s), "
			"name another directory",
			path, strerrordesc_np(errno));
		return false;
	}
	*ret_fd = -1;
	if (keepers_take(probe))
		*ret_fd = fd_take(&dir);
	else
		report_text(m, LOG_LEVEL_WARNING,
			"spool_dir: %s: its file system cannot read without waiting "
			"(overlay, NFS and FUSE cannot), so large messages are spooled "
			"in "
			"memory, up to spool_total; name a directory of ext4, xfs or "
			"btrfs",
			path);
	return true;
}

/* 0 and both descriptors, or -errno. */
static int
make_file(struct monitor *m, int ret_fds[2])
{
	if (!core_may_spool(m->core, clock_ms()))
		return -EBUSY;
	AUTO_FD file = m->settings.spool < 0
		? sealed_memory("restante-spool")
		: openat(m->settings.spool, ".", SPOOL_FLAGS, 0600);
	if (file < 0)
		return m->settings.spool < 0 ? file : -errno;
	/* What keepers get cannot be written to, whoever hands it on. */
	int read_only = memfd_read_only(file);
	if (read_only < 0)
		return read_only;
	ret_fds[0] = fd_take(&file);
	ret_fds[1] = read_only;
	return 0;
}

void
spool_asked(struct monitor *m, uint64_t session)
{
	uint8_t storage[64];
	struct buf out = buf_over(storage, sizeof(storage));
	int fds[2] = {-1, -1};
	int rc = make_file(m, fds);
	struct msg_spool_file answer = {
		.session = session, .error = rc < 0 ? (uint32_t)-rc : 0};
	struct log_record r;

	/* Those beyond the rate are load, and the sender is told to come again. */
	if (rc < 0 && rc != -EBUSY) {
		log_begin(&r, LOG_LEVEL_ERROR, "spool_not_made");
		log_text(&r, "spool_dir", conf_get(m->settings.conf, "spool_dir"));
		log_error(&r, "reason", rc);
		report(m, &r);
	}
	msg_spool_file_put(&answer, &out);
	CHECK(!out.full);
	/* One that does not read its channel is ended by this. */
	(void)child_send(m, CORE_LMTPD, buf_view(&out), fds, rc < 0 ? 0 : 2);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}
