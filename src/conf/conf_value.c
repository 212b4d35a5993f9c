#include "base/check.h"
#include "base/num.h"
#include "conf/conf_reader.h"

#include <arpa/inet.h>
#include <string.h>

struct conf_place
conf_of_global(struct conf *c)
{
	return (struct conf_place){c, c->texts, c->lines};
}

struct conf_place
conf_of_listener(struct conf_listener *l)
{
	return (struct conf_place){l, l->texts, l->lines};
}

struct conf_place
conf_of_certificate(struct conf_certificate *c)
{
	return (struct conf_place){c, c->texts, c->lines};
}

bool
conf_value_set(struct conf_reader *r, const struct conf_row *row, struct view value,
	struct conf_place at)
{
	size_t i = (size_t)(row - conf_rows);

	CHECK(i < CONF_OPTIONS);
	return conf_type_set(
		&r->ini, row, value, (uint8_t *)at.fields + row->offset, &at.texts[i]);
}

bool
conf_address_read(struct view text, struct conf_address *ret)
{
	struct conf_address a = {0};
	size_t colon = text.n;
	char host[64];
	uint64_t port;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon < 2 || colon - 1 >= sizeof(host))
		return false;
	if (!num_decimal((struct view){text.p + colon, text.n - colon}, 65535, &port))
		return false;
	a.port = (uint16_t)port;
	size_t n = colon - 1;
	bool v6 = n > 2 && text.p[0] == '[' && text.p[n - 1] == ']';
	memcpy(host, text.p + v6, n - 2 * (size_t)v6);
	host[n - 2 * (size_t)v6] = '\0';
	if (v6) {
		if (inet_pton(AF_INET6, host, a.ip) != 1)
			return false;
	} else if (strcmp(host, "*") == 0) {
		a.any = true;
	} else {
		a.v4 = true;
		a.ip[10] = a.ip[11] = 0xff;
		if (inet_pton(AF_INET, host, a.ip + 12) != 1)
			return false;
	}
	*ret = a;
	return true;
}
