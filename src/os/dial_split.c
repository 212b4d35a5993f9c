#include "base/ascii.h"
#include "base/buf.h"
#include "base/num.h"
#include "os/dial_parts.h"

#include <errno.h>
#include <string.h>

#define HOST_SHOWN_MAX 128

static bool
take_port(const char *text, uint16_t *ret)
{
	uint64_t port;

	if (!num_decimal((struct view){(const uint8_t *)text, strlen(text)}, UINT16_MAX,
		    &port) ||
		port == 0)
		return false;
	*ret = (uint16_t)port;
	return true;
}

static bool
take_host(const char *p, size_t n, char *host, size_t cap)
{
	if (n == 0 || n >= cap)
		return false;
	memcpy(host, p, n);
	host[n] = '\0';
	return true;
}

bool
dial_split(const char *text, uint16_t default_port, char *host, size_t cap,
	uint16_t *ret_port)
{
	const char *colon = strchr(text, ':');
	const char *host_p = text, *port_p = NULL;
	size_t host_n = strlen(text);
	uint16_t port = default_port;

	if (text[0] == '[') {
		const char *end = strchr(text, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return false;
		host_p = text + 1;
		host_n = (size_t)(end - host_p);
		port_p = end[1] == ':' ? end + 2 : NULL;
	} else if (text[0] != '/' && colon && !strchr(colon + 1, ':')) {
		/* More than one colon is an IPv6 address without a port. */
		host_n = (size_t)(colon - text);
		port_p = colon + 1;
	}
	if (port_p && !take_port(port_p, &port))
		return false;
	if (!take_host(host_p, host_n, host, cap))
		return false;
	*ret_port = port;
	return true;
}

bool
dial_split_proxy(
	const char *text, struct socks *s, char host[DIAL_HOST_MAX], uint16_t *ret_port)
{
	/* A password may hold an @, a host may not. */
	const char *at = strrchr(text, '@');
	const char *place = at ? at + 1 : text;

	s->user[0] = s->password[0] = '\0';
	if (at) {
		const char *colon = memchr(text, ':', (size_t)(at - text));
		if (!colon ||
			!take_host(
				text, (size_t)(colon - text), s->user, sizeof(s->user)) ||
			!take_host(colon + 1, (size_t)(at - colon - 1), s->password,
				sizeof(s->password)))
			return false;
	}
	return place[0] != '/' &&
		dial_split(place, SOCKS_PORT, host, DIAL_HOST_MAX, ret_port) &&
		dial_host_is_good(host);
}

bool
dial_host_is_good(const char *host)
{
	size_t n = strlen(host);

	if (n == 0 || n >= DIAL_HOST_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!ascii_is_graph((uint8_t)host[i]))
			return false;
	return true;
}

static void
name_target(struct dial *d, const struct dial_target *t)
{
	struct buf b = buf_over(d->target, sizeof(d->target) - 1);
	size_t n = strlen(t->host);
	size_t shown = n < HOST_SHOWN_MAX ? n : HOST_SHOWN_MAX;

	for (size_t i = 0; i < shown; i++)
		buf_put_u8(&b,
			ascii_is_graph((uint8_t)t->host[i]) ? (uint8_t)t->host[i]
							    : (uint8_t)'?');
	if (shown < n)
		buf_put_str(&b, "...");
	if (t->host[0] != '/') {
		buf_put_str(&b, " port ");
		buf_put_dec(&b, t->port);
	}
	d->target[b.n] = '\0';
}

static void
refuse(struct dial *d, const char *why)
{
	d->bad = -EINVAL;
	d->bad_why = why;
	d->proxied = false; /* not for the message either */
}

void
dial_aim(struct dial *d, const struct dial_target *t)
{
	size_t n = strlen(t->host);

	name_target(d, t);
	d->port = t->port;
	d->is_unix = t->host[0] == '/';
	d->proxied = t->socks5 && !d->is_unix;
	if (n < sizeof(d->host))
		memcpy(d->host, t->host, n + 1);
	if (n >= sizeof(d->host))
		refuse(d, "the name is too long");
	else if (!d->is_unix && !dial_host_is_good(t->host))
		refuse(d,
			"this is no host name (write other than ASCII letters in their "
			"xn-- form)");
	else if (!d->is_unix && t->port == 0)
		refuse(d, "there is no port 0");
	if (!d->proxied)
		return;
	memcpy(d->socks.host, t->host, n + 1);
	d->socks.port = t->port;
	if (!dial_split_proxy(t->socks5, &d->socks, d->host, &d->port))
		refuse(d,
			"the SOCKS5 proxy is not of the form "
			"[USER:PASSWORD@]HOST:PORT");
}
