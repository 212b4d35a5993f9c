#include "fetch/configuration.h"

#include "base/check.h"
#include "os/mutex.h"
#include "os/tls.h"

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

static struct tls_context *
find_or_make(struct configuration *c, const struct tls_client_options *o, char *why,
	size_t why_n)
{
	struct shared_tls *i = c->tls;

	while (i && !same_options(i->options, o))
		i = i->next;
	if (i)
		return i->context;
	i = calloc(1, sizeof(*i));
	if (!i) {
		(void)snprintf(why, why_n, "no memory");
		return NULL;
	}
	i->options = o;
	i->context = tls_client_context_new(o, why, why_n);
	if (!i->context) { /* the file may be mended until the next poll */
		free(i);
		return NULL;
	}
	i->next = c->tls;
	c->tls = i;
	return i->context;
}

struct tls_context *
configuration_tls(
	struct configuration *c, const struct fetch_account *a, char *why, size_t why_n)
{
	struct tls_context *context;

	mutex_lock(&lock);
	context = find_or_make(c, &a->tls_options, why, why_n);
	if (context)
		tls_context_ref(context);
	mutex_unlock(&lock);
	return context;
}
