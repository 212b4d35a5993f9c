/*
 * restante-auth-krb5: whose a Kerberos ticket is. It knows no users: it says a name, and
 * auth asks the databases for it. It speaks with no KDC: its keys are enough.
 */
#include "base/check.h"
#include "helper/helper.h"
#include "helper/krb5_parts.h"
#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_KEYTAB "MEMORY:restante"

/* ---- settings ------------------------------------------------------------------------
 */

/*
 * The libraries look here. A replay cache on disk is not ours to write: krb5_kpop.c has
 * one of its own, and GSSAPI needs none, since its last step proves that the client has
 * the key.
 */
static bool
set_environment(const char *config)
{
	return setenv("KRB5_KTNAME", MEMORY_KEYTAB, 1) == 0 &&
		setenv("KRB5RCACHENAME", "none:", 1) == 0 &&
		(*config == '\0' || setenv("KRB5_CONFIG", config, 1) == 0);
}

/* pop/HOSTNAME, of whatever realm: ours may trust its own. */
static bool
is_ours(const struct krb5_helper *k, krb5_const_principal p)
{
	const char *const parts[] = {KRB5_SERVICE, k->hostname};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (p->length != 2 || p->data[i].length != strlen(parts[i]) ||
			memcmp(p->data[i].data, parts[i], strlen(parts[i])) != 0)
			return false;
	return true;
}

static krb5_error_code
copy_keys(const struct krb5_helper *k, krb5_keytab from, size_t *ret_ours)
{
	krb5_context c = k->context;
	krb5_kt_cursor cursor;
	krb5_keytab_entry entry;
	krb5_error_code e = krb5_kt_start_seq_get(c, from, &cursor);

	*ret_ours = 0;
	if (e)
		return e;
	while (e == 0 && krb5_kt_next_entry(c, from, &entry, &cursor) == 0) {
		e = krb5_kt_add_entry(c, k->keytab, &entry);
		*ret_ours += is_ours(k, entry.principal);
		(void)krb5_free_keytab_entry_contents(c, &entry);
	}
	(void)krb5_kt_end_seq_get(c, from, &cursor);
	return e;
}

static const char *
failed(struct helper *h, krb5_context c, const char *what, krb5_error_code e)
{
	const char *text = krb5_get_error_message(c, e);
	const char *why = helper_why(h, "%s: %s", what, text);

	krb5_free_error_message(c, text);
	return why;
}

/* The file may be root's alone: it is read now, and not again. */
static const char *
read_keytab(struct helper *h, struct krb5_helper *k, const char *path)
{
	krb5_keytab file = NULL;
	size_t n = 0;
	krb5_error_code e = krb5_kt_resolve(k->context, MEMORY_KEYTAB, &k->keytab);

	if (e == 0)
		e = krb5_kt_resolve(k->context, path, &file);
	if (e == 0)
		e = copy_keys(k, file, &n);
	if (file)
		(void)krb5_kt_close(k->context, file);
	if (e)
		return failed(h, k->context, "krb5_keytab", e);
	if (n > 0)
		return NULL;
	/* Nobody could log in, and clients would hear of it first. */
	return helper_why(h,
		"krb5_keytab: %s: there is no key of " KRB5_SERVICE
		"/%s in it: set krb5_hostname, "
		"or make one with kadmin's ktadd",
		path, k->hostname);
}

static const char *
prepare(struct helper *h)
{
	const char *path = helper_setting(h, "krb5_keytab");
	const char *host = helper_setting(h, "krb5_hostname");
	struct krb5_helper *k = calloc(1, sizeof(*k));

	if (!k)
		return "there is no memory";
	helper_keep(h, k);
	if (!set_environment(helper_setting(h, "krb5_config")))
		return "there is no memory";
	k->start_us = clock_unix_ns() / 1000;
	k->realm = helper_setting(h, "krb5_realm");
	k->hostname = *host ? host : helper_hostname(h);
	k->full_names = strcmp(helper_setting(h, "krb5_full_names"), "yes") == 0;
	if (*path != '/')
		return "krb5_keytab must be the absolute path of a keytab";
	if (*k->realm == '\0')
		return "krb5_realm is empty: name the realm whose tickets are taken";
	krb5_error_code e = krb5_init_context(&k->context);
	if (e)
		return helper_why(h,
			"the configuration of Kerberos (krb5_config) cannot be read "
			"(error %ld)",
			(long)e);
	const char *why = read_keytab(h, k, path);
	return why ? why : krb5_gssapi_start(h, k);
}

/* ---- questions -----------------------------------------------------------------------
 */

static void
ask(struct helper *h, const struct helper_ask *a, struct helper_answer *ret)
{
	struct krb5_helper *k = helper_state(h);

	if (a->kind == ASK_END) {
		krb5_gssapi_end(k, a->talk);
	} else if (a->kind == ASK_STEP && a->mechanism == MECHANISM_GSSAPI) {
		krb5_gssapi_step(k, a, ret);
	} else if (a->kind == ASK_STEP && a->mechanism == MECHANISM_KPOP) {
		krb5_kpop(k, a, ret);
	} else {
		ret->outcome = ANSWER_NO_USER;
		ret->reason = "restante-auth-krb5 answers for tickets alone";
	}
}

static void
idle(struct helper *h)
{
	krb5_gssapi_sweep(helper_state(h), false);
}

static void
forget(struct helper *h)
{
	krb5_gssapi_sweep(helper_state(h), true);
}

int
main(void)
{
	static const struct helper_ops ops = {.backend = BACKEND_KRB5,
		.name = "krb5",
		.prepare = prepare,
		.ask = ask,
		.idle = idle,
		.forget = forget};

	return helper_main(&ops);
}
