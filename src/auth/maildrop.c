#include "auth/maildrop.h"

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

enum maildrop_fault
maildrop_expand(struct view template, const struct maildrop_of *of, struct buf *out)
{
	static const char prefix[] = "maildir:";
	size_t i = sizeof(prefix) - 1;
	enum maildrop_fault fault = MAILDROP_OK;

	if (template.n <= i || memcmp(template.p, prefix, i) != 0 ||
		has_control(template))
		return MAILDROP_FORM;
	/* A further colon begins options of other servers: ":LAYOUT=fs" and the like. */
	if (memchr(template.p + i, ':', template.n - i))
		return MAILDROP_FORM;
	if (template.p[i] == '~' && (i + 1 == template.n || template.p[i + 1] == '/')) {
		fault = put_home(of->home, out);
		i++;
	}
	for (; i < template.n && fault == MAILDROP_OK; i++) {
		if (template.p[i] != '%') {
			buf_put_u8(out, template.p[i]);
			continue;
		}
		i++;
		fault = i < template.n ? put_variable(template.p[i], of, out)
				       : MAILDROP_VARIABLE;
	}
	return fault == MAILDROP_OK ? check_path(out) : fault;
}
