/* Search filters: octets of a name are never syntax (RFC 4515 s.3). */
#include "base/ascii.h"
#include "base/buf.h"
#include "helper/ldap_parts.h"

#include <string.h>

const char *
ldap_filter_check(const char *filter)
{
	bool uses_name = false;

	if (filter[0] != '(' || filter[strlen(filter) - 1] != ')')
		return "ldap_filter must stand in parentheses, as (uid=%u)";
	for (const char *p = filter; *p; p++) {
		if (*p != '%')
			continue;
		p++;
		if (*p != 'u' && *p != 'n' && *p != 'd' && *p != '%')
			return "ldap_filter: there are %u, %n, %d and %%, no others";
		uses_name = uses_name || *p == 'u' || *p == 'n';
	}
	/* It would find the same entry for everybody. */
	return uses_name ? NULL
			 : "ldap_filter uses neither %u nor %n: every name would find "
			   "the same entry";
}

static void
put_escaped(struct buf *out, struct view v)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];
		if (ascii_is_digit(c) ||
			(ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z')) {
			buf_put_u8(out, c);
			continue;
		}
		buf_put_u8(out, '\\');
		buf_put_u8(out, (uint8_t)digits[c >> 4]);
		buf_put_u8(out, (uint8_t)digits[c & 15]);
	}
}

bool
ldap_filter_for(const char *filter, struct view name, struct buf *out)
{
	for (const char *p = filter; *p; p++) {
		if (*p != '%') {
			buf_put_u8(out, (uint8_t)*p);
			continue;
		}
		switch (*++p) {
		case 'u': put_escaped(out, name); break;
		case 'n': put_escaped(out, helper_name_local(name)); break;
		case 'd': put_escaped(out, helper_name_domain(name)); break;
		case '%': buf_put_u8(out, '%'); break;
		default: return false;
		}
	}
	buf_put_u8(out, 0);
	return !out->full;
}
