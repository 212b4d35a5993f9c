/* restante-lmtpd: LMTP with MTAs. The checklist of its start; then the loop. */
#include "base/check.h"
#include "ipc/start.h"
#include "lmtpd/lmtpd.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

enum status {
	STATUS_SOFTWARE = 70, /* sysexits(3) */
	STATUS_OS = 71,
	STATUS_PROTOCOL = 76,
};

#define DESCRIPTORS_KEPT 128U /* for channels, listeners and what comes unasked */
#define DESCRIPTORS_EACH 4U   /* of a connection: socket, spool in memory and as a file */

void
lmtpd_end(struct lmtpd *l, int status)
{
	/* Once there is no monitor, what others still have to say does not count. */
	if (!l->has_ended)
		l->status = status;
	l->has_ended = true;
	loop_stop(l->loop);
}

static int
fail(const char *what, int err, int status)
{
	start_fail(&start_words, what, err);
	return status;
}

/* At most half for connections; the others are ways to keepers, one a recipient. */
static int
divide_descriptors(struct lmtpd *l)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return -errno;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0 || getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return -errno;
	uint64_t n = lim.rlim_cur < UINT32_MAX ? lim.rlim_cur : UINT32_MAX;
	if (n < DESCRIPTORS_KEPT + 4 * DESCRIPTORS_EACH)
		return -EMFILE;
	n -= DESCRIPTORS_KEPT;
	uint64_t most = n / 2 / DESCRIPTORS_EACH;
	if (l->connections_max > most) {
		report_error("connections_limited",
			"the limit of open files allows fewer connections than asked for",
			0);
		l->connections_max = (uint32_t)most;
	}
	uint64_t asks = n - l->connections_max * (uint64_t)DESCRIPTORS_EACH;
	l->asks_max = (uint32_t)(asks < LMTPD_ASKS_MAX ? asks : LMTPD_ASKS_MAX);
	return 0;
}

static int
make_places(struct lmtpd *l)
{
	l->asks = calloc(l->asks_max, sizeof(*l->asks));
	l->vacant = calloc(l->asks_max, sizeof(*l->vacant));
	if (!l->asks || !l->vacant)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->asks_max; i++)
		l->vacant[i] = l->asks_max - 1 - i;
	l->vacant_n = l->asks_max;
	return 0;
}

static int
enter_cage(struct lmtpd *l, uint32_t *ret_parts)
{
	static const struct start_words words = {.event = "cage_failed", .key = "what"};
	uint64_t most = l->limits.message_octets;
	struct sandbox_plan plan = {.profile = SANDBOX_LMTPD,
		.uid = l->uid,
		.gid = l->uid,
		.empty_dir = l->empty_dir,
		.fsize_max = most > 0 ? most : UINT64_MAX};
	int r = start_cage(&plan, &words, ret_parts);

	fd_close(&l->empty_dir);
	return r;
}

static int
start(struct lmtpd *l)
{
	uint32_t cage;
	int r;

	r = lmtpd_monitor_setup(l);
	if (r == -EPIPE)
		return 0;
	if (r < 0)
		return fail("set-up from the monitor", r, STATUS_PROTOCOL);
	r = stat_open(FD_STAT);
	if (r < 0)
		return fail("counters", r, STATUS_OS);
	r = divide_descriptors(l);
	if (r == 0)
		r = make_places(l);
	if (r < 0)
		return fail("places for recipients", r, STATUS_OS);
	r = enter_cage(l, &cage);
	if (r < 0)
		return STATUS_OS;
	r = lmtpd_monitor_start(l);
	if (r == -EPIPE)
		return 0;
	if (r < 0)
		return fail("channel to the monitor", r, STATUS_OS);
	report_start(l, cage);
	if (start_ready(cage) < 0)
		lmtpd_end(l, STATUS_OS);
	return -1;
}

int
main(void)
{
	sandbox_first();
	struct lmtpd *l = calloc(1, sizeof(*l));
	if (!l)
		return STATUS_OS;
	l->monitor.fd = FD_MONITOR;
	l->auth.fd = l->empty_dir = -1;
	l->loop = loop_new();
	if (!l->loop) {
		free(l);
		return fail("event loop", -ENOMEM, STATUS_OS);
	}
	lmtpd_accept_init(l);
	int status = start(l);
	if (status >= 0)
		return status;
	while (!l->has_ended)
		if (loop_run(l->loop) < 0)
			return fail("event loop", -EIO, STATUS_OS);
	return l->status;
}
