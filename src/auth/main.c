/* restante-auth: says who a session is, to the monitor alone. */
#include "auth/auth_parts.h"
#include "auth/mac.h"
#include "base/check.h"
#include "ipc/start.h"
#include "os/fd.h"
#include "os/sandbox.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>

int
monitor_send(struct auth *a, struct auth_front *front, struct view message)
{
	if (!a->out_first) {
		int r = channel_send(FD_MONITOR, message, NULL, 0);
		if (r != -EAGAIN)
			return r;
	}
	if (front && front->grants_unsent >= GRANTS_UNSENT_MAX / 2)
		return -EBUSY;
	struct outgoing *o =
		a->out_n < GRANTS_UNSENT_MAX ? malloc(sizeof(*o) + message.n) : NULL;
	if (!o)
		return -ENOBUFS;
	o->next = NULL;
	o->front = front;
	if (front) {
		front->attempts++;
		front->grants_unsent++;
	}
	o->n = message.n;
	memcpy(o->octets, message.p, message.n);
	if (a->out_last)
		a->out_last->next = o;
	else
		a->out_first = o;
	a->out_last = o;
	a->out_n++;
	return loop_change(a->loop, &a->monitor, EPOLLIN | EPOLLOUT);
}

static void
monitor_flush(struct auth *a)
{
	struct outgoing *o;

	while ((o = a->out_first)) {
		/* Another error is the end of the channel, which reading finds out. */
		if (channel_send(FD_MONITOR, (struct view){o->octets, o->n}, NULL, 0) ==
			-EAGAIN)
			return;
		a->out_first = o->next;
		a->out_n--;
		if (o->front) {
			o->front->grants_unsent--;
			front_release(o->front);
		}
		free(o);
	}
	a->out_last = NULL;
	(void)!loop_change(a->loop, &a->monitor, EPOLLIN);
}

static void
fault(const char *what, uint16_t number)
{
	struct log_record r;

	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_begin(&r, LOG_LEVEL_ERROR, "protocol_fault");
	log_str(&r, "peer", "monitor");
	log_str(&r, "message", message_name(number));
	log_str(&r, "what", what);
	auth_log(&r);
}

static int
only_descriptor(struct received *r)
{
	return r->nfds > 0 ? received_take(r, 0) : -1;
}

static void
got_front(struct auth *a, const struct msg_auth_front *m, struct received *r)
{
	int fd = only_descriptor(r);

	if (m->gone || fd < 0) {
		if (fd >= 0)
			(void)close(fd);
		front_gone(a, m->front);
		return;
	}
	/* Nobody would bring that channel again, but to the auth that comes after us. */
	if (front_add(a, m, fd) < 0) {
		fault("no room for another front; so auth ends", MSG_AUTH_FRONT);
		_exit(EX_OSERR);
	}
}

static void
got_helper(struct auth *a, const struct msg_auth_helper *m, struct received *r)
{
	int fd = only_descriptor(r);

	if (m->gone || fd < 0) {
		if (fd >= 0)
			(void)close(fd);
		helper_gone(a, m->helper);
		return;
	}
	if (helper_add(a, m, fd) < 0) {
		fault("no room for another helper; so auth ends", MSG_AUTH_HELPER);
		_exit(EX_OSERR);
	}
}

static void
got_message(struct auth *a, struct received *r)
{
	struct view payload;
	struct msg_auth_users users;
	struct msg_auth_front front;
	struct msg_auth_helper helper;
	uint16_t number = message_number(r->message, &payload);

	if (r->truncated)
		fault("descriptors were lost", number);
	else if (number == MSG_AUTH_USERS && msg_auth_users_get(&users, payload))
		users_arrived(a,
			users.error > 0 && users.error < 4096 ? -(int)users.error : 0,
			only_descriptor(r));
	else if (number == MSG_AUTH_FRONT && msg_auth_front_get(&front, payload))
		got_front(a, &front, r);
	else if (number == MSG_AUTH_HELPER && msg_auth_helper_get(&helper, payload))
		got_helper(a, &helper, r);
	else if (number == MSG_AUTH_CONTROL)
		why_channel(a, only_descriptor(r));
	else
		fault("malformed, or not for auth", number);
	received_done(r);
}

static void
monitor_ready(struct source *s, uint32_t events)
{
	struct auth *a =
		(struct auth *)(void *)((char *)s - offsetof(struct auth, monitor));

	if (events & EPOLLOUT)
		monitor_flush(a);
	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		int r = channel_recv(FD_MONITOR, a->received, 1);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			/* The monitor is gone, or wants us to be. */
			loop_stop(a->loop);
			return;
		}
		got_message(a, a->received);
	}
}

