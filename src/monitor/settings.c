#include "base/check.h"
#include "monitor/monitor.h"
#include "os/fd.h"
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PEM_OCTETS_MAX (256 * 1024)

struct reporting {
	struct conf_sink sink;
	struct monitor *m;
};

static void
report_error(struct conf_sink *s, const char *line)
{
	struct reporting *r = (struct reporting *)s;

	report_text(r->m, LOG_LEVEL_ERROR, "%s", line);
}

void
settings_done(struct settings *s)
{
	for (size_t i = 0; i < CONF_LIST_MAX; i++)
		fd_close(&s->roots[i]);
	fd_close(&s->certificate);
	fd_close(&s->key);
	fd_close(&s->spool);
	if (s->conf)
		conf_free(&s->conf);
}

/* The file in a sealed memfd; a complaint names the option and the file. */
static bool
load_pem(struct monitor *m, const char *option, const char *path, int *ret)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	uint8_t *octets = NULL;
	size_t n = 0;
	int rc = fd < 0 ? -errno : fd_read_file(fd, PEM_OCTETS_MAX, &octets, &n);

	if (rc < 0) {
		report_text(m, LOG_LEVEL_ERROR, "%s: %s: %s", option, path,
			strerrordesc_np(-rc));
		return false;
	}
	if (!memmem(octets, n, "-----BEGIN ", 11)) {
		report_text(m, LOG_LEVEL_ERROR, "%s: %s: holds nothing in PEM form",
			option, path);
		rc = -EINVAL;
	} else if ((rc = sealed_new(option, (struct view){octets, n})) < 0) {
		report_text(m, LOG_LEVEL_ERROR, "%s: %s", option, strerrordesc_np(-rc));
	}
	explicit_bzero(octets, n);
	free(octets);
	*ret = rc < 0 ? -1 : rc;
	return rc >= 0;
}

static bool
load_tls(struct monitor *m, struct settings *s)
{
	if (s->conf->tls_certificate[0] == '\0')
		return true;
	bool certificate =
		load_pem(m, "tls_certificate", s->conf->tls_certificate, &s->certificate);
	bool key = load_pem(m, "tls_key", s->conf->tls_key, &s->key);
	return certificate && key;
}

static bool
open_roots(struct monitor *m, struct settings *s)
{
	const struct conf_list *roots = &s->conf->mail_roots;
	bool any = false;

	for (size_t i = 0; i < roots->n; i++) {
		s->roots[i] = open(roots->at[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		any |= s->roots[i] >= 0;
		/* The defaults are a guess, and most hosts lack some of them. */
		if (s->roots[i] < 0 && s->conf->lines[CONF_GLOBAL_mail_roots] > 0)
			report_text(m, LOG_LEVEL_WARNING, "mail_roots: %s: %s, left out",
				roots->at[i], strerrordesc_np(errno));
	}
	if (!any)
		report_text(m, LOG_LEVEL_ERROR,
			"mail_roots: none of the directories is there");
	return any;
}

static bool
check_users(struct monitor *m, const char *path)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		report_text(m, LOG_LEVEL_ERROR, "users_file: %s: %s", path,
			strerrordesc_np(errno));
	return fd >= 0;
}

static bool
check_caller(struct monitor *m, const struct conf *c)
{
	if (m->privileged && c->service_uids == 0) {
		report_text(m, LOG_LEVEL_ERROR,
			"service_uids = 0 is for a caller that is not root: name the "
			"first of %d "
			"unused user numbers",
			CORE_SERVICE_UIDS);
		return false;
	}
	return true;
}

bool
settings_load(struct monitor *m, const char *path, struct settings *ret)
{
	struct reporting r = {{report_error}, m};
	struct settings s = {
		.conf = conf_new(), .certificate = -1, .key = -1, .spool = -1};

	for (size_t i = 0; i < CONF_LIST_MAX; i++)
		s.roots[i] = -1;
	if (!s.conf) {
		report_text(m, LOG_LEVEL_ERROR, "no memory for the configuration");
		return false;
	}
	bool good = conf_load_file(path, &r.sink, s.conf) == 0;
	if (good) {
		good = check_caller(m, s.conf);
		good &= load_tls(m, &s);
		good &= open_roots(m, &s);
		good &= check_users(m, s.conf->users_file);
		good &= !s.conf->delivers || spool_open(m, s.conf->spool_dir, &s.spool);
	}
	if (!good) {
		settings_done(&s);
		return false;
	}
	*ret = s;
	return true;
}

struct core_limits
settings_limits(const struct monitor *m, const struct settings *s)
{
	const struct conf *c = s->conf;
	struct core_limits l = {
		.privileged = m->privileged,
		.caller_uid = m->uid,
		.uid_min = (uint32_t)c->mail_uid_min,
		.uid_max = (uint32_t)c->mail_uid_max,
		.service_uids = (uint32_t)c->service_uids,
		.fronts = (uint32_t)c->fronts,
		.one_shot = c->front_sessions == 1,
		.lmtp = c->delivers,
		.front_renew_ms = c->front_renew_ms,
		.drain_timeout_ms = c->drain_timeout_ms,
		.keepers_max = (uint32_t)c->keepers_max,
		.keepers_per_owner = (uint32_t)c->keepers_per_owner,
		.keeper_per_session = c->keeper_sessions == 1,
		.roots_n = c->mail_roots.n,
	};

	_Static_assert(CONF_LIST_MAX == CORE_ROOTS, "each root has its place");
	for (size_t i = 0; i < l.roots_n; i++)
		l.roots[i] = (struct core_root){c->mail_roots.at[i], s->roots[i] >= 0};
	return l;
}
