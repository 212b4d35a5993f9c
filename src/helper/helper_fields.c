#include "helper/helper_fields.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/utf8.h"

#include <string.h>

/* ---- names ---------------------------------------------------------------------- */

bool
helper_name_can_be(struct view name)
{
	if (name.n == 0 || name.n > HELPER_USER_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n;) {
		uint8_t c = name.p[i];
		size_t n = utf8_octets((struct view){name.p + i, name.n - i});
		if (n == 0 || c < 0x20 || c == 0x7F || c == ':')
			return false;
		i += n;
	}
	return true;
}

struct view
helper_name_local(struct view name)
{
	const uint8_t *at = name.n > 0 ? memchr(name.p, '@', name.n) : NULL;

	return (struct view){name.p, at ? (size_t)(at - name.p) : name.n};
}

struct view
helper_name_domain(struct view name)
{
	size_t n = helper_name_local(name).n;

	return n == name.n ? VIEW("") : (struct view){name.p + n + 1, name.n - n - 1};
}

/* ---- fields --------------------------------------------------------------------- */

void
helper_fields_init(struct helper_fields *f, struct view name)
{
	memset(f, 0, sizeof(*f));
	f->name = name;
	f->extra = buf_over(f->extra_octets, sizeof(f->extra_octets));
}

static void
fault(struct helper_fields *f, const char *what)
{
	if (!f->fault)
		f->fault = what;
}

static bool
is_key(struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];
		if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '_' && c != '-')
			return false;
	}
	return v.n > 0;
}

static void
put_place(struct helper_fields *f, enum helper_place place, struct view value)
{
	if (value.n == 0)
		return;
	if (f->at[place].n > 0) {
		fault(f, "the database gives a field twice");
		return;
	}
	if (value.n > sizeof(f->octets) - f->used) {
		fault(f, "the user's fields are too long");
		return;
	}
	memcpy(f->octets + f->used, value.p, value.n);
	f->at[place] = (struct view){f->octets + f->used, value.n};
	f->used += value.n;
}

static bool
has_extra(const struct helper_fields *f, struct view key)
{
	struct view rest = buf_view(&f->extra);

	while (rest.n > 0) {
		const uint8_t *blank = memchr(rest.p, ' ', rest.n);
		size_t n = blank ? (size_t)(blank - rest.p) : rest.n;
		if (n > key.n && memcmp(rest.p, key.p, key.n) == 0 &&
			rest.p[key.n] == '=')
			return true;
		rest.p += blank ? n + 1 : n;
		rest.n -= blank ? n + 1 : n;
	}
	return false;
}

static void
put_extra(struct helper_fields *f, struct view key, struct view value)
{
	if (!is_key(key)) {
		fault(f,
			"a field's name has other characters than a to z, 0 to 9, _ and "
			"-");
		return;
	}
	if (has_extra(f, key)) {
		fault(f, "the database gives a field twice");
		return;
	}
	/* A blank would begin another field. */
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] > 0x20 && value.p[i] != 0x7F)
			continue;
		fault(f,
			"the value of an extra field has a blank or a control character");
		return;
	}
	if (f->extra.n > 0)
		buf_put_u8(&f->extra, ' ');
	buf_put_view(&f->extra, key);
	buf_put_u8(&f->extra, '=');
	buf_put_view(&f->extra, value);
	if (f->extra.full)
		fault(f, "the user's fields are too long");
}

void
helper_fields_put(struct helper_fields *f, struct view field, struct view value)
{
	static const struct {
		struct view name;
		enum helper_place place;
	} places[] = {
		{VIEW("password"), PLACE_PASSWORD},
		{VIEW("uid"), PLACE_UID},
		{VIEW("gid"), PLACE_GID},
		{VIEW("home"), PLACE_HOME},
	};
	bool name = view_equal(field, VIEW("name"));
	bool maildrop = view_equal(field, VIEW("maildrop"));

	if (value.n == 0 && (name || maildrop))
		return;
	if (name) {
		/* Of several names of one entry, one must be his. */
		bool same = view_equal(value, f->name);
		f->other = f->has_name ? f->other && !same : !same;
		f->has_name = true;
		return;
	}
	for (size_t i = 0; i < PLACES; i++) {
		if (view_equal(field, places[i].name)) {
			put_place(f, places[i].place, value);
			return;
		}
	}
	put_extra(f, maildrop ? VIEW("userdb_mail") : field, value);
}

void
helper_fields_answer(
	const struct helper_fields *f, bool locked, struct helper_answer *ret)
{
	struct helper_user u = {
		.name = f->name,
		.password = f->at[PLACE_PASSWORD],
		.uid = f->at[PLACE_UID],
		.gid = f->at[PLACE_GID],
		.home = f->at[PLACE_HOME],
		.extra = buf_view(&f->extra),
	};

	ret->outcome = ANSWER_TEMPORARY;
	if (f->other) {
		ret->outcome = ANSWER_NO_USER;
		ret->reason = "the database's name differs (in case, or in blanks)";
		return;
	}
	if (f->fault) {
		ret->reason = f->fault;
		return;
	}
	if (locked && u.password.n == 0)
		u.password = VIEW("!");
	if (helper_put_line(&u, &ret->line))
		ret->outcome = ANSWER_FOUND;
	else
		ret->reason =
			"a field has a colon or a control character, or is too long";
}
