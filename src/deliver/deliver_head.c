#include "deliver/deliver_head.h"

#include "base/ascii.h"

#include <string.h>

/* The next line without its end; false where none is whole. */
static bool
take_line(struct view *rest, struct view *ret)
{
	const uint8_t *lf = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;

	if (!lf)
		return false;
	size_t n = (size_t)(lf - rest->p);
	*ret = (struct view){rest->p, n};
	*rest = (struct view){lf + 1, rest->n - n - 1};
	if (ret->n > 0 && ret->p[ret->n - 1] == '\r')
		ret->n--;
	return true;
}

/* What stands behind the name and its colon, trimmed. */
static bool
field(struct view line, struct view name, struct view *ret)
{
	if (line.n <= name.n || line.p[name.n] != ':' ||
		!ascii_equal_nocase((struct view){line.p, name.n}, name))
		return false;
	struct view v =
		ascii_trim_end((struct view){line.p + name.n + 1, line.n - name.n - 1});
	while (v.n > 0 && (*v.p == ' ' || *v.p == '\t')) {
		v.p++;
		v.n--;
	}
	*ret = v;
	return true;
}

void
deliver_head_read(struct view start, struct view recipient, struct deliver_head *ret)
{
	struct view rest = start, line, value;

	*ret = (struct deliver_head){.from_line = 0};
	if (start.n >= 5 && memcmp(start.p, "From ", 5) == 0 && take_line(&rest, &line))
		ret->from_line = start.n - rest.n;
	while (take_line(&rest, &line) && line.n > 0) {
		if (field(line, VIEW("Received"), &value))
			return;
		if (field(line, VIEW("Return-Path"), &value))
			ret->has_return_path = true;
		if (field(line, VIEW("Delivered-To"), &value))
			ret->has_recipient = ret->has_recipient ||
				ascii_equal_nocase(value, recipient);
	}
}
