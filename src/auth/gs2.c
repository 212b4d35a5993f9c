#include "auth/gs2.h"
#include "base/ascii.h"

#include <string.h>

/* What is before the first comma; *rest is then what is behind it. */
static bool
take_to_comma(struct view *rest, struct view *ret)
{
	const uint8_t *comma = rest->n > 0 ? memchr(rest->p, ',', rest->n) : NULL;

	if (!comma)
		return false;
	size_t n = (size_t)(comma - rest->p);
	*ret = (struct view){rest->p, n};
	rest->p += n + 1;
	rest->n -= n + 1;
	return true;
}

static bool
begins_with(struct view v, char letter)
{
	return v.n >= 2 && v.p[0] == (uint8_t)letter && v.p[1] == '=';
}

static struct view
behind_equal(struct view v)
{
	return (struct view){v.p + 2, v.n - 2};
}

static bool
is_letter(uint8_t c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

/* cb-name = 1*(ALPHA / DIGIT / "." / "-") */
static bool
is_binding_name(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (!is_letter(v.p[i]) && !ascii_is_digit(v.p[i]) && v.p[i] != '.' &&
			v.p[i] != '-')
			return false;
	return v.n > 0;
}

static bool
escapes_are_good(struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] != '=')
			continue;
		if (v.n - i < 3 ||
			(memcmp(v.p + i, "=2C", 3) != 0 &&
				memcmp(v.p + i, "=3D", 3) != 0))
			return false;
		i += 2;
	}
	return true;
}

bool
gs2_name(struct view written, struct buf *out)
{
	if (!escapes_are_good(written))
		return false;
	for (size_t i = 0; i < written.n; i++) {
		if (written.p[i] != '=') {
			buf_put_u8(out, written.p[i]);
			continue;
		}
		buf_put_u8(out, written.p[i + 1] == '2' ? ',' : '=');
		i += 2;
	}
	return true;
}

const char *
gs2_header_read(struct view *rest, struct gs2_header *ret)
{
	struct view flag;
	struct view authzid;

	if (!take_to_comma(rest, &flag) || !take_to_comma(rest, &authzid))
		return "the header has no two commas";
	ret->binding = (struct view){flag.p, 0};
	ret->authzid = (struct view){authzid.p, 0};
	if (begins_with(flag, 'p')) {
		ret->binding = behind_equal(flag);
		if (!is_binding_name(ret->binding))
			return "the name of the channel binding is none";
	} else if (flag.n != 1 || (flag.p[0] != 'n' && flag.p[0] != 'y')) {
		return "the header begins with none of n, y and p=";
	}
	ret->flag = flag.p[0];
	if (authzid.n == 0)
		return NULL;
	if (!begins_with(authzid, 'a') || authzid.n == 2 ||
		!escapes_are_good(behind_equal(authzid)))
		return "the header's second part is no a=name";
	ret->authzid = behind_equal(authzid);
	return NULL;
}

/* "r=" 1*printable, and then nothing or "," attr-val and so on. */
static const char *
check_nonce(struct view v)
{
	size_t n = 0;

	if (!begins_with(v, 'r'))
		return "no r= behind the name";
	v = behind_equal(v);
	while (n < v.n && v.p[n] != ',' && ascii_is_graph(v.p[n]))
		n++;
	if (n == 0 || (n < v.n && v.p[n] != ','))
		return "the nonce is empty or not printable";
	if (n > GS2_NONCE_MAX)
		return "the nonce is longer than 512 octets";
	while (n < v.n) {
		size_t start = n + 1;
		n = start;
		while (n < v.n && v.p[n] != ',')
			n++;
		struct view extension = {v.p + start, n - start};
		if (extension.n < 3 || !is_letter(extension.p[0]) ||
			extension.p[1] != '=' || memchr(extension.p, 0, extension.n))
			return "an extension is no letter=value";
	}
	return NULL;
}

const char *
gs2_first_read(struct view message, struct gs2_first *ret)
{
	struct view rest = message;
	struct view name;
	const char *wrong = gs2_header_read(&rest, &ret->header);

	if (wrong)
		return wrong;
	/* RFC 5802 s.5.1: an extension that we must know, and know none. */
	if (begins_with(rest, 'm'))
		return "it demands an extension (m=)";
	if (!take_to_comma(&rest, &name) || !begins_with(name, 'n'))
		return "no n= behind the header";
	ret->name = behind_equal(name);
	if (!escapes_are_good(ret->name))
		return "an = in the name is neither =2C nor =3D";
	ret->before = (struct view){message.p, (size_t)(ret->name.p - message.p)};
	ret->after = (struct view){rest.p - 1, rest.n + 1};
	return check_nonce(rest);
}
