/*
 * pop3_parse.h: one command line, without its end, against the rows of pop3_commands.def.
 * Knows nothing of what went before.
 */
#ifndef WIRE_POP3_PARSE_H
#define WIRE_POP3_PARSE_H

#include "pop3/server.h"

/* Columns of pop3_commands.def. */
enum command_states { IN_AUTHORIZATION = 1, IN_TRANSACTION = 2, IN_BOTH = 3 };
enum command_arguments {
	ARG_NONE,
	ARG_NUMBER,
	ARG_NUMBER_MAYBE,
	ARG_NUMBER_LINES,
	ARG_TEXT,
	ARG_SASL,
	ARG_APOP,
	ARG_LANG,
	ARG_XCLIENT,
};
enum command_answer { ONE, MANY, MANY_ALONE };
enum command_user { FORGETS_USER, KEEPS_USER };
enum command_when { ALWAYS, WITH_LAST, WITH_APOP, WITH_UTF8, WITH_XCLIENT };

struct command_row {
	const char *name, *usage;
	uint8_t states, arguments, answer, user, when;
};

/* Columns of pop3_mechanisms.def. */
enum mechanism_shows { SAFE, SHOWS };
enum mechanism_first { CLIENT, SERVER, EITHER };
enum mechanism_needs { NEEDS_NOTHING, NEEDS_BINDING, NEEDS_CERTIFICATE };

struct mechanism_row {
	const char *name;
	uint8_t shows, first, needs;
};

enum parse_result {
	PARSE_OK,
	PARSE_UNKNOWN,	 /* no such command */
	PARSE_SYNTAX,	 /* ret->command is known, its arguments are not sound */
	PARSE_MECHANISM, /* AUTH with a mechanism that no row has */
};

const struct command_row *command_row(enum pop3_command c);
const struct mechanism_row *mechanism_row(enum pop3_mechanism m);
enum parse_result parse_command(struct view line, struct pop3_request *ret);

#endif
