/* What the monitor hands over as descriptors: listeners, certificates, tables, channels.
 */
#include "front/monitor_parts.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/sealed.h"

#include <string.h>
#include <sys/mman.h>

#define PEM_OCTETS_MAX 1048576U

static struct view
map_sealed(int fd, uint64_t max)
{
	struct view v;

	if (sealed_map(fd, max, &v.p, &v.n) < 0)
		return (struct view){NULL, 0};
	return v;
}

static void
unmap(struct view v)
{
	if (v.p)
		(void)munmap((void *)(uintptr_t)v.p, v.n);
}

/* ---- listeners ------------------------------------------------------------ */

bool
handed_listener(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_listener m;

	if (!msg_front_listener_get(&m, payload) || r->nfds != 1)
		return false;
	if (f->is_draining)
		return true;
	return accept_add(f, received_take(r, 0), &m) == 0;
}

bool
handed_listener_gone(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_listener_gone m;

	(void)r;
	if (!msg_front_listener_gone_get(&m, payload))
		return false;
	accept_gone(f, m.listener);
	return true;
}

/* ---- TLS ------------------------------------------------------------------ */

/* Those that are in force stay. */
static void
refuse_certificates(struct front *f, uint32_t generation, const char *why)
{
	report_error("certificate_refused", why, 0);
	tls_setup_free(&f->tls_setup);
	monitor_tell_tls(f, generation, false);
}

bool
handed_tls(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_tls m;
	char why[256];

	if (!msg_front_tls_get(&m, payload) || r->nfds != 0 || m.certificates == 0)
		return false;
	f->has_certificates = true;
	/* What was under way has been overtaken. */
	tls_setup_free(&f->tls_setup);
	f->tls_setup = tls_setup_new(
		m.generation, m.certificates, m.ticket_keys, f->signer, why, sizeof(why));
	if (!f->tls_setup)
		refuse_certificates(f, m.generation, why);
	return true;
}

/* New connections get the new one; those that stand keep theirs (os/tls.h counts). */
static void
put_in_force(struct front *f, uint32_t generation)
{
	char why[256];
	struct tls_context *tls = tls_setup_finish(&f->tls_setup, why, sizeof(why));

	if (!tls) {
		refuse_certificates(f, generation, why);
		return;
	}
	tls_context_unref(&f->tls);
	f->tls = tls;
	monitor_tell_tls(f, generation, true);
}

/* The descriptors' contents in the order of the message; false: not sealed, too large. */
static bool
map_certificate(const struct msg_front_certificate *m, const struct received *r,
	struct view ret[3])
{
	bool has[3] = {true, m->has_key, m->has_ocsp};
	size_t next = 0;

	for (size_t i = 0; i < 3; i++) {
		ret[i] = (struct view){NULL, 0};
		if (!has[i])
			continue;
		ret[i] = map_sealed(r->fds[next++], PEM_OCTETS_MAX);
		if (!ret[i].p)
			return false;
	}
	return true;
}

bool
handed_certificate(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_certificate m;
	struct view part[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
	char why[256] = "not sealed files";
	enum tls_added added = TLS_NOT_ADDED;

	if (!msg_front_certificate_get(&m, payload) || m.has_key > 1 || m.has_ocsp > 1)
		return false;
	if (r->nfds != 1U + m.has_key + m.has_ocsp)
		return false;
	/* Of a set-up that was overtaken, or refused. */
	if (!f->tls_setup || tls_setup_generation(f->tls_setup) != m.generation)
		return true;
	if (map_certificate(&m, r, part))
		added = tls_setup_add(f->tls_setup, m.index, part[0], part[1], part[2],
			why, sizeof(why));
	for (size_t i = 0; i < 3; i++)
		unmap(part[i]);
	if (added == TLS_NOT_ADDED) {
		refuse_certificates(f, m.generation, why);
		return true;
	}
	if (added != TLS_ADDED)
		report_error("ocsp_refused", why, 0);
	if (tls_setup_is_complete(f->tls_setup))
		put_in_force(f, m.generation);
	return true;
}

bool
handed_keys(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_keys m;

	if (!msg_front_keys_get(&m, payload) || r->nfds != 1)
		return false;
	keys_link_set(&f->keys, received_take(r, 0));
	return true;
}

/* ---- channels and tables --------------------------------------------------- */

bool
handed_auth(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_auth m;

	if (!msg_front_auth_get(&m, payload) || r->nfds != 1)
		return false;
	auth_start(f, received_take(r, 0));
	return true;
}

bool
handed_peers(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_peers m;

	if (!msg_front_peers_get(&m, payload) || m.count != r->nfds || r->nfds == 0)
		return false;
	return peers_open(&f->peers, r->fds, r->nfds, m.key) == 0;
}

bool
handed_deny(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_deny m;
	struct view rows = {NULL, 0};
	struct deny deny = {0};

	if (!msg_front_deny_get(&m, payload) || r->nfds > 1 ||
		(m.count > 0 && r->nfds < 1))
		return false;
	/* An empty file cannot be mapped, and has nothing in it. */
	if (m.count > 0)
		rows = map_sealed(r->fds[0], DENY_OCTETS_MAX);
	if (rows.n != (uint64_t)m.count * DENY_ROW || !deny_init(rows, &deny)) {
		unmap(rows);
		return false;
	}
	unmap(f->deny.rows);
	f->deny = deny;
	return true;
}

bool
handed_who(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_who m;

	if (!msg_front_who_get(&m, payload) || r->nfds != 1)
		return false;
	return who_open(&f->who, r->fds[0]) == 0;
}
