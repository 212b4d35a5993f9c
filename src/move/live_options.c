#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "move/live.h"
#include "move/show.h"
#include "move/tool_options.h"

#include <stdio.h>
#include <string.h>

#define TIMEOUT_S_MAX 3600

void
live_options_init(struct live_options *o)
{
	*o = (struct live_options){.timeout_ms = LIVE_TIMEOUT_MS};
}

const char *
live_options_help(void)
{
	return "  --ca FILE            certificates to believe in, PEM (default: the "
	       "system's)\n"
	       "  --pin SHA256         of the server's public key, 64 hex digits; with "
	       "pins\n"
	       "                       they alone decide; may be given again, up to 8\n"
	       "  --plaintext          go on without TLS at pop3://\n"
	       "  --timeout SECONDS    of silence, in any step (default 60)\n"
	       "  --master NAME        log in as this master user; the password is the "
	       "master's\n"
	       "  --login-format TEXT  the name that is sent: %u user, %m master, %% "
	       "percent\n"
	       "                       (default %u, with a master %u*%m)\n";
}

/* ---- one function an option; a reason, or NULL ---- */

static const char *
set_ca(void *into, const char *value)
{
	struct live_options *o = into;

	o->tls.ca_file = value;
	return NULL;
}

static const char *
set_pin(void *into, const char *value)
{
	struct live_options *o = into;
	uint8_t hex[2 * TLS_PIN_OCTETS];
	size_t n = 0;

	/* As our own messages show it. */
	if (strncmp(value, "sha256:", 7) == 0)
		value += 7;
	for (const char *c = value; *c; c++) {
		if (*c == ':')
			continue;
		if (n == sizeof(hex))
			return "more than 64 hex digits";
		hex[n++] = ascii_lower((uint8_t)*c);
	}
	if (o->tls.pins_n == TLS_PINS_MAX)
		return "more than 8 pins";
	if (!show_hex_read(
		    (struct view){hex, n}, o->tls.pins[o->tls.pins_n], TLS_PIN_OCTETS))
		return "a pin is the SHA-256 of the server's public key, 64 hex digits";
	o->tls.pins_n++;
	return NULL;
}

static const char *
set_plaintext(void *into, const char *value)
{
	struct live_options *o = into;

	(void)value;
	o->plaintext = true;
	return NULL;
}

static const char *
set_timeout(void *into, const char *value)
{
	struct live_options *o = into;
	uint64_t s;

	if (!num_decimal(show_view(value), TIMEOUT_S_MAX, &s) || s == 0)
		return "a timeout is a number of seconds from 1 to 3600";
	o->timeout_ms = (uint32_t)s * 1000;
	return NULL;
}

static const char *
set_master(void *into, const char *value)
{
	struct live_options *o = into;

	if (!value[0] || strlen(value) > LIVE_NAME_MAX)
		return "a name has 1 to 255 octets";
	o->master = value;
	return NULL;
}

static const char *
set_format(void *into, const char *value)
{
	struct live_options *o = into;
	char name[2 * LIVE_NAME_MAX + 2];

	if (!live_login_name(value, "u", "m", name))
		return "it must hold %u, and no variable but %u, %m and %%";
	o->format = value;
	return NULL;
}

static const struct tool_option rows[] = {
	{"--ca", true, set_ca},
	{"--pin", true, set_pin},
	{"--plaintext", false, set_plaintext},
	{"--timeout", true, set_timeout},
	{"--master", true, set_master},
	{"--login-format", true, set_format},
};

int
live_option(
	struct live_options *o, int argc, char **argv, int *i, char *why, size_t why_n)
{
	return tool_option_take(rows, ARRAY_SIZE(rows), o, argc, argv, i, why, why_n);
}
