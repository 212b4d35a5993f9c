/* setup_helper.c: what the helpers of auth, and the process that signs, are told first.
 */
#include "base/ascii.h"
#include "base/num.h"
#include "conf/conf_table.h"
#include "ipc/permit.h"
#include "monitor/monitor_send.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define SETTINGS_MAX 16384

/* Options of a backend begin so. */
static const char *const prefixes[CORE_BACKENDS] = {
	"pam_", "sql_", "ldap_", "command_", "oauth_", "krb5_"};

_Static_assert(BACKENDS_END - BACKEND_SYSTEM == CORE_BACKENDS,
	"each backend but the file has its helpers");
_Static_assert((unsigned)UID_HELPERS + CORE_BACKENDS <= (unsigned)UID_FRONTS,
	"each helper has a uid of its own");

static void
put_text(struct buf *b, struct view v)
{
	buf_put_view(b, v);
	buf_put_u8(b, 0);
}

static void
put_settings(const struct conf *c, const char *prefix, struct buf *b)
{
	for (size_t i = 0; i < CONF_OPTIONS; i++) {
		const struct conf_row *row = &conf_rows[i];
		if (row->section != CONF_SECTION_GLOBAL ||
			strncmp(row->name, prefix, strlen(prefix)) != 0)
			continue;
		put_text(b, view_of(row->name));
		put_text(b, c->texts[i]);
	}
}

/* Option PREFIXuid or PREFIXgid, else the number given. */
static uint32_t
own_number(const struct conf *c, const char *prefix, const char *which, uint32_t other)
{
	char name[32];
	uint64_t n;

	(void)snprintf(name, sizeof(name), "%s%s", prefix, which);
	return num_decimal(conf_get(c, name), UINT32_MAX - 1, &n) && n > 0 ? (uint32_t)n
									   : other;
}

int
setup_helper(struct monitor *m, uint32_t slot)
{
	const struct conf *c = m->settings.conf;
	uint32_t at = core_backend(slot);
	uint8_t settings[SETTINGS_MAX], storage[SETTINGS_MAX + 1024];
	struct buf texts = buf_over(settings, sizeof(settings));
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_helper_setup s = {.backend = (uint8_t)(BACKEND_SYSTEM + at),
		.instance = core_instance(slot),
		.timeout_ms = (uint32_t)c->auth_helper_timeout_ms,
		.hostname = view_of(c->hostname)};

	put_settings(c, prefixes[at], &texts);
	if (texts.full) {
		report_text(m, LOG_LEVEL_ERROR,
			"the options %s... are longer than %d octets together, shorten "
			"them",
			prefixes[at], SETTINGS_MAX);
		return -E2BIG;
	}
	s.settings = buf_view(&texts);
	/* PAM reads what only root may read; it stays root, with little else. */
	if (m->privileged && s.backend != BACKEND_SYSTEM) {
		uint32_t own = setup_uid(m, UID_HELPERS) + at;
		s.uid = own_number(c, prefixes[at], "uid", own);
		s.gid = own_number(c, prefixes[at], "gid", s.uid);
	}
	msg_helper_setup_put(&s, &out);
	CHECK(!out.full);
	int rc = child_send(m, slot, buf_view(&out), &m->empty_dir, 1);
	explicit_bzero(settings, sizeof(settings));
	explicit_bzero(storage, sizeof(storage));
	if (rc == 0)
		link_helper_auth(m, slot);
	return rc;
}

int
setup_keys(struct monitor *m)
{
	struct msg_keys_setup s = {.uid = setup_uid(m, UID_KEYS)};
	int rc = SEND(keys_setup, &s, CORE_KEYS, &m->empty_dir, 1);

	if (rc < 0)
		return rc;
	certificates_to_keys(m);
	for (uint32_t slot = CORE_FRONT; slot < CORE_KEEPER; slot++)
		link_front_keys(m, slot);
	return 0;
}

static const struct {
	enum conf_option option;
	uint8_t backend;
	bool needed;
} files[HELPER_FILES] = {
	{CONF_GLOBAL_sql_password_file, BACKEND_SQL, true},
	{CONF_GLOBAL_ldap_bind_password_file, BACKEND_LDAP, true},
	{CONF_GLOBAL_ldap_ca, BACKEND_LDAP, false},
	{CONF_GLOBAL_oauth_secret_file, BACKEND_OAUTH, true},
	{CONF_GLOBAL_oauth_ca, BACKEND_OAUTH, false},
	{CONF_GLOBAL_krb5_keytab, BACKEND_KRB5, true},
	{CONF_GLOBAL_krb5_config, BACKEND_KRB5, false},
};

/* False: the option is empty. */
static bool
path_of(const struct conf *c, size_t file, char ret[1024])
{
	struct view path = c->texts[files[file].option];

	if (path.n == 0 || path.n >= 1024)
		return false;
	memcpy(ret, path.p, path.n);
	ret[path.n] = 0;
	return true;
}

bool
setup_helper_files_are_there(struct monitor *m, const struct conf *c)
{
	uint32_t wanted[CORE_BACKENDS];
	char path[1024];
	bool good = true;

	setup_helper_limits(c, wanted);
	for (size_t i = 0; i < HELPER_FILES; i++) {
		if (!files[i].needed || wanted[files[i].backend - BACKEND_SYSTEM] == 0 ||
			!path_of(c, i, path))
			continue;
		AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0)
			continue;
		report_text(m, LOG_LEVEL_ERROR, "%s: %s: %s",
			conf_rows[files[i].option].name, path, strerrordesc_np(errno));
		good = false;
	}
	return good;
}

bool
setup_helper_files_are_as_seen(struct monitor *m, uint32_t backend)
{
	char path[1024];
	bool same = true;

	/* Each is looked at, so that all are known the next time. */
	for (size_t i = 0; i < HELPER_FILES; i++)
		if (files[i].backend == BACKEND_SYSTEM + backend &&
			path_of(m->settings.conf, i, path))
			same = file_is_as_seen(path, &m->helper_files[i]) && same;
	return same;
}

void
setup_helper_limits(const struct conf *c, uint32_t ret[CORE_BACKENDS])
{
	for (uint32_t i = 0; i < CORE_BACKENDS; i++)
		ret[i] = 0;
	for (size_t i = 0; i < c->backends_n; i++)
		if (c->backends[i] >= BACKEND_SYSTEM)
			ret[c->backends[i] - BACKEND_SYSTEM] = (uint32_t)c->auth_helpers;
	if (conf_get(c, "oauth_jwks").n > 0 || conf_get(c, "oauth_introspection").n > 0)
		ret[BACKEND_OAUTH - BACKEND_SYSTEM] = (uint32_t)c->auth_helpers;
	/* One alone: it knows which requests of KPOP it has seen, and no other does. */
	if (conf_get(c, "krb5_keytab").n > 0)
		ret[BACKEND_KRB5 - BACKEND_SYSTEM] = 1;
}

bool
setup_helper_differs(uint32_t backend, const struct conf *a, const struct conf *b)
{
	const char *prefix = prefixes[backend];

	for (size_t i = 0; i < CONF_OPTIONS; i++)
		if (conf_rows[i].section == CONF_SECTION_GLOBAL &&
			strncmp(conf_rows[i].name, prefix, strlen(prefix)) == 0 &&
			!view_equal(a->texts[i], b->texts[i]))
			return true;
	return a->auth_helper_timeout_ms != b->auth_helper_timeout_ms ||
		strcmp(a->hostname, b->hostname) != 0;
}
