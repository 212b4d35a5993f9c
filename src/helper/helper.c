/* The main of every helper: start, cage, and one question after another. */
#include "helper/helper.h"

#include "base/check.h"
#include "helper/helper_state.h"
#include "ipc/log.h"
#include "ipc/start.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "stat/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#define IDLE_MS 1000
/* What a question may take beyond its time, before the process ends itself. */
#define GRACE_MS 5000
/*
 * Auth that ended is replaced, and a new channel comes. One that closed ours for a fault
 * is still there: then the end of this process is what brings a new one.
 */
#define ALONE_MS 30000
/* Auth reads all the time; one that does not is ending, and its answer is dropped. */
#define SEND_MS 1000

static void
fault(const char *peer, const char *what, uint16_t number)
{
	struct log_record r;

	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_begin(&r, LOG_LEVEL_ERROR, "protocol_fault");
	log_str(&r, "peer", peer);
	log_str(&r, "message", message_name(number));
	log_str(&r, "what", what);
	log_send(&r);
}

/* ---- questions ------------------------------------------------------------------ */

/* A library that waits for ever must not: the process ends, and is started again. */
static void
watch(uint64_t ms)
{
	struct itimerval t = {.it_value = {.tv_sec = (time_t)(ms / 1000),
				      .tv_usec = (suseconds_t)(ms % 1000) * 1000}};

	(void)setitimer(ITIMER_REAL, &t, NULL);
}

static void
send_answer(struct helper *h, struct view message)
{
	uint64_t end = clock_ms() + SEND_MS;
	int r;

	while ((r = channel_send(h->auth, message, NULL, 0)) == -EAGAIN) {
		struct pollfd p = {.fd = h->auth, .events = POLLOUT};
		uint64_t now = clock_ms();
		if (now >= end || (poll(&p, 1, (int)(end - now)) < 0 && errno != EINTR))
			break;
	}
	/* Where auth is gone, reading finds it out. */
	if (r < 0)
		stat_add(STAT_HELPER_ANSWERS_LOST, 1);
}

static void
answer(struct helper *h, uint64_t question, const struct helper_answer *a)
{
	const char *reason = a->reason ? a->reason : "";
	struct buf out = buf_over(h->out, sizeof(h->out));
	struct msg_answer m = {
		.question = question,
		.outcome = (uint8_t)a->outcome,
		.valid_s = a->valid_s,
		.name = buf_view(&a->name),
		.line = buf_view(&a->line),
		.octets = buf_view(&a->octets),
		.reason = {(const uint8_t *)reason, strnlen(reason, HELPER_REASON_MAX)},
	};

	msg_answer_put(&m, &out);
	CHECK(!out.full);
	stat_add(STAT_HELPER_ANSWERS, 1);
	if (a->outcome == ANSWER_TEMPORARY)
		stat_add(STAT_HELPER_TEMPORARY, 1);
	send_answer(h, buf_view(&out));
	explicit_bzero(out.p, out.n);
}

static void
wipe(struct buf *b)
{
	explicit_bzero(b->p, b->cap);
}

static void
ask(struct helper *h, const struct msg_ask *m)
{
	struct helper_ask question = {.kind = (enum ask_kind)m->kind,
		.mechanism = m->mechanism,
		.talk = m->talk,
		.name = m->name,
		.secret = m->secret,
		.address = m->address};
	struct helper_answer a = {.outcome = ANSWER_TEMPORARY,
		.name = buf_over(h->name, sizeof(h->name)),
		.line = buf_over(h->line, sizeof(h->line)),
		.octets = buf_over(h->octets, sizeof(h->octets))};

	watch((uint64_t)h->timeout_ms + GRACE_MS);
	h->ops->ask(h, &question, &a);
	watch(0);
	/* Half an answer is none, and what is not FOUND carries no user. */
	if (a.name.full || a.line.full || a.octets.full) {
		a.outcome = ANSWER_TEMPORARY;
		a.reason = "the answer of the database is too long";
	}
	if (a.outcome != ANSWER_FOUND)
		a.line.n = 0;
	if (a.outcome == ANSWER_TEMPORARY)
		a.name.n = a.octets.n = 0;
	if (m->kind != ASK_END)
		answer(h, m->question, &a);
	wipe(&a.name);
	wipe(&a.line);
	wipe(&a.octets);
}

static void
leave_auth(struct helper *h)
{
	fd_close(&h->auth);
	h->alone_ms = clock_ms();
	if (h->ops->forget)
		h->ops->forget(h);
}

/* One message, so that the monitor is looked at between two questions. */
static void
auth_ready(struct helper *h)
{
	struct view payload;
	struct msg_ask m;
	int r = channel_recv(h->auth, &h->received, 0);

	if (r == -EAGAIN)
		return;
	if (r < 0) {
		leave_auth(h);
		return;
	}
	uint16_t number = message_number(h->received.message, &payload);
	if (h->received.truncated || number != MSG_ASK || !msg_ask_get(&m, payload) ||
		m.kind < ASK_LOOKUP || m.kind > ASK_END) {
		fault("auth", "malformed, or no question", number);
		leave_auth(h);
	} else {
		ask(h, &m);
	}
	explicit_bzero(h->received.octets, h->received.message.n);
}

/* ---- the monitor ---------------------------------------------------------------- */

