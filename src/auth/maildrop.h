/*
 * maildrop.h: where a user's mail lies, from a template: maildir:PATH, mbox:PATH, or
 * mbox:DIR:INBOX=PATH, which is how Dovecot's configurations say mbox:PATH. Pure.
 *
 * %u the whole name, %n what is before the first @, %d what is behind it, %h the home
 * directory, %% a percent sign; ~ at the start of the path is the home directory.
 */
#ifndef AUTH_MAILDROP_H
#define AUTH_MAILDROP_H

#include "base/buf.h"
#include "pop3/view.h"

/* GRANT.maildrop */
#define MAILDROP_OCTETS_MAX 1024
#define MAILDROP_NAME_MAX   255

enum maildrop_fault {
	MAILDROP_OK,
	MAILDROP_FORM,	   /* none of the forms above */
	MAILDROP_VARIABLE, /* a % that is none of the above */
	MAILDROP_EMPTY, /* a variable with nothing to stand for it (%d of a name without
			   @) */
	MAILDROP_NAME,	/* the name holds "/", "..", a control character or is too long */
	MAILDROP_HOME,	/* the home directory is missing or not absolute */
	MAILDROP_RELATIVE, /* the path does not begin with / */
	MAILDROP_DOTS,	   /* "." or ".." as a component */
	MAILDROP_LONG,
};

struct maildrop_of {
	struct view name, home;
};

/*
 * Puts the path (without its kind, which is *ret_store: enum store_kind) into *out, which
 * is empty; on a fault what it holds is void.
 */
[[nodiscard]] enum maildrop_fault maildrop_expand(struct view template,
	const struct maildrop_of *of, struct buf *out, uint8_t *ret_store);

#endif
