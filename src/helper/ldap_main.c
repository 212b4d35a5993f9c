/* restante-auth-ldap: users in a directory. */
#include "helper/ldap_parts.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

#define PAUSE_MS_MIN 50
#define PAUSE_MS_MAX 1000
#define DN_MAX	     4096
/* No code of LDAP: it was not even tried. */
#define CODE_PAUSE -1000

struct directory {
	struct helper *h;
	struct ldap_settings settings;
	struct ldap_link search, check;
	const char *base, *filter;
	int scope;
	bool auth_bind;
	struct ldap_map map;
	char nobody[DN_MAX]; /* an entry that does not exist */
	/* No new connection before this: the directory is not there. */
	uint64_t retry_ms;
	uint32_t pause_ms;
	bool told;
	struct helper_fields fields;
};

/* ---- settings ------------------------------------------------------------------- */

static const char *
prepare_search(struct helper *h, struct directory *d)
{
	static const struct {
		const char *word;
		int scope;
	} scopes[] = {{"sub", LDAP_SCOPE_SUBTREE}, {"one", LDAP_SCOPE_ONELEVEL},
		{"base", LDAP_SCOPE_BASE}};
	const char *scope = helper_setting(h, "ldap_scope");

	d->base = helper_setting(h, "ldap_base");
	d->filter = helper_setting(h, "ldap_filter");
	if (!*d->base)
		return "ldap_base is empty: give the entry below which users are";
	d->scope = LDAP_SCOPE_SUBTREE;
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		if (strcmp(scope, scopes[i].word) == 0)
			d->scope = scopes[i].scope;
	struct buf b = buf_over(d->nobody, sizeof(d->nobody));
	buf_put_str(&b, "cn=restante-nobody,");
	buf_put(&b, d->base, strlen(d->base) + 1);
	if (b.full)
		return "ldap_base is too long";
	const char *why =
		*d->filter ? ldap_filter_check(d->filter) : "ldap_filter is empty";
	return why ? why
		   : ldap_map_read(&d->map, helper_setting(h, "ldap_attributes"),
			     !d->auth_bind);
}

static const char *
prepare(struct helper *h)
{
	static struct directory directory; /* too large for a stack */
	struct directory *d = &directory;
	struct ldap_settings *s = &d->settings;

	d->h = h;
	helper_keep(h, d);
	/* No file and no variable of the system says how we speak with the directory. */
	if (setenv("LDAPNOINIT", "1", 1) < 0)
		return "no memory";
	s->uri = helper_setting(h, "ldap_uri");
	s->ca = helper_setting(h, "ldap_ca");
	s->bind_dn = helper_setting(h, "ldap_bind_dn");
	d->auth_bind = strcmp(helper_setting(h, "ldap_auth_bind"), "yes") == 0;
	d->search = (struct ldap_link){.settings = s, .service = true};
	d->check = (struct ldap_link){.settings = s};
	const char *why = helper_password(h, "ldap_bind_password_file", s->bind_password);
	if (!why)
		why = ldap_link_prepare(h, s);
	/* A bind without a password would be an anonymous one that looks like a success.
	 */
	if (!why && *s->bind_dn && !s->bind_password[0])
		why = "ldap_bind_dn needs ldap_bind_password_file";
	if (!why && !*s->bind_dn && s->bind_password[0])
		why = "ldap_bind_password_file needs ldap_bind_dn";
	return why ? why : prepare_search(h, d);
}

/* ---- a directory that is not there ---------------------------------------------- */

static void
failed(struct directory *d, const char *what, int code)
{
	/* Questions in a pause do not make it longer. */
	if (code == CODE_PAUSE)
		return;
	d->pause_ms = d->pause_ms == 0 ? PAUSE_MS_MIN : d->pause_ms * 2;
	if (d->pause_ms > PAUSE_MS_MAX)
		d->pause_ms = PAUSE_MS_MAX;
	d->retry_ms = clock_ms() + d->pause_ms;
	if (!d->told)
		helper_log("database_lost", what, ldap_err2string(code));
	d->told = true;
}

static void
succeeded(struct directory *d)
{
	if (d->told)
		helper_log("database_back", "it answers again", "");
	d->told = false;
	d->pause_ms = 0;
	d->retry_ms = 0;
}

static int
open_link(struct directory *d, struct ldap_link *l, uint64_t deadline_ms)
{
	if (!l->ld && clock_ms() < d->retry_ms)
		return CODE_PAUSE;
	return ldap_link_open(l, deadline_ms);
}

