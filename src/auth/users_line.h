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
#include "auth/policy.h"
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
	FAULT(YES_NO_BAD, "nologin, pop3, tls and apop must be yes or no")               \
	FAULT(NETS_BAD,                                                                  \
		"allow_nets must be 1 to 16 networks with commas between them, as "      \
		"10.0.0.0/8,2001:db8::/32")                                              \
	FAULT(MECHANISMS_BAD,                                                            \
		"mechanisms must be names with commas between them, as "                 \
		"USER,SCRAM-SHA-256")                                                    \
	FAULT(CERTIFICATE_BAD,                                                           \
		"certificate must be a SHA-256 of 64 hex digits; a user has 4 of them "  \
		"at most")                                                               \
	FAULT(EXPIRE_BAD, "expire must be a number of days to 36500, or never")          \
	FAULT(NUMBER_BAD,                                                                \
		"login_delay must be 0 to 86400, connections 1 to 65535, "               \
		"logins_per_minute 0 to 100000")                                         \
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
	/* An empty password is no fault: only the database can check it. */
	bool password_elsewhere;
	/* This very line was read before, without a fault: what costs most is not checked
	 * twice. */
	bool is_sound;
	/* Which mechanisms a password can serve, for users_offer; NULL: nobody asks. */
	uint32_t (*mechanisms_of)(const struct stored *s);
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
	bool has_stored; /* else `stored` is void */
	struct stored stored;
	struct user_policy policy;
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