/* False: it is gone, or wants us to be. */
static bool
monitor_ready(struct helper *h)
{
	struct view payload;
	struct received *r = &h->received;
	int e = channel_recv(FD_MONITOR, r, 1);

	if (e == -EAGAIN)
		return true;
	if (e < 0)
		return false;
	uint16_t number = message_number(r->message, &payload);
	if (!r->truncated && number == MSG_HELPER_CHANNEL && payload.n == 0 &&
		r->nfds == 1) {
		if (h->auth >= 0)
			leave_auth(h);
		h->auth = received_take(r, 0);
	} else {
		fault("monitor", "malformed, or not for a helper", number);
	}
	received_done(r);
	return true;
}

static bool
is_forgotten(const struct helper *h)
{
	return h->auth < 0 && h->alone_ms > 0 && clock_ms() - h->alone_ms >= ALONE_MS;
}

/* Until something has to be done without a message. */
static int
wait_ms(const struct helper *h)
{
	if (h->ops->idle)
		return IDLE_MS;
	return h->auth < 0 && h->alone_ms > 0 ? ALONE_MS : -1;
}

static int
run(struct helper *h)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = FD_MONITOR, .events = POLLIN},
			{.fd = h->auth, .events = POLLIN}};
		int n = poll(p, 2, wait_ms(h));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (is_forgotten(h))
			return -ENOTCONN;
		if (n < 0)
			continue;
		if (n == 0 && h->ops->idle) {
			watch((uint64_t)h->timeout_ms + GRACE_MS);
			h->ops->idle(h);
			watch(0);
			continue;
		}
		if (p[0].revents && !monitor_ready(h))
			return 0;
		/* Unless the monitor has just given another. */
		if (p[1].revents && p[1].fd == h->auth)
			auth_ready(h);
	}
}

/* ---- start ---------------------------------------------------------------------- */

static int
fail(const char *what, int error)
{
	start_fail(&start_words, what, error);
	return EX_OSERR;
}

/* What was wrong with a set-up, or NULL. */
static const char *
take_setup(struct helper *h, const struct msg_helper_setup *m)
{
	if (m->backend != h->ops->backend)
		return "set-up: it is for another helper";
	if (!helper_take_settings(h, m->settings))
		return "set-up: the settings are malformed";
	if (m->hostname.n > 0)
		memcpy(h->hostname, m->hostname.p, m->hostname.n);
	h->hostname[m->hostname.n] = 0;
	h->timeout_ms = m->timeout_ms;
	return m->timeout_ms > 0 ? NULL : "set-up: there is no time for an answer";
}

/* 0, or the status to end with. */
static int
enter_cage(const struct helper_ops *ops, const struct msg_helper_setup *m)
{
	bool filtered = !ops->runs_programs && !ops->stays_root;
	AUTO_FD root = filtered ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct sandbox_plan plan = {
		.profile = SANDBOX_HELPER,
		.uid = m->uid,
		.gid = m->gid,
		.empty_dir = -1, /* libraries look for files of their own, late */
		.landlock_dirs = &root,
		.landlock_dirs_n = 1,
		.landlock_off = !filtered || ops->writes_files,
		.connects = true,
		.stays_root = ops->stays_root,
		.runs_programs = !filtered,
		.fsize_max = UINT64_MAX,
		.required = SANDBOX_NO_NEW_PRIVS | (filtered ? SANDBOX_SECCOMP : 0U) |
			(m->uid ? SANDBOX_USER : 0U),
	};
	uint32_t parts;

	if (filtered && root < 0)
		return fail("the directory /", -errno);
	if (geteuid() != 0)
		plan.required &= ~(uint32_t)SANDBOX_USER;
	if (start_cage(&plan, &start_words, &parts) < 0)
		return EX_OSERR;
	int r = start_ready(parts);
	return r < 0 ? fail("ready", r) : EX_OK;
}

/* Everything up to READY; 0, or the status to end with. */
static int
start(struct helper *h, bool *ret_unwanted)
{
	struct view payload;
	struct msg_helper_setup m;
	int r = start_receive(MSG_HELPER_SETUP, 1, &h->received, &payload);

	*ret_unwanted = r == -EPIPE;
	if (r < 0)
		return *ret_unwanted ? EX_OK : fail("set-up", r);
	if (!msg_helper_setup_get(&m, payload))
		return fail("set-up", -EPROTO);
	const char *why = take_setup(h, &m);
	if (!why)
		why = h->ops->prepare(h);
	if (why)
		return fail(why, 0);
	int status = enter_cage(h->ops, &m);
	/* It may be what a library shows after a fault: nothing of it stays. */
	received_done(&h->received);
	return status;
}

int
helper_main(const struct helper_ops *ops)
{
	static struct helper helper; /* too large for a stack */
	struct helper *h = &helper;
	bool unwanted = false;

	sandbox_first();
	/* What a library starts gets none of our channels. */
	if (close_range(FD_MONITOR, FD_STAT, CLOSE_RANGE_CLOEXEC) < 0)
		return fail("descriptors", -errno);
	int r = stat_open(FD_STAT);
	if (r < 0)
		return fail("counters", r);
	h->ops = ops;
	h->auth = -1;
	int status = start(h, &unwanted);
	if (status != EX_OK || unwanted)
		return status;
	r = run(h);
	if (r < 0)
		return fail("waiting", r);
	/* What libraries do at the end, a cage may forbid; and nothing is left to do. */
	_exit(EX_OK);
}