/* ---- finding -------------------------------------------------------------------- */

static int
search_once(
	struct directory *d, const char *filter, uint64_t deadline_ms, LDAPMessage **ret)
{
	struct timeval t = {.tv_sec = (time_t)(helper_timeout_ms(d->h) / 1000 + 1)};
	int msgid;

	/* Two are as many as it takes to see that there is not one. */
	int code = ldap_search_ext(d->search.ld, d->base, d->scope, filter,
		(char **)(uintptr_t)d->map.attributes, 0, NULL, NULL, &t, 2, &msgid);
	return code == LDAP_SUCCESS ? ldap_link_wait(&d->search, msgid, deadline_ms, ret)
				    : code;
}

/* On a connection that was dropped unseen it is tried again, on a new one. */
static int
search(struct directory *d, const char *filter, uint64_t deadline_ms, LDAPMessage **ret)
{
	for (;;) {
		int code = open_link(d, &d->search, deadline_ms);
		if (code != LDAP_SUCCESS)
			return code;
		bool fresh = d->search.fresh;
		code = search_once(d, filter, deadline_ms, ret);
		if (!ldap_link_is_lost(code))
			return code;
		(void)ldap_msgfree(*ret);
		*ret = NULL;
		ldap_link_leave(&d->search);
		if (fresh || clock_ms() >= deadline_ms)
			return code;
	}
}

static const char *
why_not_found(int code)
{
	switch (code) {
	case LDAP_SIZELIMIT_EXCEEDED: return "ldap_filter finds more than one entry";
	case LDAP_NO_SUCH_OBJECT: return "the directory has no entry ldap_base";
	case LDAP_INVALID_CREDENTIALS:
		return "the directory refuses ldap_bind_dn and its password";
	case LDAP_INSUFFICIENT_ACCESS:
		return "the directory does not let ldap_bind_dn search";
	case LDAP_FILTER_ERROR: return "ldap_filter is no filter";
	case LDAP_REFERRAL: return "the directory points to another server";
	default: return "the directory does not answer";
	}
}

/* One value, or the fault that there are more. */
static void
put_attribute(struct directory *d, LDAPMessage *entry, size_t i)
{
	struct helper_fields *f = &d->fields;
	const char *field = d->map.fields[i];
	struct view name = {(const uint8_t *)field, strlen(field)};
	struct berval **values =
		ldap_get_values_len(d->search.ld, entry, d->map.attributes[i]);
	uint8_t password[HELPER_LINE_MAX];
	struct buf b = buf_over(password, sizeof(password));
	int n = values ? ldap_count_values_len(values) : 0;

	/* An entry may have several names, but not several homes. */
	if (n > 1 && strcmp(field, "name") != 0)
		f->fault = "an attribute of ldap_attributes has more than one value";
	for (int k = 0; k < n; k++) {
		struct view v = {(const uint8_t *)values[k]->bv_val, values[k]->bv_len};
		if (strcmp(field, "password") != 0)
			helper_fields_put(f, name, v);
		else if (ldap_password_field(v, &b))
			helper_fields_put(f, name, buf_view(&b));
		else
			f->fault = "userPassword is too long";
		explicit_bzero(values[k]->bv_val, values[k]->bv_len);
	}
	explicit_bzero(password, sizeof(password));
	ldap_value_free_len(values);
}

/* The user and, for a check, his DN. */
static void
find(struct directory *d, struct view name, uint64_t deadline_ms,
	struct helper_answer *ret, char ret_dn[DN_MAX])
{
	char filter[LDAP_FILTER_MAX];
	struct buf b = buf_over(filter, sizeof(filter));
	LDAPMessage *found = NULL;

	ret->outcome = ANSWER_TEMPORARY;
	if (!ldap_filter_for(d->filter, name, &b)) {
		ret->reason = "ldap_filter is too long with this name";
		return;
	}
	int code = search(d, filter, deadline_ms, &found);
	if (code != LDAP_SUCCESS) {
		ret->reason = why_not_found(code);
		if (code != LDAP_SIZELIMIT_EXCEEDED)
			failed(d, ret->reason, code);
		(void)ldap_msgfree(found);
		return;
	}
	succeeded(d);
	int n = ldap_count_entries(d->search.ld, found);
	LDAPMessage *entry = n == 1 ? ldap_first_entry(d->search.ld, found) : NULL;
	char *dn = entry ? ldap_get_dn(d->search.ld, entry) : NULL;
	if (n == 0) {
		ret->outcome = ANSWER_NO_USER;
	} else if (n != 1) {
		ret->reason = "ldap_filter finds more than one entry";
	} else if (!dn || !*dn || strlen(dn) >= DN_MAX) {
		ret->reason = "the entry's name cannot be used";
	} else {
		memcpy(ret_dn, dn, strlen(dn) + 1);
		helper_fields_init(&d->fields, name);
		for (size_t i = 0; i < d->map.n; i++)
			put_attribute(d, entry, i);
		helper_fields_answer(&d->fields, !d->auth_bind, ret);
		explicit_bzero(&d->fields, sizeof(d->fields));
	}
	ldap_memfree(dn);
	(void)ldap_msgfree(found);
}

