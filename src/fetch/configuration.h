/*
 * configuration.h: one reading of the command line and the file, and what its accounts
 * share. It lives as long as an account uses it: a daemon reads them again.
 */
#ifndef FETCH_CONFIGURATION_H
#define FETCH_CONFIGURATION_H

#include "fetch/settings.h"

struct shared_tls;

struct configuration {
	struct fetch_command command;
	size_t users; /* counted on the loop's thread */
	struct shared_tls *tls;
};

/* The last user's frees it. */
void configuration_unref(struct configuration **c);
/*
 * The context for that account, one user more: accounts that trust the same certificates
 * share one, as a system's list of authorities takes a megabyte. From any thread. 0, or
 * -errno and a reason as tls_client_context_new.
 */
[[nodiscard]] int configuration_tls(struct configuration *c,
	const struct fetch_account *a, struct tls_context **ret, char *why, size_t why_n);

#endif
