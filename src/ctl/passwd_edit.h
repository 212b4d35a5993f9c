/*
 * passwd_edit.h: a users file with one user set or taken out. Pure: octets in, octets
 * out.
 *
 * Everything else stays as it is: comments, order, fields that are not given, extra
 * fields of any name.
 */
#ifndef CTL_PASSWD_EDIT_H
#define CTL_PASSWD_EDIT_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>

#define PASSWD_NAME_MAX 255
#define PASSWD_LINE_MAX 8192
/* By how much a file can grow: one line. */
#define PASSWD_GROWTH_MAX (PASSWD_LINE_MAX + 2)

/* What a field becomes; a null pointer leaves it as it is. */
struct passwd_change {
	struct view name;
	bool remove;
	struct view password;
	struct view uid, gid, home, mail;
};

enum passwd_edit {
	PASSWD_CHANGED, /* the user's line was there */
	PASSWD_ADDED,
	PASSWD_REMOVED,
	PASSWD_ABSENT, /* nothing to remove */
	PASSWD_LONG,   /* the line would be longer than 8192 octets */
};

/*
 * Text for what is wrong with a name or a field, or NULL. A field holds no colon and no
 * control character; mail no blank either, since blanks part the extra fields.
 */
const char *passwd_name_fault(struct view name);
const char *passwd_change_fault(const struct passwd_change *c);
/*
 * The new file into *out, which has room for file.n + PASSWD_GROWTH_MAX. The first line
 * of the name is changed, for it is the one that counts; with `remove`, all are taken
 * out.
 */
[[nodiscard]] enum passwd_edit passwd_edit(
	struct view file, const struct passwd_change *c, struct buf *out);

#endif
