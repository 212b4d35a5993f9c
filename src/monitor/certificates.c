/* certificates.c: certificates, private keys, OCSP responses and ticket keys. */
#include "monitor/monitor_send.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>

#define PEM_OCTETS_MAX	    (256 * 1024)
#define OCSP_OCTETS_MAX	    (64 * 1024)
#define DER_SEQUENCE	    0x30
#define TICKET_KEY_AGAIN_MS 60000

/* ---- files ---- */

static bool
is_pem(struct view v)
{
	return v.n > 0 && memmem(v.p, v.n, "-----BEGIN ", 11);
}

static bool
is_der(struct view v)
{
	return v.n > 2 && v.p[0] == DER_SEQUENCE;
}

/* The file in a sealed memfd, or -errno; -EBADMSG: it is none of its kind. */
static int
load(const char *option, const char *path, bool der)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t max = der ? OCSP_OCTETS_MAX : PEM_OCTETS_MAX;
	uint8_t *octets = NULL;
	size_t n = 0;
	int rc = fd < 0 ? -errno : fd_read_file(fd, max, &octets, &n);

	if (rc < 0)
		return rc;
	struct view v = {octets, n};
	rc = (der ? is_der(v) : is_pem(v)) ? sealed_new(option, v) : -EBADMSG;
	explicit_bzero(octets, n);
	free(octets);
	return rc;
}

static void
complain(struct monitor *m, const char *option, const char *path, bool der, int rc)
{
	enum log_level level = der ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR;

	if (rc == -EBADMSG)
		report_text(m, level, "%s: %s: holds nothing in %s form", option, path,
			der ? "DER" : "PEM");
	else
		report_text(m, level, "%s: %s: %s", option, path, strerrordesc_np(-rc));
}

static bool
load_pem(struct monitor *m, const char *option, const char *path, int *ret)
{
	int rc = load(option, path, false);

	if (rc < 0)
		complain(m, option, path, false, rc);
	*ret = rc < 0 ? -1 : rc;
	return rc >= 0;
}

struct paths {
	const char *option[3]; /* as in a complaint */
	const char *chain, *key, *ocsp;
};

/* Number i, or false: there are no more. Those of a section without a file are errors. */
static bool
paths_of(const struct conf *c, size_t i, struct paths *ret)
{
	if (c->tls_certificate[0] != '\0') {
		*ret = (struct paths){{"tls_certificate", "tls_key", "tls_ocsp"},
			c->tls_certificate, c->tls_key, c->tls_ocsp};
		if (i-- == 0)
			return true;
	}
	if (i >= c->certificates_n)
		return false;
	const struct conf_certificate *own = &c->certificates[i];
	*ret = (struct paths){
		{"certificate", "key", "ocsp"}, own->certificate, own->key, own->ocsp};
	return true;
}

/*
 * Stapling helps, and is not needed: without a response there is none. What is no fault
 * of the file's may pass: the response that was there stays, and the file is read again.
 * True: there is another response, or none any more.
 */
static bool
load_ocsp(struct monitor *m, const struct paths *p, struct certificate *own)
{
	if (p->ocsp[0] == '\0')
		return false;
	(void)file_is_as_seen(p->ocsp, &own->ocsp_seen);
	int rc = load(p->option[2], p->ocsp, true);
	bool passes = rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;

	if (passes)
		own->ocsp_seen = (struct file_seen){0};
	if (rc < 0 && !(passes && own->ocsp_told == rc))
		complain(m, p->option[2], p->ocsp, true, rc);
	own->ocsp_told = rc < 0 ? rc : 0;
	if (passes)
		return false;
	fd_close(&own->ocsp);
	own->ocsp = rc < 0 ? -1 : rc;
	return true;
}

bool
certificates_load(struct monitor *m, const struct conf *c, struct certificates *ret)
{
	struct paths p;
	bool good = true;

	for (size_t i = 0; paths_of(c, i, &p); i++) {
		CHECK(i < CERTIFICATES_MAX);
		struct certificate *own = &ret->at[ret->n++];
		*own = (struct certificate){.chain = -1, .key = -1, .ocsp = -1};
		good &= load_pem(m, p.option[0], p.chain, &own->chain);
		good &= load_pem(m, p.option[1], p.key, &own->key);
		(void)load_ocsp(m, &p, own);
	}
	return good;
}

void
certificates_close(struct certificates *c)
{
	for (size_t i = 0; i < c->n; i++) {
		fd_close(&c->at[i].chain);
		fd_close(&c->at[i].key);
		fd_close(&c->at[i].ocsp);
	}
	*c = (struct certificates){0};
}

bool
certificates_look(struct monitor *m)
{
	struct paths p;
	bool changed = false;

	/* The paths are those of others. */
	if (m->settings.tls.older)
		return false;
	for (size_t i = 0; paths_of(m->settings.conf, i, &p); i++) {
		struct certificate *own = &m->settings.tls.at[i];
		if (p.ocsp[0] == '\0' || file_is_as_seen(p.ocsp, &own->ocsp_seen))
			continue;
		changed |= load_ocsp(m, &p, own);
	}
	return changed;
}

/* ---- ticket keys ---- */

static bool
random_keys(uint8_t *at, size_t n)
{
	return getrandom(at, n, 0) == (ssize_t)n;
}

/*
 * The next one is known to the fronts for the time of one key before it makes tickets, so
 * that a front that hears of it late can read those of the others; the one before is for
 * the tickets that are out.
 */
