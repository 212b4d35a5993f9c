/*
 * The system's resolver, in a thread: it knows /etc/hosts, mDNS and what else the system
 * was told, but it cannot be interrupted. So the thread is detached and shares a counted
 * object with the loop's side; who lets go last frees it.
 */
#include "os/dial_parts.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The resolver's modules are strangers: give them room. Only what is used costs. */
#define STACK_OCTETS (1 << 20)

struct dial_lookup {
	atomic_uint refs;
	atomic_bool ready;
	int event;
	char host[DIAL_HOST_MAX];
	uint16_t port;
	struct dial_found found;
};

static bool
same_address(const struct dial_address *a, const struct dial_address *b)
{
	return a->n == b->n && memcmp(&a->a, &b->a, a->n) == 0;
}

static void
add_address(struct dial_found *f, const struct addrinfo *i)
{
	struct dial_address *to = &f->at[f->n];

	if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
		return;
	if (i->ai_addrlen > sizeof(to->a))
		return;
	memset(to, 0, sizeof(*to));
	memcpy(&to->a, i->ai_addr, i->ai_addrlen);
	to->n = i->ai_addrlen;
	for (size_t k = 0; k < f->n; k++)
		if (same_address(&f->at[k], to))
			return;
	f->n++;
}

/*
 * RFC 8305 s.4: families by turns, beginning with the one that the resolver prefers; its
 * order is kept within each (RFC 6724). At most DIAL_ADDRESSES_MAX, of both.
 */
static void
by_turns(const struct addrinfo *all, struct dial_found *f)
{
	const struct addrinfo *same = all, *other = all;
	int first = all->ai_family;

	f->n = 0;
	while ((same || other) && f->n < DIAL_ADDRESSES_MAX) {
		while (same && same->ai_family != first)
			same = same->ai_next;
		if (same) {
			add_address(f, same);
			same = same->ai_next;
		}
		while (other && other->ai_family == first)
			other = other->ai_next;
		if (other && f->n < DIAL_ADDRESSES_MAX) {
			add_address(f, other);
			other = other->ai_next;
		}
	}
}

static void
resolve(const char *host, uint16_t port, int flags, struct dial_found *f)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	};
	struct addrinfo *all = NULL;
	char service[8];

	memset(f, 0, sizeof(*f));
	(void)snprintf(service, sizeof(service), "%u", (unsigned int)port);
	f->eai = getaddrinfo(host, service, &hints, &all);
	f->error = f->eai == EAI_SYSTEM ? errno : 0;
	if (f->eai != 0)
		return;
	if (all)
		by_turns(all, f);
	if (f->n == 0)
		f->eai = EAI_NONAME;
	freeaddrinfo(all);
}

bool
dial_numeric(const char *host, uint16_t port, struct dial_found *ret)
{
	resolve(host, port, AI_NUMERICHOST, ret);
	return ret->eai == 0;
}

static void
let_go(struct dial_lookup *l)
{
	if (atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	fd_close(&l->event);
	free(l);
}

static void *
ask(void *arg)
{
	struct dial_lookup *l = arg;
	uint64_t one = 1;

	resolve(l->host, l->port, 0, &l->found);
	atomic_store(&l->ready, true);
	/* An eventfd that is not full takes it at once. */
	(void)!fd_write_all(l->event, &one, sizeof(one));
	let_go(l);
	return NULL;
}

static int
start_thread(struct dial_lookup *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int err = pthread_attr_init(&attr);

	if (err != 0)
		return -err;
	/* Signals are for the program's own thread. */
	sigfillset(&all);
	err = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (err == 0)
		err = pthread_attr_setstacksize(&attr, STACK_OCTETS);
	if (err == 0)
		err = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (err == 0) {
		err = pthread_create(&thread, &attr, ask, l);
		(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	(void)pthread_attr_destroy(&attr);
	return -err;
}

int
dial_lookup_start(const char *host, uint16_t port, struct dial_lookup **ret, int *ret_fd)
{
	struct dial_lookup *l = calloc(1, sizeof(*l));
	size_t n = strlen(host);

	if (!l)
		return -ENOMEM;
	atomic_init(&l->refs, 2);
	if (n >= sizeof(l->host)) {
		free(l);
		return -ENAMETOOLONG;
	}
	memcpy(l->host, host, n + 1);
	l->port = port;
	l->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int err = l->event < 0 ? -errno : start_thread(l);
	if (err < 0) {
		fd_close(&l->event);
		free(l);
		return err;
	}
	*ret = l;
	*ret_fd = l->event;
	return 0;
}

bool
dial_lookup_answer(const struct dial_lookup *l, struct dial_found *ret)
{
	if (!atomic_load(&l->ready))
		return false;
	*ret = l->found;
	return true;
}

void
dial_lookup_drop(struct dial_lookup **l)
{
	struct dial_lookup *gone = *l;

	*l = NULL;
	if (gone)
		let_go(gone);
}

const char *
dial_lookup_why(const struct dial_found *f, bool *ret_temporary)
{
	*ret_temporary = false;
	switch (f->eai) {
	case EAI_NONAME: return "there is no such name";
	case EAI_NODATA:
	case EAI_ADDRFAMILY: return "the name has no address";
	case EAI_AGAIN:
		*ret_temporary = true;
		return "the name servers do not answer now";
	case EAI_FAIL:
		*ret_temporary = true;
		return "the name servers answer with a failure";
	case EAI_MEMORY: *ret_temporary = true; return "no memory to look up the name";
	case EAI_SYSTEM:
		*ret_temporary = true;
		return f->error ? strerrordesc_np(f->error) : "the resolver failed";
	default: return "the resolver does not understand the name";
	}
}

void
dial_address_text(const struct dial_address *a, char *ret, size_t cap)
{
	const void *from = a->a.any.sa_family == AF_INET
		? (const void *)&a->a.v4.sin_addr
		: (const void *)&a->a.v6.sin6_addr;

	if (cap > 0 && !inet_ntop(a->a.any.sa_family, from, ret, (socklen_t)cap))
		ret[0] = '\0';
}