/* The first message, which must be AUTH_SETUP. */
static int
receive_setup(struct received *r, struct msg_auth_setup *ret)
{
	struct view payload;
	int e = start_receive(MSG_AUTH_SETUP, 1, r, &payload);

	if (e < 0)
		return e;
	return msg_auth_setup_get(ret, payload) ? 0 : -EPROTO;
}

static int
make_keys(struct auth *a)
{
	const struct {
		uint8_t *p;
		size_t n;
	} keys[] = {
		{a->cache_key, sizeof(a->cache_key)},
		{a->users_key, sizeof(a->users_key)},
		{a->apop_key, sizeof(a->apop_key)},
		{a->defence_key, sizeof(a->defence_key)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (getrandom(keys[i].p, keys[i].n, 0) != (ssize_t)keys[i].n)
			return -EIO;
	return 0;
}

static void
take_options(struct auth *a, const struct msg_auth_setup *m)
{
	memcpy(a->maildrop, m->maildrop.p, m->maildrop.n);
	a->options = (struct users_options){
		.maildrop = {a->maildrop, m->maildrop.n},
		.uid = m->mail_uid,
		.gid = m->mail_gid,
		.mechanisms_of = sasl_mechanisms_of,
	};
	memcpy(a->users_name, m->users_name.p, m->users_name.n);
	a->users_name_n = m->users_name.n;
	a->log_unknown_names = m->log_unknown_names != 0;
	a->fail2ban = m->fail2ban != 0;
	a->helper_timeout_ms = m->helper_timeout_ms > 0 ? m->helper_timeout_ms : 1;
	a->talk_ms = (m->talk_s > 0 ? m->talk_s : 1) * UINT64_C(1000);
	a->cache->life_ms = (uint64_t)m->cache_s * 1000;
	a->core.delimiter = m->delimiter.n > 0 ? m->delimiter.p[0] : 0;
	a->core.cache = a->cache;
	a->core.logins_per_minute = m->logins_per_minute;
	a->core.login_delay_s = m->login_delay_s;
	a->core.expire_days = m->expire_days;
	a->core.connections = m->connections_per_user;
	queue_init(&a->held, m->queue_max > 0 ? m->queue_max : 1);
	/* The worse a lane, the shorter: half as long each time, as those of the hashes.
	 */
	for (size_t k = 0; k < DEFENCE_LANES; k++) {
		size_t max = m->queue_max >> k;
		for (size_t i = 0; i < BACKENDS_END; i++)
			queue_init(&a->waiting[i].queues[k], max > 0 ? max : 1);
	}
}

/* The reason where it fails. */
static const char *
make_tables(struct auth *a, const struct msg_auth_setup *m)
{
	const struct defence_options defence = {
		.failure_delay_ms = m->failure_delay_ms,
		.growing = m->growing_penalty != 0,
		.logins_burst = m->logins_burst,
		.trusted = m->trusted_networks,
	};

	/* Whose keys a dummy has says how long its salt is, and how many rounds there
	 * are. */
	const struct view dummy = VIEW("dummy");
	if (m->key.n != SASL_KEY_OCTETS || !mac_of(m->key.p, &dummy, 1, a->dummy_key))
		return "no key for salts";
	if (!chain_set(&a->core.chain, m->databases) || m->stores.n != m->databases.n)
		return "no database, or one that is none";
	for (size_t i = 0; i < m->stores.n; i++)
		a->core.stores[m->databases.p[i]] = m->stores.p[i];
	for (size_t i = 0; i < BACKENDS_END; i++) {
		struct census_class *classes =
			calloc(CENSUS_CLASSES_MAX, sizeof(*classes));
		if (!classes)
			return "no memory";
		census_init(&a->core.census[i], classes);
	}
	census_default(&a->core.census[BACKEND_FILE]);
	a->core.defence = defence_new(&defence, a->defence_key);
	a->core.cache_mac = mac_new(a->cache_key);
	explicit_bzero(a->cache_key, sizeof(a->cache_key)); /* there it stands no more */
	a->refusals = refusals_new();
	a->unseen = unseen_new((uint64_t)m->unseen_cache_s * 1000);
	a->apop = apop_new(a->apop_key, m->hostname);
	if (!a->core.defence || !a->core.cache_mac || !a->refusals || !a->unseen ||
		!a->apop)
		return "no memory";
	a->sasl = sasl_new(m->hostname, m->realm, m->key.p);
	return a->sasl ? NULL : "GNU SASL does not work";
}

static int
add_sources(struct auth *a)
{
	a->monitor = (struct source){.fd = FD_MONITOR, .ready = monitor_ready};
	a->hashed = (struct source){.fd = pool_fd(a->pool), .ready = login_hashed};
	a->loaded = (struct source){.ready = users_loaded};
	a->watch_timer = (struct timer){.fire = users_timeout};
	a->ask_timer = (struct timer){.fire = helper_timeout};
	a->talk_timer = (struct timer){.fire = talk_timeout};
	a->control = (struct source){.fd = -1};
	a->loaded.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->loaded.fd < 0)
		return -errno;
	int r = loop_add(a->loop, &a->monitor, EPOLLIN);
	if (r == 0)
		r = loop_add(a->loop, &a->hashed, EPOLLIN);
	return r == 0 ? loop_add(a->loop, &a->loaded, EPOLLIN) : r;
}

/* All that must be there before the cage is shut. The reason where it fails. */
static const char *
prepare(struct auth *a, const struct msg_auth_setup *m)
{
	/*
	 * The heap of a thread would, when it shrinks, look into a file of /proc, which
	 * the cage forbids. Another malloc than glibc's does not know this, nor need it.
	 */
	(void)mallopt(M_ARENA_MAX, 1);
	a->users_fd = -1;
	a->next_users_fd = -1;
	a->cache = calloc(1, sizeof(*a->cache));
	a->loop = loop_new();
	a->pool = pool_new(m->threads, m->queue_max);
	if (!a->cache || !a->loop || !a->pool)
		return "no memory or descriptors";
	if (make_keys(a) < 0)
		return "no random octets";
	/* Without memory its context is not made, and used even so. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
		!OSSL_LIB_CTX_get0_global_default() || !scheme_warm_up() ||
		mac_number(a->users_key, VIEW("warm")) == 0)
		return "libcrypto or libcrypt does not work";
	take_options(a, m);
	const char *why = make_tables(a, m);
	if (why)
		return why;
	return add_sources(a) < 0 ? "no event loop" : NULL;
}

static void
send_failure(void *context, struct log_record *r)
{
	(void)context;
	auth_log(r);
}

static const struct start_words words = {
	.event = "start_failed", .key = "what", .send = send_failure};

static int
fail(const char *what, int error)
{
	start_fail(&words, what, error);
	return EX_OSERR;
}

/* 0, or the status to end with. */
static int
enter_cage(const struct msg_auth_setup *m, int empty_dir)
{
	struct sandbox_plan plan = {
		.profile = SANDBOX_AUTH,
		.uid = m->uid,
		.gid = m->uid,
		.empty_dir = empty_dir,
		.fsize_max = 0, /* it writes no file, not even in memory */
		.required = SANDBOX_NO_NEW_PRIVS | SANDBOX_SECCOMP |
			(m->uid ? SANDBOX_USER | SANDBOX_CHROOT : 0),
	};
	uint32_t parts;

	if (start_cage(&plan, &words, &parts) < 0)
		return EX_OSERR;
	int r = start_ready(parts);
	return r < 0 ? fail("ready", r) : EX_OK;
}

int
main(void)
{
	static struct auth
		auth; /* too large for a stack; everything gets it as an argument */
	struct auth *a = &auth;
	struct msg_auth_setup setup;

	sandbox_first();
	int r = stat_open(FD_STAT);
	if (r < 0)
		return fail("counters", r);
	a->received = calloc(1, sizeof(*a->received));
	if (!a->received)
		return fail("no memory", 0);
	r = receive_setup(a->received, &setup);
	if (r < 0)
		return r == -EPIPE ? EX_OK : fail("set-up", r);
	const char *why = prepare(a, &setup);
	if (why)
		return fail(why, 0);
	int empty_dir = only_descriptor(a->received);
	int status = enter_cage(&setup, empty_dir);
	fd_close(&empty_dir);
	if (status != EX_OK)
		return status;
	/* Threads are made inside: they are born with the filter. */
	r = pool_start(a->pool);
	if (r < 0)
		return fail("threads", r);
	r = loop_run(a->loop);
	if (r < 0)
		return fail("event loop", r);
	users_end(a);
	/* Threads may hash for seconds; nobody waits for their answers now. */
	_exit(EX_OK);
}
