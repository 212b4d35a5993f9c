#include "auth/maildrop.h"

#include "ipc/permit.h"

#include <stdbool.h>
#include <string.h>

static bool
has_control(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] == 0x7F)
			return true;
	return false;
}

/* A name that becomes part of a path must not be able to lead out of it. */
static bool
name_is_safe(struct view name)
{
	if (name.n == 0 || name.n > MAILDROP_NAME_MAX || has_control(name))
		return false;
	return !memchr(name.p, '/', name.n) && !memmem(name.p, name.n, "..", 2);
}

static struct view
part_of_name(struct view name, uint8_t which)
{
	const uint8_t *at = memchr(name.p, '@', name.n);
	size_t local = at ? (size_t)(at - name.p) : name.n;

	switch (which) {
	case 'n': return (struct view){name.p, local};
	case 'd':
		return at ? (struct view){at + 1, name.n - local - 1}
			  : (struct view){name.p, 0};
	default: return name;
	}
}

static enum maildrop_fault
put_home(struct view home, struct buf *out)
{
	if (home.n == 0 || home.p[0] != '/' || has_control(home))
		return MAILDROP_HOME;
	buf_put_view(out, home);
	return MAILDROP_OK;
}

static enum maildrop_fault
put_variable(uint8_t which, const struct maildrop_of *of, struct buf *out)
{
	switch (which) {
	case '%': buf_put_u8(out, '%'); return MAILDROP_OK;
	case 'h': return put_home(of->home, out);
	case 'u':
	case 'n':
	case 'd': break;
	default: return MAILDROP_VARIABLE;
	}
	if (!name_is_safe(of->name))
		return MAILDROP_NAME;
	struct view part = part_of_name(of->name, which);
	if (part.n == 0)
		return MAILDROP_EMPTY;
	buf_put_view(out, part);
	return MAILDROP_OK;
}

/* "." and ".." stand for other directories than the one that is named. */
static bool
has_dots(struct view path)
{
	size_t start = 0;

	for (size_t i = 0; i <= path.n; i++) {
		if (i < path.n && path.p[i] != '/')
			continue;
		size_t n = i - start;
		if ((n == 1 || n == 2) && memcmp(path.p + start, "..", n) == 0)
			return true;
		start = i + 1;
	}
	return false;
}

static enum maildrop_fault
check_path(const struct buf *out)
{
	if (out->full || out->n > MAILDROP_OCTETS_MAX)
		return MAILDROP_LONG;
	if (out->n < 2 || out->p[0] != '/')
		return MAILDROP_RELATIVE;
	return has_dots(buf_view(out)) ? MAILDROP_DOTS : MAILDROP_OK;
}

static struct view
behind(struct view v, size_t n)
{
	return (struct view){v.p + n, v.n - n};
}

static bool
begins_with(struct view v, struct view with)
{
	return v.n >= with.n && memcmp(v.p, with.p, with.n) == 0;
}

/* The kind, and what of the template is the path. */
static bool
split_template(struct view template, struct view *ret_path, uint8_t *ret_store)
{
	const struct view inbox = VIEW("INBOX=");
	struct view path;

	if (begins_with(template, VIEW("maildir:"))) {
		*ret_store = STORE_MAILDIR;
		path = behind(template, 8);
	} else if (begins_with(template, VIEW("mbox:"))) {
		*ret_store = STORE_MBOX;
		path = behind(template, 5);
	} else {
		return false;
	}
	const uint8_t *colon = memchr(path.p, ':', path.n);
	/* The directory of an mbox's folders does not concern POP3. */
	if (colon && *ret_store == STORE_MBOX) {
		struct view option = behind(path, (size_t)(colon - path.p) + 1);
		if (begins_with(option, inbox))
			path = behind(option, inbox.n);
	}
	*ret_path = path;
	/* A further colon begins options of other servers: ":LAYOUT=fs" and the like. */
	return path.n > 0 && !memchr(path.p, ':', path.n);
}

enum maildrop_fault
maildrop_expand(struct view template, const struct maildrop_of *of, struct buf *out,
	uint8_t *ret_store)
{
	enum maildrop_fault fault = MAILDROP_OK;
	struct view path;
	size_t i = 0;

	if (has_control(template) || !split_template(template, &path, ret_store))
		return MAILDROP_FORM;
	if (path.p[0] == '~' && (path.n == 1 || path.p[1] == '/')) {
		fault = put_home(of->home, out);
		i++;
	}
	for (; i < path.n && fault == MAILDROP_OK; i++) {
		if (path.p[i] != '%') {
			buf_put_u8(out, path.p[i]);
			continue;
		}
		i++;
		fault = i < path.n ? put_variable(path.p[i], of, out) : MAILDROP_VARIABLE;
	}
	return fault == MAILDROP_OK ? check_path(out) : fault;
}