static bool
renew_ticket_keys(struct monitor *m)
{
	uint8_t *now = m->ticket_keys, *before = now + TICKET_KEY_OCTETS,
		*next = before + TICKET_KEY_OCTETS, fresh[TICKET_KEY_OCTETS];
	uint64_t at = clock_ms();

	if (at < m->ticket_keys_until_ms)
		return true;
	if (m->ticket_keys_until_ms == 0) {
		if (!random_keys(m->ticket_keys, sizeof(m->ticket_keys)))
			return false;
	} else if (random_keys(fresh, sizeof(fresh))) {
		memcpy(before, now, TICKET_KEY_OCTETS);
		memcpy(now, next, TICKET_KEY_OCTETS);
		memcpy(next, fresh, TICKET_KEY_OCTETS);
		explicit_bzero(fresh, sizeof(fresh));
	} else {
		/* Those that are there are as secret as before. */
		report_text(m, LOG_LEVEL_WARNING,
			"no random octets for new ticket keys; they are tried again");
		m->ticket_keys_until_ms = at + TICKET_KEY_AGAIN_MS;
		return true;
	}
	m->ticket_keys_until_ms = at + TICKET_KEY_MS;
	return true;
}

uint64_t
certificates_deadline(const struct monitor *m)
{
	return m->settings.tls.n > 0 && m->ticket_keys_until_ms > 0
		? m->ticket_keys_until_ms
		: UINT64_MAX;
}

/* ---- those who need them; child_send has ended one that is stuck ---- */

void
certificates_to_front(struct monitor *m, uint32_t slot)
{
	const struct certificates *all = &m->settings.tls;
	bool has_key = !m->settings.conf->key_process;

	if (all->n == 0)
		return;
	if (!renew_ticket_keys(m)) {
		/* Without randomness no tickets, and no service. */
		child_fault(m, slot, "there are no random octets for its ticket keys");
		return;
	}
	struct msg_front_tls tls = {.generation = m->tls_generation,
		.certificates = (uint8_t)all->n,
		.ticket_keys = {m->ticket_keys, sizeof(m->ticket_keys)}};
	if (SEND(front_tls, &tls, slot, NULL, 0) < 0)
		return;
	for (size_t i = 0; i < all->n; i++) {
		const struct certificate *one = &all->at[i];
		struct msg_front_certificate c = {.generation = m->tls_generation,
			.index = (uint8_t)i,
			.has_key = has_key,
			.has_ocsp = one->ocsp >= 0};
		int fds[3] = {one->chain};
		size_t n = 1;
		if (has_key)
			fds[n++] = one->key;
		if (one->ocsp >= 0)
			fds[n++] = one->ocsp;
		if (SEND(front_certificate, &c, slot, fds, n) < 0)
			return;
	}
}

void
certificates_to_keys(struct monitor *m)
{
	const struct certificates *all = &m->settings.tls;

	for (size_t i = 0; i < all->n; i++) {
		struct msg_keys_key k = {
			.generation = m->tls_generation, .index = (uint8_t)i};
		if (SEND(keys_key, &k, CORE_KEYS, &all->at[i].key, 1) < 0)
			return;
	}
}

void
certificates_renew(struct monitor *m)
{
	m->tls_generation++;
	/* Also while no front lives: what is due would be so at once again. Where there
	 * is no randomness the fronts hear of it. */
	(void)!renew_ticket_keys(m);
	/* The keys first: a front that has the generation may ask at once. */
	if (core_lives(m->core, CORE_KEYS))
		certificates_to_keys(m);
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (core_lives(m->core, s))
			certificates_to_front(m, s);
}

/* ---- which ones are in force ---- */

void
certificates_succeed(struct monitor *m, struct certificates *old)
{
	bool needed = m->settings.tls.n > 0;

	if (old->taken || !needed)
		certificates_close(&m->tls_before);
	if (old->taken && needed) {
		m->tls_before = *old;
		*old = (struct certificates){0};
	}
}

/* One that has not said yet, or takes them, is one that does not, unless it is about to
 * end. */
static bool
all_refuse(const struct monitor *m)
{
	bool any = false;

	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++) {
		const struct child *c = &m->children[s];
		if (!core_lives(m->core, s))
			continue;
		bool ends = m->core->at[s].state == CORE_DRAINING ||
			m->core->at[s].state == CORE_ENDING;
		bool refuses = c->tls_refused && c->tls_generation == m->tls_generation;
		if (!ends && !refuses)
			return false;
		any |= refuses;
	}
	return any;
}

/*
 * A front that starts, and restante-keys, have only what they are given: were it what
 * nobody can use, the end of the fronts that have the ones before would be the service's.
 */
static void
fall_back(struct monitor *m)
{
	report_text(m, LOG_LEVEL_ERROR,
		"no process can use the certificates and keys of the configuration: "
		"those before stay in force; mend the files and reload");
	certificates_close(&m->settings.tls);
	m->settings.tls = m->tls_before;
	m->settings.tls.older = true;
	m->tls_before = (struct certificates){0};
	certificates_renew(m);
}

void
certificates_told(struct monitor *m, uint32_t slot, uint32_t generation, bool taken)
{
	struct child *c = &m->children[slot];

	if (generation != m->tls_generation)
		return;
	c->tls_refused = !taken;
	c->tls_generation = generation;
	if (taken) {
		m->settings.tls.taken = true;
		certificates_close(&m->tls_before);
	}
}

void
certificates_settle(struct monitor *m)
{
	if (!m->settings.tls.taken && m->tls_before.n > 0 && all_refuse(m))
		fall_back(m);
}
