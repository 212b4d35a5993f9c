#include "base/check.h"
#include "base/num.h"
#include "conf/conf_checks.h"

#include <arpa/inet.h>
#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* ---- global options ---- */

static void
check_delimiter(struct conf_reader *r)
{
	struct conf *c = r->conf;
	const char *d = c->recipient_delimiter;

	if (strcmp(d, "none") == 0)
		return;
	/* A letter or a digit would cut names apart, and @ ends the local part. */
	if (strlen(d) == 1 && strchr("!#$%&'*+-/=?^_`{|}~.", d[0]))
		c->delimiter = d[0];
	else
		ini_report(&r->ini, c->lines[CONF_GLOBAL_recipient_delimiter],
			"recipient_delimiter = %.4s: must be one character such as + or "
			"-, or none",
			d);
}

bool
conf_network_read(struct view text, uint8_t ret[CONF_NETWORK_OCTETS])
{
	const uint8_t *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
	size_t n = slash ? (size_t)(slash - text.p) : text.n;
	char host[INET6_ADDRSTRLEN];
	uint8_t *ip = ret;
	uint64_t bits;

	if (n == 0 || n >= sizeof(host))
		return false;
	memcpy(host, text.p, n);
	host[n] = '\0';
	memset(ret, 0, CONF_NETWORK_OCTETS);
	bool v4 = inet_pton(AF_INET, host, ip + 12) == 1;
	if (v4)
		ip[10] = ip[11] = 0xff;
	else if (inet_pton(AF_INET6, host, ip) != 1)
		return false;
	bits = v4 ? 32 : 128;
	if (slash && !num_decimal((struct view){slash + 1, text.n - n - 1}, bits, &bits))
		return false;
	ret[16] = (uint8_t)(bits + (v4 ? 96 : 0));
	for (size_t i = ret[16]; i < 128; i++)
		if (ip[i / 8] & (0x80 >> i % 8))
			return false;
	return true;
}

void
conf_check_networks(struct conf_reader *r, const char *option, uint32_t line,
	const struct conf_list *list, struct conf_networks *ret)
{
	for (size_t i = 0; i < list->n; i++) {
		if (conf_network_read(view_of(list->at[i]), ret->octets + ret->n))
			ret->n += CONF_NETWORK_OCTETS;
		else
			ini_report(&r->ini, line,
				"%s: %.60s: must be an address as 192.0.2.1, or a "
				"network "
				"as 10.0.0.0/8 or 2001:db8::/32 with zeros behind its "
				"bits",
				option, list->at[i]);
	}
}

static void
check_networks(struct conf_reader *r)
{
	struct conf *c = r->conf;
	struct conf_networks all = {0};

	conf_check_networks(r, "lmtp_networks", c->lines[CONF_GLOBAL_lmtp_networks],
		&c->lmtp_networks, &all);
	memcpy(c->networks, all.octets, all.n);
	c->networks_n = all.n;
}

static bool
is_folder(const char *name)
{
	return strlen(name) <= CONF_FOLDER_OCTETS && name[0] != '.' &&
		!strchr(name, '/') && !strstr(name, "..");
}

static void
check_folders(struct conf_reader *r)
{
	struct conf *c = r->conf;
	const struct conf_list *l = &c->maildir_folders;
	uint32_t line = c->lines[CONF_GLOBAL_maildir_folders];

	for (size_t i = 0; i < l->n; i++) {
		size_t n = strlen(l->at[i]);
		if (!is_folder(l->at[i])) {
			ini_report(&r->ini, line,
				"maildir_folders: %.64s: must be the name of a folder "
				"without its dot, at most %d octets, with no slash and "
				"no "
				"`..`",
				l->at[i], CONF_FOLDER_OCTETS);
			continue;
		}
		for (size_t j = 0; j < i; j++)
			if (strcmp(l->at[i], l->at[j]) == 0)
				ini_report(&r->ini, line,
					"maildir_folders: %.64s is there twice, remove "
					"one",
					l->at[i]);
		memcpy(c->folders + c->folders_n, l->at[i], n + 1);
		c->folders_n += n + 1;
	}
}

void
conf_check_delivery(struct conf_reader *r)
{
	struct conf *c = r->conf;

	check_delimiter(r);
	check_networks(r);
	check_folders(r);
	for (size_t i = 0; i < c->listeners_n; i++)
		c->delivers |= c->listeners[i].protocol == CONF_PROTOCOL_LMTP;
	if (c->message_size_max > c->spool_total)
		ini_report(&r->ini,
			c->lines[CONF_GLOBAL_message_size_max]
				? c->lines[CONF_GLOBAL_message_size_max]
				: c->lines[CONF_GLOBAL_spool_total],
			"a message of message_size_max would not fit into spool_total, "
			"raise spool_total");
}

/* ---- listeners ---- */

