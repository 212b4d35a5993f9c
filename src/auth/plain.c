#include "auth/plain.h"
#include "base/ascii.h"

#include <string.h>

/* What is before the first NUL; *rest is what is behind it. False where there is none. */
static bool
take_to_nul(struct view *rest, struct view *ret)
{
	const uint8_t *nul = memchr(rest->p, 0, rest->n);

	if (!nul)
		return false;
	size_t n = (size_t)(nul - rest->p);
	*ret = (struct view){rest->p, n};
	rest->p += n + 1;
	rest->n -= n + 1;
	return true;
}

bool
plain_read(struct view response, struct view *ret_name, struct view *ret_password)
{
	struct view authzid;
	struct view authcid;

	if (response.n == 0 || !take_to_nul(&response, &authzid) ||
		!take_to_nul(&response, &authcid))
		return false;
	if (authcid.n == 0 || response.n == 0 || memchr(response.p, 0, response.n))
		return false;
	if (authzid.n > 0 && !view_equal(authzid, authcid))
		return false;
	*ret_name = authcid;
	*ret_password = response;
	return true;
}
