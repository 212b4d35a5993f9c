/* krb5_names.c: from a principal to the name of a user. */
#include "base/ascii.h"
#include "base/check.h"
#include "helper/krb5_parts.h"

#include <string.h>

static struct view
data_view(const krb5_data *d)
{
	return (struct view){(const uint8_t *)d->data, d->length};
}

const char *
krb5_user_of(const struct krb5_helper *k, krb5_const_principal principal, struct buf *ret)
{
	struct view realm = data_view(&principal->realm);
	struct view ours = {(const uint8_t *)k->realm, strlen(k->realm)};

	if (!view_equal(realm, ours))
		return "the ticket is of another realm than krb5_realm";
	/* anna/admin is another one than anna, and has no mail. */
	if (principal->length != 1)
		return "the ticket's principal has more than one part";
	struct view name = data_view(&principal->data[0]);
	if (name.n == 0 || name.n > 255)
		return "the ticket's principal has no name, or one of more than 255 "
		       "octets";
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= 0x20 || name.p[i] == 0x7F || name.p[i] == '@' ||
			name.p[i] == '/' || name.p[i] == ':' || name.p[i] == '\\')
			return "the ticket's principal holds a character that no user's "
			       "name may "
			       "have";
	buf_put_view(ret, name);
	if (k->full_names) {
		buf_put_u8(ret, '@');
		buf_put_view(ret, realm);
	}
	return ret->full ? "the ticket's principal is too long" : NULL;
}
