#include "fetch/configuration.h"

#include "base/check.h"
#include "os/mutex.h"
#include "os/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shared_tls {
	struct shared_tls *next;
	const struct tls_client_options *options; /* of the account that came first */
	struct tls_context *context;
};

/* For all: files are read under it, so that each is read once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void
configuration_unref(struct configuration **cp)
{
	struct configuration *c = *cp;
	struct shared_tls *next;

	*cp = NULL;
	if (!c || --c->users > 0)
		return;
	for (struct shared_tls *i = c->tls; i; i = next) {
		next = i->next;
		tls_context_unref(&i->context);
		free(i);
	}
	settings_free(&c->command);
	free(c);
}

static bool
same_path(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool
same_options(const struct tls_client_options *a, const struct tls_client_options *b)
{
	return same_path(a->ca_file, b->ca_file) &&
		same_path(a->certificate, b->certificate) && same_path(a->key, b->key) &&
		a->pins_n == b->pins_n &&
		memcmp(a->pins, b->pins, a->pins_n * TLS_PIN_OCTETS) == 0;
}

static int
find_or_make(struct configuration *c, const struct tls_client_options *o,
	struct tls_context **ret, char *why, size_t why_n)
{
	struct shared_tls *i = c->tls;
	int r;

	while (i && !same_options(i->options, o))
		i = i->next;
	if (i) {
		*ret = i->context;
		return 0;
	}
	i = calloc(1, sizeof(*i));
	if (!i) {
		(void)snprintf(why, why_n, "no memory");
		return -ENOMEM;
	}
	i->options = o;
	r = tls_client_context_new(o, &i->context, why, why_n);
	if (r != 0) { /* the file may be mended until the next poll */
		free(i);
		return r;
	}
	i->next = c->tls;
	c->tls = i;
	*ret = i->context;
	return 0;
}

int
configuration_tls(struct configuration *c, const struct fetch_account *a,
	struct tls_context **ret, char *why, size_t why_n)
{
	int r;

	mutex_lock(&lock);
	r = find_or_make(c, &a->tls_options, ret, why, why_n);
	if (r == 0)
		tls_context_ref(*ret);
	mutex_unlock(&lock);
	return r;
}
