/*
 * lmtp_parse.h: one command line of LMTP, without its CRLF, against the rows of
 * lmtp_commands.def and lmtp_parameters.def; and paths. Knows nothing of what went
 * before.
 */
#ifndef WIRE_LMTP_PARSE_H
#define WIRE_LMTP_PARSE_H

#include "pop3/view.h"
#include "wire/lmtp_server.h"

#include <stdbool.h>
#include <stdint.h>

/* Columns of lmtp_commands.def. */
enum lmtp_state {
	NOWHERE = 0,
	BEFORE_LHLO = 1,
	READY = 2,
	IN_MAIL = 4,
	IN_CHUNKS = 8,
	EVERYWHERE = 15,
};
enum lmtp_argument {
	ARGUMENT_NONE,
	ARGUMENT_ANY,
	ARGUMENT_WORD,
	ARGUMENT_FROM,
	ARGUMENT_TO,
	ARGUMENT_CHUNK,
	ARGUMENT_TEXT,
};

enum lmtp_command {
#define COMMAND(NAME, states, argument, usage) LMTP_##NAME,
#include "wire/lmtp_commands.def"
#undef COMMAND
	LMTP_COMMANDS
};

enum lmtp_reply {
#define REPLY(NAME, code, enhanced, words) LMTP_REPLY_##NAME,
#include "wire/lmtp_answers.def"
	LMTP_REPLIES
};

struct lmtp_command_row {
	const char *name, *usage;
	uint8_t states, argument;
};
const struct lmtp_command_row *lmtp_command_row(enum lmtp_command c);

/* A path of RFC 5321 s.4.1.2 without its <> and source route; views into the line. */
struct lmtp_path {
	struct view local;   /* as written, with its quotes */
	struct view domain;  /* empty: there is none, and no @ */
	struct view mailbox; /* local and domain with the @ between them */
	bool quoted;
};

struct lmtp_request {
	enum lmtp_command command;
	bool known;	 /* `command` is one, even where its argument is not sound */
	bool chunk_last; /* BDAT: LAST */
	bool utf8;	 /* MAIL: SMTPUTF8 */
	bool eight_bit;	 /* octets above 127 are in it, and they are valid UTF-8 */
	uint64_t chunk;	 /* BDAT */
	uint64_t size;	 /* MAIL: SIZE=; what does not fit is UINT64_MAX */
	struct lmtp_path path; /* MAIL, RCPT */
};

/* LMTP_REPLY_OK where the line is sound; else what is to be said. */
enum lmtp_reply lmtp_parse(struct view line, struct lmtp_request *ret);

/*
 * `<...>` from the front of `in`, which is moved behind it. `<>` gives an empty mailbox.
 * False, and `in` as it was: no path, or one beyond LMTP_PATH_MAX.
 */
[[nodiscard]] bool lmtp_path_take(struct view *in, struct lmtp_path *ret);
/* The mailbox with the quotes of its local part undone; octets written to out. */
size_t lmtp_path_unquote(const struct lmtp_path *p, uint8_t out[LMTP_PATH_MAX]);

#endif
