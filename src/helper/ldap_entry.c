/* What an entry's attributes mean. */
#include "base/ascii.h"
#include "base/buf.h"
#include "helper/ldap_parts.h"

#include <string.h>

static bool
is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

/* attribute=field, ended by NUL; NULL, or what is wrong. */
static const char *
add_pair(struct ldap_map *m, char *word, bool with_password)
{
	char *equal = strchr(word, '=');

	if (!equal || equal == word || !equal[1])
		return "ldap_attributes must be of pairs attribute=field, as "
		       "uidNumber=uid";
	*equal = 0;
	if (strspn(word,
		    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-;"
		    ".") != strlen(word))
		return "ldap_attributes: an attribute's name is made of letters, digits "
		       "and -";
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->fields[i], equal + 1) == 0)
			return "ldap_attributes names a field twice";
	if (strcmp(equal + 1, "password") == 0 && !with_password)
		return NULL;
	if (m->n >= LDAP_MAP_MAX)
		return "ldap_attributes has more than 16 pairs";
	m->attributes[m->n] = word;
	m->fields[m->n] = equal + 1;
	m->n++;
	return NULL;
}

const char *
ldap_map_read(struct ldap_map *m, const char *setting, bool with_password)
{
	size_t n = strlen(setting);

	*m = (struct ldap_map){.n = 0};
	if (n >= sizeof(m->text))
		return "ldap_attributes is longer than 4095 octets";
	memcpy(m->text, setting, n);
	for (size_t i = 0; i < n;) {
		size_t start = i;
		while (i < n && !is_separator(m->text[i]))
			i++;
		m->text[i] = 0;
		const char *why =
			i > start ? add_pair(m, m->text + start, with_password) : NULL;
		if (why)
			return why;
		i++;
	}
	if (m->n == 0)
		/* "1.1" of RFC 4511 s.4.5.1.8: no attributes at all. */
		m->attributes[0] = LDAP_NO_ATTRS;
	return NULL;
}

static void
put_base64(struct view v, struct buf *out)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < v.n; i += 3) {
		uint32_t three = (uint32_t)v.p[i] << 16;
		if (i + 1 < v.n)
			three |= (uint32_t)v.p[i + 1] << 8;
		if (i + 2 < v.n)
			three |= v.p[i + 2];
		buf_put_u8(out, (uint8_t)letters[three >> 18]);
		buf_put_u8(out, (uint8_t)letters[three >> 12 & 63]);
		buf_put_u8(out, i + 1 < v.n ? (uint8_t)letters[three >> 6 & 63] : '=');
		buf_put_u8(out, i + 2 < v.n ? (uint8_t)letters[three & 63] : '=');
	}
}

bool
ldap_password_field(struct view value, struct buf *out)
{
	/* Schemes that have other names in directories than in a users file. */
	static const struct {
		struct view in, then, out;
	} names[] = {
		{VIEW("MD5"), VIEW(""), VIEW("{LDAP-MD5}")},
		{VIEW("ARGON2"), VIEW("$argon2id$"), VIEW("{ARGON2ID}")},
		{VIEW("ARGON2"), VIEW("$argon2i$"), VIEW("{ARGON2I}")},
	};
	const uint8_t *end =
		value.n > 0 && value.p[0] == '{' ? memchr(value.p, '}', value.n) : NULL;

	if (!end) {
		/* As it is; in base64, for it may hold anything. */
		buf_put_str(out, "{PLAIN.b64}");
		put_base64(value, out);
		return !out->full;
	}
	struct view scheme = {value.p + 1, (size_t)(end - value.p) - 1};
	struct view rest = {end + 1, value.n - scheme.n - 2};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct view head = {rest.p, names[i].then.n};
		if (!ascii_equal_nocase(scheme, names[i].in) || rest.n < head.n ||
			!view_equal(head, names[i].then))
			continue;
		buf_put_view(out, names[i].out);
		buf_put_view(out, rest);
		return !out->full;
	}
	buf_put_view(out, value);
	return !out->full;
}
