#include "move/who_line.h"

#include "auth/maildrop.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"

#include <string.h>

#define LINE_MAX_OCTETS 8192
#define ID_MAX		4294967294U

enum field { NAME, PASSWORD, UID, GID, GECOS, HOME, SHELL, EXTRA, MAIL, FIELDS };

static const struct {
	const char *key;
	enum field field;
} extras[] = {
	{"userdb_mail=", MAIL},
	{"userdb_uid=", UID},
	{"userdb_gid=", GID},
	{"userdb_home=", HOME},
};

static void
split(struct view line, struct view of[FIELDS])
{
	for (size_t i = NAME; i <= EXTRA; i++) {
		const uint8_t *colon =
			i == EXTRA || line.n == 0 ? NULL : memchr(line.p, ':', line.n);
		size_t n = colon ? (size_t)(colon - line.p) : line.n;

		of[i] = (struct view){line.p, n};
		line.p += colon ? n + 1 : n;
		line.n -= colon ? n + 1 : n;
	}
	of[MAIL] = (struct view){line.p, 0};
}

static void
take_extra(struct view word, struct view of[FIELDS])
{
	for (size_t i = 0; i < ARRAY_SIZE(extras); i++) {
		size_t n = strlen(extras[i].key);
		if (word.n >= n && memcmp(word.p, extras[i].key, n) == 0)
			of[extras[i].field] = (struct view){word.p + n, word.n - n};
	}
}

static void
take_extras(struct view of[FIELDS])
{
	struct view rest = of[EXTRA];

	while (rest.n > 0) {
		struct view word = {rest.p, 0};
		while (word.n < rest.n && rest.p[word.n] != ' ' && rest.p[word.n] != '\t')
			word.n++;
		take_extra(word, of);
		size_t used = word.n < rest.n ? word.n + 1 : word.n;
		rest.p += used;
		rest.n -= used;
	}
}

static const char *
read_id(struct view field, uint32_t otherwise, uint32_t *ret)
{
	uint64_t n = otherwise;

	if (field.n > 0 && (!num_decimal(field, ID_MAX, &n) || n == 0))
		return "the uid and the gid must be numbers from 1 to 4294967294";
	*ret = (uint32_t)n;
	return n > 0 ? NULL
		     : "no uid or gid: give one, or set options mail_uid and mail_gid";
}

static const char *
fault_text(enum maildrop_fault f)
{
	switch (f) {
	case MAILDROP_OK: return NULL;
	case MAILDROP_FORM: return "the maildrop must be maildir:PATH or mbox:PATH";
	case MAILDROP_VARIABLE: return "the maildrop holds an unknown variable";
	case MAILDROP_EMPTY:
		return "the maildrop uses a part that this name does not have";
	case MAILDROP_NAME: return "a name with / or .. cannot be part of a path";
	case MAILDROP_HOME:
		return "the maildrop needs a home directory, and an absolute one";
	case MAILDROP_RELATIVE: return "the maildrop is not an absolute path";
	case MAILDROP_DOTS: return "the maildrop's path holds . or .. as a component";
	case MAILDROP_LONG: return "the maildrop's path is longer than 1024 octets";
	}
	UNREACHABLE();
}

static bool
is_name(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] == 0x7F)
			return false;
	return v.n <= MAILDROP_NAME_MAX;
}

const char *
who_line_read(struct view line, const struct who_options *o, struct who_user *ret)
{
	struct buf path = buf_over(ret->path, sizeof(ret->path));
	struct view of[FIELDS];

	ret->name = (struct view){line.p, 0};
	if (ascii_trim_end(line).n == 0 || line.p[0] == '#')
		return NULL;
	if (line.n > LINE_MAX_OCTETS)
		return "the line is longer than 8192 octets";
	split(line, of);
	if (of[NAME].n == 0)
		return "the line has no user name before the first colon";
	if (!is_name(of[NAME]))
		return "the user name is too long or holds a control character";
	ret->name = of[NAME];
	take_extras(of);
	const char *why = read_id(of[UID], o->uid, &ret->uid);
	if (!why)
		why = read_id(of[GID], o->gid, &ret->gid);
	if (why)
		return why;
	struct maildrop_of whose = {.name = of[NAME], .home = of[HOME]};
	enum maildrop_fault fault = maildrop_expand(
		of[MAIL].n > 0 ? of[MAIL] : o->maildrop, &whose, &path, &ret->store);
	ret->path_n = path.n;
	return fault_text(fault);
}
