#include "ctl/ctl_people.h"

#include "base/ascii.h"
#include "base/ticket.h"
#include "conf/conf.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define NAME_MAX_OCTETS 1024

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static int
say(const char *what, const char *detail)
{
	fprintf(stderr, "restante: %.200s%s\n", detail, what);
	return EX_USAGE;
}

/* A name goes to the end of its line. */
static bool
is_name(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= NAME_MAX_OCTETS && !strpbrk(name, "\n\r");
}

static void
put_hex(const uint8_t *octets, size_t n, char *text)
{
	for (size_t i = 0; i < n; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", octets[i]);
}

int
people_kick(const struct people *p, char command[PEOPLE_COMMAND_MAX])
{
	int given = (p->session != NULL) + (p->address != NULL) + p->words_n;
	uint8_t network[CONF_NETWORK_OCTETS];
	char hex[2 * CONF_NETWORK_OCTETS + 1];

	if (given != 1)
		return say("say one of: kick USER, kick --session FRONT/SESSION, kick "
			   "--address NETWORK",
			"");
	if (p->words_n == 1 && !is_name(p->words[0]))
		return say(
			": a name has 1 to 1024 octets and no line break", p->words[0]);
	if (p->words_n == 1) {
		(void)snprintf(command, PEOPLE_COMMAND_MAX, "kick user %s", p->words[0]);
	} else if (p->session) {
		if (strspn(p->session, "0123456789/") != strlen(p->session) ||
			strlen(p->session) > 41)
			return say(
				": a session is FRONT/SESSION, as `restante who` shows "
				"them",
				p->session);
		(void)snprintf(
			command, PEOPLE_COMMAND_MAX, "kick session %s", p->session);
	} else {
		if (!conf_network_read(view_of(p->address), network))
			return say(
				": must be an address as 192.0.2.1, or a network as "
				"10.0.0.0/8 or 2001:db8::/32 with zeros behind its bits",
				p->address);
		put_hex(network, sizeof(network), hex);
		(void)snprintf(command, PEOPLE_COMMAND_MAX, "kick network %s", hex);
	}
	return EX_OK;
}

/* Its place in conf_mechanism_names; 0: there is none. */
static unsigned
mechanism_of(const char *name)
{
	for (unsigned i = 1; i < CONF_MECHANISMS; i++)
		if (conf_mechanism_names[i] &&
			ascii_equal_nocase(
				view_of(name), view_of(conf_mechanism_names[i])))
			return i;
	return 0;
}

static int
why_login(const struct people *p, char command[PEOPLE_COMMAND_MAX])
{
	uint8_t network[CONF_NETWORK_OCTETS];
	char hex[33];
	unsigned mechanism = p->mechanism ? mechanism_of(p->mechanism) : 1;

	if (!is_name(p->words[0]))
		return say(
			": a name has 1 to 1024 octets and no line break", p->words[0]);
	if (strchr(p->words[2], '/') || !conf_network_read(view_of(p->words[2]), network))
		return say(
			": must be an address as 192.0.2.1 or 2001:db8::1", p->words[2]);
	if (mechanism == 0)
		return say(": there is no such mechanism, see restante.conf(5)",
			p->mechanism);
	put_hex(network, 16, hex);
	(void)snprintf(command, PEOPLE_COMMAND_MAX, "why login %s %s %u %s", hex,
		p->tls == 0 ? "no" : "yes", mechanism, p->words[0]);
	return EX_OK;
}

int
people_why(const struct people *p, char command[PEOPLE_COMMAND_MAX])
{
	uint32_t id;

	if (p->words_n == 3 && strcmp(p->words[1], "from") == 0)
		return why_login(p, command);
	if (p->words_n != 1 || p->mechanism || p->tls >= 0)
		return say("say why USER from ADDRESS, or why ID", "");
	if (!ticket_read(view_of(p->words[0]), &id) || id == 0)
		return say(": is no id of a refusal: they look like 1B2F-7Q3; for a user "
			   "say why USER from ADDRESS",
			p->words[0]);
	(void)snprintf(command, PEOPLE_COMMAND_MAX, "why id %u", id);
	return EX_OK;
}

int
people_why_status(const char *answer, size_t n)
{
	static const char good[] = "\nrefused: no\n";

	/* Values hold no line ends, so this is a line of its own. */
	return n > 0 && memmem(answer, n, good, sizeof(good) - 1) ? 0 : 1;
}
