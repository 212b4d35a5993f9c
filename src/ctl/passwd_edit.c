#include "ctl/passwd_edit.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"

#include <string.h>

enum field { NAME, PASSWORD, UID, GID, GECOS, HOME, SHELL, EXTRA, FIELDS };

#define MAIL_KEY "userdb_mail="

struct fields {
	struct view of[FIELDS];
	size_t n; /* that are there; the others are empty */
};

static bool
has_control(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] == 0x7F)
			return true;
	return false;
}

static bool
has(struct view v, char c)
{
	return v.n > 0 && memchr(v.p, c, v.n);
}

const char *
passwd_name_fault(struct view name)
{
	if (name.n == 0)
		return "a user name may not be empty";
	if (name.n > PASSWD_NAME_MAX)
		return "a user name may not be longer than 255 octets";
	if (has(name, ':') || has_control(name))
		return "a user name may hold no colon and no control character";
	return name.p[0] == '#' ? "a user name may not begin with #: that is a comment"
				: NULL;
}

static bool
id_is_good(struct view id)
{
	uint64_t n;

	return !id.p || (num_decimal(id, 4294967294U, &n) && n > 0);
}

const char *
passwd_change_fault(const struct passwd_change *c)
{
	static const char prefix[] = "maildir:";
	size_t n = sizeof(prefix) - 1;

	if (!id_is_good(c->uid) || !id_is_good(c->gid))
		return "uid and gid are numbers from 1 to 4294967294";
	if (c->home.p &&
		(c->home.n == 0 || c->home.p[0] != '/' || has(c->home, ':') ||
			has_control(c->home)))
		return "a home directory begins with / and holds no colon";
	if (!c->mail.p)
		return NULL;
	if (c->mail.n <= n || memcmp(c->mail.p, prefix, n) != 0 || has_control(c->mail) ||
		has(c->mail, ' ') ||
		has((struct view){c->mail.p + n, c->mail.n - n}, ':'))
		return "a maildrop is maildir:PATH, without blanks or further colons";
	return NULL;
}

static void
split(struct view line, struct fields *ret)
{
	ret->n = 1;
	for (size_t i = 0; i < FIELDS; i++) {
		const uint8_t *colon =
			i == EXTRA || line.n == 0 ? NULL : memchr(line.p, ':', line.n);
		size_t n = colon ? (size_t)(colon - line.p) : line.n;
		ret->of[i] = (struct view){line.p, n};
		line.p += colon ? n + 1 : n;
		line.n -= colon ? n + 1 : n;
		ret->n += colon ? 1 : 0;
	}
}

/* The extra fields with userdb_mail set: in its place, else at the end. */
static void
put_extra(struct view extra, struct view mail, struct buf *out)
{
	bool done = false;
	size_t n = sizeof(MAIL_KEY) - 1;

	for (size_t i = 0; i < extra.n;) {
		size_t end = i;
		while (end < extra.n && extra.p[end] != ' ' && extra.p[end] != '\t')
			end++;
		struct view word = {extra.p + i, end - i};
		bool is_mail = word.n >= n && memcmp(word.p, MAIL_KEY, n) == 0;
		if (is_mail && !done) {
			buf_put_str(out, MAIL_KEY);
			buf_put_view(out, mail);
			done = true;
		} else if (!is_mail) {
			buf_put_view(out, word);
		}
		if (end < extra.n)
			buf_put_u8(out, extra.p[end]);
		i = end + 1;
	}
	if (done)
		return;
	if (extra.n > 0 && extra.p[extra.n - 1] != ' ')
		buf_put_u8(out, ' ');
	buf_put_str(out, MAIL_KEY);
	buf_put_view(out, mail);
}

static void
replace(struct fields *f, enum field which, struct view with)
{
	if (!with.p)
		return;
	f->of[which] = with;
	if (f->n <= which)
		f->n = which + 1;
}

/* The line of the user, old or empty, as it is to be; false where it is too long. */
static bool
put_line(struct view line, const struct passwd_change *c, struct buf *out)
{
	struct fields f;
	size_t start = out->n;

	split(line, &f);
	f.of[NAME] = c->name;
	replace(&f, PASSWORD, c->password);
	replace(&f, UID, c->uid);
	replace(&f, GID, c->gid);
	replace(&f, HOME, c->home);
	if (c->mail.p)
		f.n = FIELDS;
	for (size_t i = 0; i < f.n; i++) {
		if (i > 0)
			buf_put_u8(out, ':');
		if (i == EXTRA && c->mail.p)
			put_extra(f.of[i], c->mail, out);
		else
			buf_put_view(out, f.of[i]);
	}
	bool fits = out->n - start <= PASSWD_LINE_MAX;
	buf_put_u8(out, '\n');
	return fits && !out->full;
}

static bool
line_is_of(struct view line, struct view name)
{
	return line.n >= name.n && memcmp(line.p, name.p, name.n) == 0 &&
		(line.n == name.n || line.p[name.n] == ':');
}

static enum passwd_edit
add(const struct passwd_change *c, struct buf *out)
{
	if (out->n > 0 && out->p[out->n - 1] != '\n')
		buf_put_u8(out, '\n');
	return put_line(VIEW(""), c, out) ? PASSWD_ADDED : PASSWD_LONG;
}

enum passwd_edit
passwd_edit(struct view file, const struct passwd_change *c, struct buf *out)
{
	bool found = false;

	CHECK(out->cap >= file.n + PASSWD_GROWTH_MAX);
	while (file.n > 0) {
		const uint8_t *end = memchr(file.p, '\n', file.n);
		struct view line = {file.p, end ? (size_t)(end - file.p) : file.n};
		struct view whole = {file.p, line.n + (end ? 1 : 0)};
		file.p += whole.n;
		file.n -= whole.n;
		bool ours = line_is_of(line, c->name);
		if (!ours || (found && !c->remove)) {
			buf_put_view(out, whole);
			continue;
		}
		found = true;
		if (!c->remove && !put_line(line, c, out))
			return PASSWD_LONG;
	}
	if (c->remove)
		return found ? PASSWD_REMOVED : PASSWD_ABSENT;
	return found ? PASSWD_CHANGED : add(c, out);
}
