#include "ctl/sandbox_office.h"
#include "os/address.h"
#include "os/clock.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

/* A monitor that was killed a moment ago may hold the port still. */
#define BIND_MS	 3000
#define AGAIN_MS 20

/* A listening socket or -errno. */
static int
listen_at(const struct conf_address *a, uint64_t deadline_ms)
{
	union socket_address sa;
	socklen_t n = address_to_kernel(a->ip, a->v4, a->port, &sa);
	int yes = 1, no = 0, rc;
	AUTO_FD fd =
		socket(sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (!a->v4)
		(void)setsockopt(
			fd, IPPROTO_IPV6, IPV6_V6ONLY, a->any ? &no : &yes, sizeof(yes));
	for (;;) {
		rc = bind(fd, &sa.any, n) == 0 && listen(fd, SOMAXCONN) == 0 ? 0 : -errno;
		if (rc != -EADDRINUSE || clock_ms() >= deadline_ms)
			break;
		(void)poll(NULL, 0, AGAIN_MS);
	}
	return rc < 0 ? rc : fd_take(&fd);
}

static void
write_address(struct office_listener *l, const struct conf_address *asked)
{
	union socket_address sa = {.any = {0}};
	socklen_t n = sizeof(sa);
	char host[INET6_ADDRSTRLEN] = "?";

	/* The port is what the kernel chose where 0 was asked for. */
	(void)getsockname(l->fd, &sa.any, &n);
	if (asked->any) {
		snprintf(l->text, sizeof(l->text), "*:%u", ntohs(sa.v6.sin6_port));
	} else if (asked->v4) {
		(void)inet_ntop(AF_INET, &sa.v4.sin_addr, host, sizeof(host));
		snprintf(l->text, sizeof(l->text), "%s:%u", host, ntohs(sa.v4.sin_port));
	} else {
		(void)inet_ntop(AF_INET6, &sa.v6.sin6_addr, host, sizeof(host));
		snprintf(l->text, sizeof(l->text), "[%s]:%u", host,
			ntohs(sa.v6.sin6_port));
	}
}

/* Port 0, a free one, is no address of a configuration: it is taken off before the check.
 */
static bool
read_address(const char *text, struct conf_address *ret)
{
	static const char local[] = "localhost:";
	char full[96];
	size_t n = strlen(text);
	bool is_local = strncmp(text, local, sizeof(local) - 1) == 0;
	bool free_port = n > 2 && n < sizeof(full) && strcmp(text + n - 2, ":0") == 0;

	snprintf(full, sizeof(full), "%s%.80s", is_local ? "127.0.0.1:" : "",
		is_local ? text + sizeof(local) - 1 : text);
	if (free_port)
		full[strlen(full) - 1] = '1';
	if (n > 80 ||
		!conf_address_read(
			(struct view){(const uint8_t *)full, strlen(full)}, ret))
		return false;
	if (free_port)
		ret->port = 0;
	return true;
}

static int
bind_one(struct office *f, const char *name, const char *given, const char *before)
{
	struct office_listener *l = &f->listeners[f->listeners_n];
	struct conf_address a;
	const char *text = given ? given : before;

	*l = (struct office_listener){
		.name = name, .fd = -1, .tls = strcmp(name, "pop3s") == 0};
	if (text[0] == '\0')
		text = "127.0.0.1:0";
	if (!read_address(text, &a))
		return office_say(EX_USAGE,
			"--%s %.80s: must be ADDRESS:PORT, as 127.0.0.1:1110, "
			"[::1]:1110 or 127.0.0.1:0 for a free port",
			name, text);
	l->fd = listen_at(&a, clock_ms() + BIND_MS);
	if (l->fd == -EADDRINUSE && !given) {
		/* Another program took the port of the last run, which nobody asked for
		 * now. */
		a.port = 0;
		l->fd = listen_at(&a, 0);
	}
	if (l->fd < 0)
		return office_say(EX_UNAVAILABLE, "--%s %.80s: cannot listen there: %s",
			name, text, strerror(-l->fd));
	write_address(l, &a);
	f->listeners_n++;
	return 0;
}

/* Only where it is asked for, or was by an earlier run. */
static int
bind_lmtp(struct office *f, const char *before)
{
	struct office_listener *l = &f->listeners[f->listeners_n];
	const char *at = f->o.lmtp ? f->o.lmtp : before;

	if (at[0] == '\0')
		return 0;
	if (office_mkdir_spool(f) != 0)
		return EX_CANTCREAT;
	if (strncmp(at, "unix:", 5) != 0)
		return bind_one(f, "lmtp", f->o.lmtp, before);
	if (strlen(at) >= sizeof(l->text) || strpbrk(at, "\n\r"))
		return office_say(EX_USAGE,
			"--lmtp %.80s: the path is too long or holds a line break", at);
	*l = (struct office_listener){.name = "lmtp", .fd = -1};
	snprintf(l->text, sizeof(l->text), "%s", at);
	f->listeners_n++;
	return 0;
}

int
office_bind(struct office *f)
{
	struct office_before b = {0};

	if (f->reopened)
		office_listeners_before(f, &b);
	int rc = bind_one(f, "pop3", f->o.pop3, b.pop3);
	if (rc == 0)
		rc = bind_one(f, "pop3s", f->o.pop3s, b.pop3s);
	if (rc == 0 && (f->o.kpop || b.kpop[0] != '\0'))
		rc = bind_one(f, "kpop", f->o.kpop, b.kpop);
	return rc == 0 ? bind_lmtp(f, b.lmtp) : rc;
}
