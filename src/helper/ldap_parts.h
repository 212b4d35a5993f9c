/*
 * ldap_parts.h: what the parts of restante-auth-ldap share.
 */
#ifndef HELPER_LDAP_PARTS_H
#define HELPER_LDAP_PARTS_H

#include "helper/helper_fields.h"
#include "helper/helper_file.h"

#include <ldap.h>

#define LDAP_MAP_MAX	  16
#define LDAP_MAP_TEXT_MAX 4096
#define LDAP_FILTER_MAX	  4096

/* ---- ldap_filter.c, pure ---- */

/* NULL, or what is wrong with a filter of the settings (static text). */
const char *ldap_filter_check(const char *filter);
/* The filter for this name, with a NUL behind it; false: it does not fit. */
[[nodiscard]] bool ldap_filter_for(const char *filter, struct view name, struct buf *out);

/* ---- ldap_entry.c, pure ---- */

struct ldap_map {
	size_t n;
	const char *
		attributes[LDAP_MAP_MAX + 1]; /* NULL behind the last, as libldap wants */
	const char *fields[LDAP_MAP_MAX];
	char text[LDAP_MAP_TEXT_MAX];
};

/* Reads option ldap_attributes. NULL, or what is wrong (static text). */
const char *ldap_map_read(struct ldap_map *m, const char *setting, bool with_password);
/*
 * A value of userPassword (RFC 2307 s.5.3) as the password field of the users file.
 * False: it does not fit.
 */
[[nodiscard]] bool ldap_password_field(struct view value, struct buf *out);

/* ---- ldap_link.c: one connection to the directory ---- */

struct ldap_settings {
	const char *uri, *ca, *bind_dn;
	char bind_password[HELPER_PASSWORD_MAX + 1];
	bool starttls, tls; /* tls: with it, or an ldaps:// among the URIs */
};

struct ldap_link {
	const struct ldap_settings *settings;
	LDAP *ld;     /* NULL: none */
	bool service; /* bound as bind_dn: for searching */
	bool fresh;   /* nothing was asked on it before */
};

/* NULL, or what is wrong with the URIs (may be helper_why). Sets starttls. */
const char *ldap_link_prepare(struct helper *h, struct ldap_settings *ret);
/* LDAP_SUCCESS: it is there, and bound where it is for searching. */
int ldap_link_open(struct ldap_link *l, uint64_t deadline_ms);
void ldap_link_leave(struct ldap_link *l);
/* The server has closed it, or said that it will: it is left. */
void ldap_link_look(struct ldap_link *l);
/* A simple bind; the result code. The password is not empty (RFC 4513 s.5.1.2). */
int ldap_link_bind(
	struct ldap_link *l, const char *dn, struct view password, uint64_t deadline_ms);
/* Waits for the answer to this message; the result code, and *ret to be freed. */
int ldap_link_wait(
	struct ldap_link *l, int msgid, uint64_t deadline_ms, LDAPMessage **ret);
/* The connection is of no more use after this code. */
bool ldap_link_is_lost(int code);

#endif
