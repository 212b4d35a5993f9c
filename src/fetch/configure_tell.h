/*
 * configure_tell.h: what --configure says on standard output, for people or as JSON
 * lines. Texts of servers leave as printable characters only.
 */
#ifndef FETCH_CONFIGURE_TELL_H
#define FETCH_CONFIGURE_TELL_H

#include "fetch/configure_find.h"
#include "fetch/pop_try.h"
#include "fetch/settings.h"

struct configure_login {
	const char *user, *mechanism;
	uint32_t messages; /* UINT32_MAX: not known */
	const char *why;   /* NULL: it went well */
};

void configure_tell_dns(
	const struct fetch_command *c, const char *domain, const struct places *p);
void configure_tell_try(const struct fetch_command *c, const struct place *p,
	const struct pop_found *f, bool good);
/* NULL: it was not tried, for there is no password. */
void configure_tell_login(const struct fetch_command *c, const struct configure_login *l);
void configure_tell_written(const struct fetch_command *c, const char *name,
	const struct fetch_account *a, bool knows_login);

#endif
