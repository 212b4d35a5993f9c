/* restante-front: POP3 to the network. The checklist of its start; then the loop. */
#include "front/front.h"

#include "base/check.h"
#include "front/places.h"
#include "ipc/start.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum status {
	STATUS_SOFTWARE = 70, /* sysexits(3) */
	STATUS_OS = 71,
	STATUS_PROTOCOL = 76,
	STATUS_CONFIG = 78,
};

void
front_end(struct front *f, int status)
{
	/* Once there is no monitor, what others still have to say does not count. */
	if (!f->has_ended)
		f->status = status;
	f->has_ended = true;
	loop_stop(f->loop);
}

static int
fail(const char *what, int err, int status)
{
	start_fail(&start_words, what, err);
	return status;
}

/* Places for sessions, and what is left over of the descriptors for slices. */
static int
divide_descriptors(struct front *f)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return -errno;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0 || getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return -errno;
	uint64_t n = lim.rlim_cur < UINT32_MAX ? lim.rlim_cur : UINT32_MAX;
	uint64_t places = front_places(n);
	if (places == 0)
		return -EMFILE;
	/* The monitor tells the operator, where that is not what he asked for. */
	if (f->sessions_max > places)
		f->sessions_max = (uint32_t)places;
	f->ahead_max = (uint32_t)(n - FRONT_DESCRIPTORS_KEPT) -
		f->sessions_max * FRONT_DESCRIPTORS_EACH;
	return 0;
}

static int
make_places(struct front *f)
{
	f->conns = calloc(f->sessions_max, sizeof(struct conn *));
	f->vacant = calloc(f->sessions_max, sizeof(uint32_t));
	if (!f->conns || !f->vacant)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->sessions_max; i++)
		f->vacant[i] = f->sessions_max - 1 - i;
	f->vacant_n = f->sessions_max;
	return 0;
}

static int
enter_cage(struct front *f, uint32_t *ret_parts)
{
	static const struct start_words words = {.event = "cage_failed", .key = "what"};
	struct sandbox_plan plan = {.profile = SANDBOX_FRONT,
		.uid = f->uid,
		.gid = f->uid,
		.empty_dir = f->empty_dir,
		.fsize_max = 0};
	int r = start_cage(&plan, &words, ret_parts);

	fd_close(&f->empty_dir);
	return r;
}

static int
start(struct front *f)
{
	uint32_t cage;
	int r;

	r = monitor_read_setup(f);
	if (r == -EPIPE)
		return 0;
	if (r < 0)
		return fail("set-up from the monitor", r, STATUS_PROTOCOL);
	r = stat_open(FD_STAT);
	if (r < 0)
		return fail("counters", r, STATUS_OS);
	r = tls_warm_up();
	f->signer = tls_signer_new(keys_link_sign, &f->keys);
	if (r < 0 || !f->signer)
		return fail("TLS library", r < 0 ? r : -ENOMEM, STATUS_SOFTWARE);
	r = divide_descriptors(f);
	if (r == 0)
		r = make_places(f);
	if (r < 0)
		return fail("places for sessions", r, STATUS_OS);
	r = peers_open(&f->peers, NULL, 0, (struct view){NULL, 0});
	if (r < 0)
		return fail("table of addresses", r, STATUS_OS);
	r = enter_cage(f, &cage);
	if (r < 0)
		return STATUS_OS;
	r = monitor_start(f);
	if (r < 0)
		return fail("channel to the monitor", r, STATUS_OS);
	/* One that would serve without them must not replace one that has them. */
	if (f->has_certificates && !f->tls && !f->tls_setup)
		return fail("certificates", 0, STATUS_CONFIG);
	report_start(f, cage);
	if (start_ready(cage) < 0)
		front_end(f, STATUS_OS);
	return -1;
}

int
main(void)
{
	sandbox_first();
	struct front *f = aligned_alloc(alignof(struct front), sizeof(*f));
	if (!f)
		return STATUS_OS;
	/* What connections work with is left alone: it takes memory as it is used. */
	memset(f, 0, offsetof(struct front, rx));
	f->monitor.source.fd = FD_MONITOR;
	f->auth.source.fd = f->empty_dir = -1;
	keys_link_init(&f->keys);
	f->dot = dot_best();
	f->room = (struct stream_room){.p = f->records, .n = sizeof(f->records)};
	f->loop = loop_new();
	if (!f->loop)
		return fail("event loop", -ENOMEM, STATUS_OS);
	accept_pause_init(f);
	budget_init(f);
	int status = start(f);
	if (status >= 0)
		return status;
	while (!f->has_ended)
		if (loop_run(f->loop) < 0)
			return fail("event loop", -EIO, STATUS_OS);
	return f->status;
}
