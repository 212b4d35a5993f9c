/* A user as a line of the users file (restante-users(5)). Pure. */
#include "base/buf.h"
#include "helper/helper.h"

/* What would end the field, the line or the text, or is refused by every reader. */
static bool
is_field(struct view v, bool colons)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] == 0x7F || (v.p[i] == ':' && !colons))
			return false;
	return true;
}

bool
helper_put_line(const struct helper_user *u, struct buf *out)
{
	const struct view none = {NULL, 0};
	/* name:password:uid:gid:gecos:home:shell:extra */
	const struct view fields[] = {
		u->name, u->password, u->uid, u->gid, none, u->home, none, u->extra};
	const size_t n = sizeof(fields) / sizeof(fields[0]);

	if (u->name.n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_field(fields[i], i == n - 1))
			return false;
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_put_u8(out, ':');
		buf_put_view(out, fields[i]);
	}
	return !out->full;
}
