/*
 * command_reply.c: both ends of descriptor 4: "name=value NUL", of USER, HOME,
 * AUTHORIZED, what begins with userdb_, and of uid and gid, which no environment can
 * claim.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "helper/command.h"
#include "helper/helper.h"
#include "os/fd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATUS_TEMPORARY 111

/* ---- the writing end: it may be run as anybody, and trusts nothing -------------------
 */

static bool
is_wanted(const char *pair)
{
	static const char *const names[] = {"USER=", "HOME=", "AUTHORIZED=", "userdb_"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(pair, names[i], strlen(names[i])) == 0)
			return strchr(pair, '=') != NULL;
	return false;
}

int
command_reply_write(int fd)
{
	uint8_t storage[COMMAND_REPLY_MAX];
	struct buf b = buf_over(storage, sizeof(storage));

	buf_put_str(&b, "uid=");
	buf_put_dec(&b, getuid());
	buf_put_u8(&b, 0);
	buf_put_str(&b, "gid=");
	buf_put_dec(&b, getgid());
	buf_put_u8(&b, 0);
	for (char **pair = environ; pair && *pair; pair++)
		if (is_wanted(*pair))
			buf_put(&b, *pair, strlen(*pair) + 1);
	if (b.full || fd_write_all(fd, b.p, b.n) < 0)
		return STATUS_TEMPORARY;
	return 0;
}

/* ---- the reading end -----------------------------------------------------------------
 */

struct reply {
	struct view uid, gid, user, home, authorized, userdb_uid, userdb_gid, userdb_home;
	struct buf extra; /* other userdb_ fields, as they stand in the users file */
	const char *wrong;
};

static void
put_extra(struct reply *r, struct view name, struct view value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] <= 0x20 || value.p[i] == 0x7F)
			r->wrong = "a userdb_ field holds a blank or a control character";
	if (r->extra.n > 0)
		buf_put_u8(&r->extra, ' ');
	buf_put_view(&r->extra, name);
	buf_put_u8(&r->extra, '=');
	buf_put_view(&r->extra, value);
}

static void
put_pair(struct reply *r, struct view pair)
{
	const struct {
		struct view name;
		struct view *into;
	} known[] = {
		{VIEW("uid"), &r->uid},
		{VIEW("gid"), &r->gid},
		{VIEW("USER"), &r->user},
		{VIEW("HOME"), &r->home},
		{VIEW("AUTHORIZED"), &r->authorized},
		{VIEW("userdb_uid"), &r->userdb_uid},
		{VIEW("userdb_gid"), &r->userdb_gid},
		{VIEW("userdb_home"), &r->userdb_home},
	};
	const uint8_t *equal = memchr(pair.p, '=', pair.n);

	if (!equal) {
		r->wrong = "the program's reply is malformed";
		return;
	}
	struct view name = {pair.p, (size_t)(equal - pair.p)};
	struct view value = {equal + 1, pair.n - name.n - 1};
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (view_equal(name, known[i].name)) {
			*known[i].into = value;
			return;
		}
	put_extra(r, name, value);
}

static void
split(struct view reply, struct reply *r)
{
	while (reply.n > 0 && !r->wrong) {
		const uint8_t *nul = memchr(reply.p, 0, reply.n);
		if (!nul) {
			r->wrong = "the program's reply is cut off";
			return;
		}
		size_t n = (size_t)(nul - reply.p);
		put_pair(r, (struct view){reply.p, n});
		reply.p += n + 1;
		reply.n -= n + 1;
	}
}

/* The first that says something. */
static struct view
either(struct view a, struct view b)
{
	return a.n > 0 ? a : b;
}

const char *
command_reply_read(
	struct view reply, struct view name, bool lookup, uid_t own, struct buf *ret_line)
{
	uint8_t storage[COMMAND_REPLY_MAX];
	struct reply r = {.extra = buf_over(storage, sizeof(storage))};
	char own_text[16];

	split(reply, &r);
	if (r.wrong)
		return r.wrong;
	/* One that knows nothing of lookups would have let in whoever has no password. */
	if (lookup && !view_equal(r.authorized, VIEW("2")))
		return "the program knows no lookups (it left AUTHORIZED as it was): set "
		       "command_lookup = no";
	(void)snprintf(own_text, sizeof(own_text), "%u", own);
	if (view_equal(r.uid, (struct view){(const uint8_t *)own_text, strlen(own_text)}))
		r.uid.n = r.gid.n = 0;
	struct helper_user u = {.name = either(r.user, name),
		.uid = either(r.userdb_uid, r.uid),
		.gid = either(r.userdb_gid, r.gid),
		.home = either(r.userdb_home, r.home),
		.extra = buf_view(&r.extra)};
	if (r.extra.full || !helper_put_line(&u, ret_line))
		return "a field of the program's reply holds a colon or a line end, or "
		       "is too "
		       "long";
	return NULL;
}
