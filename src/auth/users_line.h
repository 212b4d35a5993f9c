/*
 * users_line.h: one line of the users file. Pure.
 *
 *     name:password:uid:gid:gecos:home:shell:extra fields
 *
 * as in Dovecot's passwd-file. Fields at the end may be missing; the last one is all that
 * is left, colons too: key=value pairs with blanks between them.
 */
#ifndef AUTH_USERS_LINE_H
#define AUTH_USERS_LINE_H

#include "auth/maildrop.h"
#include "auth/scheme.h"

#include <stdbool.h>

#define USERS_LINE_MAX 8192

/* FAULT(NAME, what it means and what to do); the log adds file, line, user and what it is
 * about */
#define USERS_FAULTS(FAULT)                                                              \
	FAULT(LONG, "the line is longer than 8192 octets")                               \
	FAULT(CRLF, "the line ends in CR LF; lines end in LF")                           \
	FAULT(CONTROL, "the line holds a control character")                             \
	FAULT(NO_NAME, "the line has no user name before the first colon")               \
	FAULT(NAME_LONG, "the user name is longer than 255 octets")                      \
	FAULT(DUPLICATE, "the name stands in an earlier line, which counts")             \
	FAULT(TOO_MANY,                                                                  \
		"there are more than 5000000 users; this one and later ones are left "   \
		"out")                                                                   \
	FAULT(NO_PASSWORD, "there is no password; the user cannot log in")               \
	FAULT(LOCKED, "the password is locked")                                          \
	FAULT(SCHEME_UNKNOWN, "unknown password scheme")                                 \
	FAULT(HASH_BAD, "the password is not a valid hash of its scheme")                \
	FAULT(HASH_COSTLY, "the hash costs more memory or time than is allowed")         \
	FAULT(UID_MISSING, "no uid: give one, or set option mail_uid")                   \
	FAULT(UID_BAD,                                                                   \
		"the uid must be a number from 1 to 4294967294 (names are not "          \
		"resolved)")                                                             \
	FAULT(GID_MISSING, "no gid: give one, or set option mail_gid")                   \
	FAULT(GID_BAD,                                                                   \
		"the gid must be a number from 1 to 4294967294 (names are not "          \
		"resolved)")                                                             \
	FAULT(EXTRA_UNKNOWN, "unknown extra field")                                      \
	FAULT(READ_ONLY_BAD, "userdb_read_only must be yes or no")                       \
	FAULT(MAIL_FORM,                                                                 \
		"the maildrop must be maildir:PATH, mbox:PATH or mbox:DIR:INBOX=PATH, "  \
		"without further options")                                               \
	FAULT(MAIL_VARIABLE,                                                             \
		"the maildrop holds an unknown variable; known are %u %n %d %h %%")      \
	FAULT(MAIL_EMPTY, "the maildrop uses a part that this name does not have")       \
	FAULT(MAIL_NAME, "a name with / or .. cannot be part of a maildrop's path")      \
	FAULT(MAIL_HOME, "the maildrop needs a home directory, and an absolute one")     \
	FAULT(MAIL_RELATIVE, "the maildrop is not an absolute path")                     \
	FAULT(MAIL_DOTS, "the maildrop's path holds . or .. as a component")             \
	FAULT(MAIL_LONG, "the maildrop's path is longer than 1024 octets")

enum users_fault {
	USERS_OK,
#define FAULT(NAME, text) USERS_##NAME,
	USERS_FAULTS(FAULT)
#undef FAULT
};

/* What holds for users whose line says nothing of its own. */
struct users_options {
	struct view maildrop; /* template */
	uint32_t uid, gid;    /* 0: none */
};

struct user {
	struct view name; /* borrowed from the line */
	uint32_t uid, gid;
	uint8_t store;	/* enum store_kind */
	bool read_only; /* nothing may be deleted */
	/* The maildrop and its owner are known, whatever else is wrong: mail can be
	 * delivered. */
	bool has_maildrop;
	uint8_t maildrop_octets[MAILDROP_OCTETS_MAX];
	size_t maildrop_n;
	struct stored stored;
};

/* Nothing but blanks, or a comment. */
bool users_line_is_empty(struct view line);

/*
 * The line without its LF. On a fault *ret_about says which word it is about (borrowed;
 * never a password); ret->name is set, empty where there is none. After any fault the
 * user cannot log in.
 */
[[nodiscard]] enum users_fault users_line_read(struct view line,
	const struct users_options *options, struct user *ret, struct view *ret_about);
const char *users_fault_text(enum users_fault fault);

#endif