/* ---- checking ------------------------------------------------------------------- */

static int
bind_as(struct directory *d, const char *dn, struct view password, uint64_t deadline_ms)
{
	for (;;) {
		int code = open_link(d, &d->check, deadline_ms);
		if (code != LDAP_SUCCESS)
			return code < 0 ? code : LDAP_SERVER_DOWN;
		bool fresh = d->check.fresh;
		code = ldap_link_bind(&d->check, dn, password, deadline_ms);
		if (!ldap_link_is_lost(code))
			return code;
		ldap_link_leave(&d->check);
		if (fresh || clock_ms() >= deadline_ms)
			return code;
	}
}

/*
 * The directory says whether it is the password. Unknown users ask it too, so that both
 * take as long.
 */
static void
check_password(struct directory *d, const char *dn, struct view password,
	uint64_t deadline_ms, struct helper_answer *ret)
{
	bool known = ret->outcome == ANSWER_FOUND;
	int code = bind_as(d, known ? dn : d->nobody, password, deadline_ms);

	switch (code) {
	case LDAP_SUCCESS:
		/* Somebody's who does not exist proves nothing. */
		if (known) {
			ret->valid_s = HELPER_CHECKED_S;
			return;
		}
		break;
	case LDAP_INVALID_CREDENTIALS:
	case LDAP_NO_SUCH_OBJECT:
	case LDAP_INVALID_DN_SYNTAX:
	case LDAP_INAPPROPRIATE_AUTH:
	case LDAP_UNWILLING_TO_PERFORM:
	case LDAP_CONSTRAINT_VIOLATION:
	case LDAP_INSUFFICIENT_ACCESS:
		if (known)
			ret->outcome = ANSWER_WRONG;
		break;
	default:
		ret->outcome = ANSWER_TEMPORARY;
		ret->reason = code == LDAP_CONFIDENTIALITY_REQUIRED ||
				code == LDAP_STRONG_AUTH_REQUIRED
			? "the directory checks passwords over TLS alone"
			: "the directory does not answer to a bind";
		failed(d, ret->reason, code);
	}
	ret->line.n = 0;
}

static void
ask(struct helper *h, const struct helper_ask *a, struct helper_answer *ret)
{
	struct directory *d = helper_state(h);
	/* Auth waits timeout_ms in all, for the way there and back too. */
	uint64_t deadline = clock_ms() + (uint64_t)helper_timeout_ms(h) * 9 / 10;
	char dn[DN_MAX] = "";

	if (a->kind != ASK_LOOKUP && a->kind != ASK_VERIFY) {
		ret->reason = "a database of users is asked for users alone";
		return;
	}
	if (helper_name_can_be(a->name)) {
		find(d, a->name, deadline, ret, dn);
	} else {
		ret->outcome = ANSWER_NO_USER;
		ret->reason = "no database has such a name";
	}
	if (a->kind != ASK_VERIFY || !d->auth_bind || ret->outcome == ANSWER_TEMPORARY)
		return;
	/*
	 * Without a password it would be an unauthenticated bind, which succeeds (RFC
	 * 4513 s.5.1.2); one that begins with a NUL is none to some servers.
	 */
	if (a->secret.n == 0 || memchr(a->secret.p, 0, a->secret.n)) {
		if (ret->outcome == ANSWER_FOUND)
			ret->outcome = ANSWER_WRONG;
		ret->line.n = 0;
		return;
	}
	check_password(d, dn, a->secret, deadline, ret);
}

static void
idle(struct helper *h)
{
	struct directory *d = helper_state(h);

	ldap_link_look(&d->search);
	ldap_link_look(&d->check);
}

int
main(void)
{
	static const struct helper_ops ops = {
		.backend = BACKEND_LDAP,
		.name = "ldap",
		.prepare = prepare,
		.ask = ask,
		.idle = idle,
	};

	return helper_main(&ops);
}
