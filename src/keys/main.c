/* restante-keys: signs for the fronts, which hold no private key. */
#include "ipc/log.h"
#include "ipc/start.h"
#include "keys/keys.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "os/sealed.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

/* ---- the monitor ------------------------------------------------------------------ */

static void
key_refused(const struct msg_keys_key *m, const char *why)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, "key_refused");
	log_number(&r, "generation", m->generation);
	log_number(&r, "certificate", m->index);
	log_str(&r, "error", why);
	log_send(&r);
}

static void
take_key(struct keys *k, const struct msg_keys_key *m, int fd)
{
	struct view pem;
	const char *why = NULL;

	if (sealed_map(fd, KEYS_PEM_OCTETS_MAX, &pem.p, &pem.n) < 0) {
		key_refused(m, "not a sealed file of 1 to 65536 octets");
		return;
	}
	struct keys_key *key = keys_key_read(pem, &why);
	(void)munmap((void *)(uintptr_t)pem.p, pem.n);
	if (!key) {
		key_refused(m, why);
		return;
	}
	void **place = keys_place(&k->shelves, m->generation, m->index, keys_key_free);
	if (!place) {
		keys_key_free(key);
		key_refused(m, "its generation is older than those in force");
		return;
	}
	keys_key_free(*place);
	*place = key;
}

static bool
on_key(struct keys *k, struct view payload, struct received *r)
{
	struct msg_keys_key m;

	if (r->nfds != 1 || !msg_keys_key_get(&m, payload))
		return false;
	take_key(k, &m, r->fds[0]);
	return true;
}

static bool
on_front(struct keys *k, struct view payload, struct received *r)
{
	struct msg_keys_front m;

	if (!msg_keys_front_get(&m, payload) || r->nfds != (m.gone ? 0 : 1))
		return false;
	if (m.gone) {
		keys_front_gone(k, m.front);
		return true;
	}
	int e = keys_front_add(k, m.front, received_take(r, 0));
	if (e < 0) {
		struct log_record l;
		log_begin(&l, LOG_LEVEL_ERROR, "front_not_taken");
		log_number(&l, "front", m.front);
		log_error(&l, "error", e);
		log_send(&l);
		/* Nobody would bring that channel again, but to the next one. */
		_exit(EX_OSERR);
	}
	return true;
}

static bool
take_message(struct keys *k, struct received *r)
{
	struct view payload;

	if (r->truncated)
		return false;
	switch (message_number(r->message, &payload)) {
	case MSG_KEYS_KEY: return on_key(k, payload, r);
	case MSG_KEYS_FRONT: return on_front(k, payload, r);
	default: return false;
	}
}

/* Without the monitor there is nobody to sign for. */
void
keys_hear_monitor(struct keys *k)
{
	for (int i = 0; i < KEYS_MESSAGES_A_ROUND; i++) {
		int e = channel_recv(k->monitor.fd, &k->received, 1);
		if (e == -EAGAIN)
			return;
		if (e < 0) {
			k->failed = e != -EPIPE;
			loop_stop(k->loop);
			return;
		}
		if (!take_message(k, &k->received))
			keys_fault("monitor", 0, "malformed or not allowed now");
		received_done(&k->received);
	}
}

static void
monitor_ready(struct source *s, uint32_t events)
{
	(void)events;
	keys_hear_monitor(
		(struct keys *)(void *)((char *)s - offsetof(struct keys, monitor)));
}

/* ---- start ------------------------------------------------------------------------ */

static int
fail(const char *what, int error)
{
	start_fail(&start_words, what, error);
	return EX_OSERR;
}

/*
 * Nothing of us is swapped out, where that is allowed: only who may lift the limit, since
 * a growing heap would meet it. The keys themselves lie in OpenSSL's locked heap anyway.
 */
static void
lock_memory(void)
{
	struct rlimit all = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	struct log_record r;
	bool locked = setrlimit(RLIMIT_MEMLOCK, &all) == 0 &&
		mlockall(MCL_CURRENT | MCL_FUTURE) == 0;

	if (locked)
		return;
	log_begin(&r, LOG_LEVEL_DEBUG, "memory_not_locked");
	log_error(&r, "error", -errno);
	log_send(&r);
}

static int
enter_cage(const struct msg_keys_setup *m, int empty_dir)
{
	struct sandbox_plan plan = {
		.profile = SANDBOX_KEYS,
		.uid = m->uid,
		.gid = m->uid,
		.empty_dir = empty_dir,
		.fsize_max = 0,
		.required = SANDBOX_NO_NEW_PRIVS | SANDBOX_SECCOMP |
			(m->uid ? SANDBOX_USER | SANDBOX_CHROOT : 0),
	};
	uint32_t parts;

	if (start_cage(&plan, &start_words, &parts) < 0)
		return EX_OSERR;
	int e = start_ready(parts);
	return e < 0 ? fail("ready", e) : EX_OK;
}

static int
start(struct keys *k)
{
	struct msg_keys_setup m;
	struct view payload;
	int e = start_receive(MSG_KEYS_SETUP, 1, &k->received, &payload);

	if (e == -EPIPE)
		return EX_UNAVAILABLE;
	if (e < 0 || !msg_keys_setup_get(&m, payload))
		return fail("set-up", e < 0 ? e : -EPROTO);
	AUTO_FD empty_dir = k->received.nfds == 1 ? received_take(&k->received, 0) : -1;
	e = keys_warm_up();
	if (e < 0)
		return fail("OpenSSL", e);
	k->loop = loop_new();
	k->monitor = (struct source){.fd = FD_MONITOR, .ready = monitor_ready};
	e = k->loop ? loop_add(k->loop, &k->monitor, EPOLLIN) : -ENOMEM;
	if (e < 0)
		return fail("event loop", e);
	lock_memory();
	return enter_cage(&m, empty_dir);
}

static void
drop_keys(struct keys_shelf *s)
{
	for (size_t i = 0; i < KEYS_GENERATION_MAX; i++)
		keys_key_free(s->keys[i]);
	*s = (struct keys_shelf){0};
}

int
main(void)
{
	sandbox_first();
	int e = stat_open(FD_STAT);
	if (e < 0)
		return fail("counters", e);
	e = fd_nonblock(FD_MONITOR);
	struct keys *k = e < 0 ? NULL : calloc(1, sizeof(*k));
	if (!k)
		return fail("memory", e < 0 ? e : -ENOMEM);
	int status = start(k);
	if (status != EX_OK)
		return status == EX_UNAVAILABLE ? EX_OK : status;
	e = loop_run(k->loop);
	drop_keys(&k->shelves.now);
	drop_keys(&k->shelves.before);
	drop_keys(&k->shelves.kept);
	if (e < 0)
		return fail("event loop", e);
	return k->failed ? EX_PROTOCOL : EX_OK;
}
