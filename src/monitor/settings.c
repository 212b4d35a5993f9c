#include "base/check.h"
#include "ipc/permit.h"
#include "monitor/monitor.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "keeper/keeper_places.h"

/* Of listeners that let connections assert something: few, for few proxies. */
#define ASSERTING_FRONTS_MAX 4

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
	certificates_close(&s->tls);
	fd_close(&s->spool);
	if (s->conf)
		conf_free(&s->conf);
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
		bool guess =
			errno == ENOENT && s->conf->lines[CONF_GLOBAL_mail_roots] == 0;
		if (s->roots[i] < 0 && !guess)
			report_text(m, LOG_LEVEL_WARNING, "mail_roots: %s: %s, left out",
				roots->at[i], strerrordesc_np(errno));
	}
	if (!any)
		report_text(m, LOG_LEVEL_ERROR,
			"mail_roots: none of the directories is there");
	return any;
}

static bool
check_readable(struct monitor *m, const char *option, const char *path)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		report_text(m, LOG_LEVEL_ERROR, "%s: %s: %s", option, path,
			strerrordesc_np(errno));
	return fd >= 0;
}

/* Of those that are used. */
static bool
check_files(struct monitor *m, const struct conf *c)
{
	bool good = true;

	for (size_t i = 0; i < c->backends_n; i++)
		if (c->backends[i] == BACKEND_FILE)
			good &= check_readable(m, "users_file", c->users_file);
	good &= setup_helper_files_are_there(m, c);
	if (c->deny_file[0] != '\0')
		good &= check_readable(m, "deny_file", c->deny_file);
	return good;
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
	struct settings s = {.conf = conf_new(), .spool = -1};

	for (size_t i = 0; i < CONF_LIST_MAX; i++)
		s.roots[i] = -1;
	if (!s.conf) {
		report_text(m, LOG_LEVEL_ERROR, "no memory for the configuration");
		return false;
	}
	bool good = conf_load_file(path, &r.sink, s.conf) == 0;
	if (good) {
		good = check_caller(m, s.conf);
		good &= certificates_load(m, s.conf, &s.tls);
		good &= open_roots(m, &s);
		good &= check_files(m, s.conf);
		good &= !s.conf->delivers || spool_open(m, s.conf->spool_dir, &s.spool);
	}
	if (!good) {
		settings_done(&s);
		return false;
	}
	*ret = s;
	return true;
}

/* A class of fronts that no listener needs has none. */
static void
fronts_of(const struct conf *c, struct core_limits *l)
{
	bool needed[CORE_CLASSES] = {false};
	bool any = false;

	for (size_t i = 0; i < c->listeners_n; i++) {
		if (c->listeners[i].protocol == CONF_PROTOCOL_LMTP)
			continue;
		needed[listen_asserts(&c->listeners[i])] = true;
		any = true;
	}
	/* An office where nobody can log in (LMTP alone) has one for what may come. */
	l->fronts[0] = needed[0] ? (uint32_t)c->fronts : !any;
	for (uint32_t i = 1; i < CORE_CLASSES; i++)
		l->fronts[i] = !needed[i]		   ? 0
			: c->fronts < ASSERTING_FRONTS_MAX ? (uint32_t)c->fronts
							   : ASSERTING_FRONTS_MAX;
}

/* Keepers inherit our limit of open files. */
static uint32_t
places_of_keepers(const struct conf *c)
{
	struct rlimit files;
	uint64_t folders = 0;

	for (size_t i = 0; i < c->folders_n; i++)
		folders += c->folders[i] == '\0';
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		files.rlim_cur = 0;
	return keeper_places(files.rlim_cur, folders);
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
		.keys = c->key_process && s->tls.n > 0,
		.one_shot = c->front_sessions == 1,
		.lmtp = c->delivers,
		.front_renew_ms = c->front_renew_ms,
		.drain_timeout_ms = c->drain_timeout_ms,
		.keepers_max = (uint32_t)c->keepers_max,
		.keepers_per_owner = (uint32_t)c->keepers_per_owner,
		.keeper_places = places_of_keepers(c),
		.keeper_per_session = c->keeper_sessions == 1,
		.roots_n = c->mail_roots.n,
	};

	fronts_of(c, &l);
	setup_helper_limits(c, l.helpers);
	_Static_assert(CONF_LIST_MAX == CORE_ROOTS, "each root has its place");
	for (size_t i = 0; i < l.roots_n; i++)
		l.roots[i] = (struct core_root){c->mail_roots.at[i], s->roots[i] >= 0};
	return l;
}
