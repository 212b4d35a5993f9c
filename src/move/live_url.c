/*
 * live_url.c: pop3s://[USER@]HOST[:PORT], and the name sent at login. Pure.
 */
#include "base/ascii.h"
#include "base/num.h"
#include "move/live.h"
#include "move/show.h"

#include <string.h>

static bool
starts(struct view v, const char *with)
{
	size_t n = strlen(with);

	return v.n >= n && ascii_equal_nocase((struct view){v.p, n}, show_view(with));
}

static bool
nibble(uint8_t c, uint8_t *ret)
{
	uint8_t low = ascii_lower(c);

	if (ascii_is_digit(c))
		*ret = (uint8_t)(c - '0');
	else if (low >= 'a' && low <= 'f')
		*ret = (uint8_t)(low - 'a' + 10);
	else
		return false;
	return true;
}

/* RFC 3986 s.2.1: %XX; NUL and line ends cannot be sent. */
static bool
read_user(struct view v, char ret[LIVE_NAME_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i], high, low;

		if (c == '%') {
			if (v.n - i < 3 || !nibble(v.p[i + 1], &high) ||
				!nibble(v.p[i + 2], &low))
				return false;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (c < ' ' || c == 0x7F || n == LIVE_NAME_MAX)
			return false;
		ret[n++] = (char)c;
	}
	ret[n] = '\0';
	return n > 0;
}

static bool
is_host_octet(uint8_t c, bool v6)
{
	uint8_t low = ascii_lower(c);

	if (ascii_is_digit(c) || (low >= 'a' && low <= 'z'))
		return true;
	return v6 ? c == ':' || c == '.' || c == '%'
		  : c == '-' || c == '.' || c == '_' || c >= 0x80;
}

static bool
read_host(struct view v, bool v6, char ret[LIVE_NAME_MAX + 1])
{
	if (v.n == 0 || v.n > LIVE_NAME_MAX)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!is_host_octet(v.p[i], v6))
			return false;
	memcpy(ret, v.p, v.n);
	ret[v.n] = '\0';
	return true;
}

/* HOST, HOST:PORT, [V6], [V6]:PORT */
static const char *
read_place(struct view v, struct live_url *ret)
{
	bool v6 = v.n > 0 && v.p[0] == '[';
	const uint8_t *end = v.n > 0 ? memchr(v.p, v6 ? ']' : ':', v.n) : NULL;
	struct view host = v, port = {NULL, 0};
	uint64_t n;

	if (v6 && !end)
		return "the address has no ] at its end";
	if (v6) {
		host = (struct view){v.p + 1, (size_t)(end - v.p) - 1};
		v.n -= (size_t)(end + 1 - v.p);
		v.p = end + 1;
		end = v.n > 0 ? v.p : NULL;
	} else if (end) {
		host.n = (size_t)(end - v.p);
	}
	if (!read_host(host, v6, ret->host))
		return "the host must be a name or an address, IPv6 in [ ]";
	if (!end)
		return NULL;
	port = (struct view){end + 1, v.n - (size_t)(end + 1 - v.p)};
	if (*end != ':' || !num_decimal(port, 65535, &n) || n == 0)
		return "the port must be a number from 1 to 65535";
	ret->port = (uint16_t)n;
	return NULL;
}

bool
live_url_read(const char *text, struct live_url *ret, const char **ret_why)
{
	struct view v = show_view(text);
	struct live_url url = {0};

	if (starts(v, "pop3s://")) {
		url.tls = true;
		url.port = 995;
		v = show_view(text + strlen("pop3s://"));
	} else if (starts(v, "pop3://")) {
		url.port = 110;
		v = show_view(text + strlen("pop3://"));
	} else {
		*ret_why = "a server is given as pop3s://[USER@]HOST[:PORT] or "
			   "pop3://[USER@]HOST[:PORT]";
		return false;
	}
	if (v.n > 0 && v.p[v.n - 1] == '/')
		v.n--;
	size_t at = v.n;
	while (at > 0 && v.p[at - 1] != '@')
		at--;
	if (at > 0) {
		struct view user = {v.p, at - 1};
		if (user.n > 0 && memchr(user.p, ':', user.n)) {
			*ret_why = "a password does not belong into the URL, where every "
				   "user of the machine sees it; a colon in a name is "
				   "written %3A";
			return false;
		}
		if (!read_user(user, url.user)) {
			*ret_why = "the user in the URL is empty, too long or not well "
				   "written (%XX for odd octets)";
			return false;
		}
		v.n -= at;
		v.p += at;
	}
	*ret_why = read_place(v, &url);
	if (*ret_why)
		return false;
	*ret = url;
	return true;
}

/* What a letter behind % stands for, or NULL. */
static const char *
variable(char c, const char *user, const char *master)
{
	switch (c) {
	case 'u': return user;
	case 'm': return master;
	case '%': return "%";
	default: return NULL;
	}
}

bool
live_login_name(const char *format, const char *user, const char *master,
	char ret[2 * LIVE_NAME_MAX + 2])
{
	struct buf out = buf_over(ret, (size_t)2 * LIVE_NAME_MAX + 1);
	bool named = false;

	if (!format)
		format = master ? "%u*%m" : "%u";
	for (const char *c = format; *c; c++) {
		if (*c != '%') {
			buf_put_u8(&out, (uint8_t)*c);
			continue;
		}
		const char *value = variable(*++c, user, master);
		if (!value)
			return false;
		named = named || *c == 'u';
		buf_put_str(&out, value);
	}
	if (out.full || !named)
		return false;
	ret[out.n] = '\0';
	return true;
}