void
conf_check_socket_options(struct conf_reader *r, const struct conf_listener *l)
{
	static const enum conf_option options[] = {
		CONF_LISTENER_socket_mode, CONF_LISTENER_socket_group};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (l->lines[options[i]] > 0)
			ini_report(&r->ini, l->lines[options[i]],
				"%s is for an address that begins with unix:, remove it",
				conf_rows[options[i]].name);
}

static bool
same_address(const struct conf_listener *a, const struct conf_listener *b)
{
	if (a->path || b->path)
		return a->path && b->path && strcmp(a->path, b->path) == 0;
	if (a->at.port != b->at.port || a->at.port == 0)
		return false;
	return a->at.any || b->at.any ||
		memcmp(a->at.ip, b->at.ip, sizeof(a->at.ip)) == 0;
}

void
conf_check_address_once(struct conf_reader *r, const struct conf_listener *l)
{
	for (const struct conf_listener *o = r->conf->listeners; o < l; o++)
		if (o->texts[CONF_LISTENER_address].n > 0 && same_address(o, l))
			ini_report(&r->ini, l->lines[CONF_LISTENER_address],
				"listeners %s and %s have the same address, change one",
				o->name, l->name);
}

static void
check_unix(struct conf_reader *r, struct conf_listener *l)
{
	const char *path = l->address + 5;
	uint32_t mode = 0;
	bool octal = true;

	if (!conf_path_is_normal(view_of(path)) || strlen(path) > CONF_SOCKET_PATH_MAX) {
		ini_report(&r->ini, l->lines[CONF_LISTENER_address],
			"address = %.112s: behind unix: must be an absolute path of at "
			"most %d octets without `.`, `..`, `//` or a slash at its end",
			l->address, CONF_SOCKET_PATH_MAX);
		return;
	}
	l->path = path;
	for (const char *p = l->socket_mode; *p; p++) {
		octal &= *p >= '0' && *p <= '7';
		mode = mode * 8 + ((uint32_t)*p & 7);
	}
	if (!octal || mode > 0777 || (mode & 0600) != 0600)
		ini_report(&r->ini, l->lines[CONF_LISTENER_socket_mode],
			"socket_mode = %.4s: must be octal digits from 0600 to 0777, as "
			"0660",
			l->socket_mode);
	l->mode = mode;
}

static bool
is_loopback(const struct conf_address *a)
{
	static const uint8_t v6[16] = {[15] = 1};

	if (a->any)
		return false;
	return a->v4 ? a->ip[12] == 127 : memcmp(a->ip, v6, sizeof(v6)) == 0;
}

static void
check_tcp(struct conf_reader *r, struct conf_listener *l)
{
	conf_check_socket_options(r, l);
	if (!conf_address_read(l->texts[CONF_LISTENER_address], &l->at)) {
		ini_report(&r->ini, l->lines[CONF_LISTENER_address],
			"address = %.112s: must be unix:/PATH, 127.0.0.1:24, [::1]:24 or "
			"*:24",
			l->address);
		return;
	}
	if (!is_loopback(&l->at) && r->conf->lmtp_networks.n == 0)
		ini_report(&r->ini, l->lines[CONF_LISTENER_address],
			"listener %s takes mail from other machines: name those that may "
			"deliver with lmtp_networks, or listen on 127.0.0.1 or [::1]",
			l->name);
}

void
conf_check_lmtp(struct conf_reader *r, struct conf_listener *l)
{
	static const enum conf_option of_logins[] = {CONF_LISTENER_plaintext,
		CONF_LISTENER_apop, CONF_LISTENER_mechanisms,
		CONF_LISTENER_proxy_networks, CONF_LISTENER_xclient_networks,
		CONF_LISTENER_client_certificates, CONF_LISTENER_tls_profile};

	if (l->lines[CONF_LISTENER_tls] > 0)
		ini_report(&r->ini, l->lines[CONF_LISTENER_tls],
			"tls is for `protocol = pop3`: LMTP is spoken on this machine or "
			"in a network of its own, remove it");
	for (size_t i = 0; i < ARRAY_SIZE(of_logins); i++)
		if (l->lines[of_logins[i]] > 0)
			ini_report(&r->ini, l->lines[of_logins[i]],
				"%s is for `protocol = pop3`: nobody logs in over LMTP, "
				"remove it",
				conf_rows[of_logins[i]].name);
	if (l->texts[CONF_LISTENER_address].n == 0) {
		if (l->lines[CONF_LISTENER_address] == 0)
			ini_report(&r->ini, l->line,
				"listener %s needs `address = unix:/PATH` or `address = "
				"127.0.0.1:24`",
				l->name);
		return;
	}
	if (strncmp(l->address, "unix:", 5) == 0)
		check_unix(r, l);
	else
		check_tcp(r, l);
	conf_check_address_once(r, l);
}
