#include "wire/pop3_xclient.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/num.h"
#include "wire/address_text.h"
#include "wire/limits.h"

#include <string.h>

static int
hex_digit(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3461 s.4: printable but "+" and "="; "+" and two upper-case digits for the others.
 */
static bool
xtext_decode(struct view v, struct buf *out)
{
	for (size_t i = 0; i < v.n; i++) {
		if (!ascii_is_graph(v.p[i]) || v.p[i] == '=')
			return false;
		if (v.p[i] != '+') {
			buf_put_u8(out, v.p[i]);
			continue;
		}
		if (v.n - i < 3)
			return false;
		int high = hex_digit(v.p[i + 1]), low = hex_digit(v.p[i + 2]);
		if (high < 0 || low < 0)
			return false;
		buf_put_u8(out, (uint8_t)(high << 4 | low));
		i += 2;
	}
	return !out->full;
}

static bool
is_unknown(struct view v)
{
	return ascii_equal_nocase(v, VIEW("[UNAVAILABLE]")) ||
		ascii_equal_nocase(v, VIEW("[TEMPUNAVAIL]"));
}

static bool
take_address(struct view v, struct pop3_peer *ret)
{
	struct view tag = VIEW("IPV6:");

	ret->has_address = true;
	if (v.n < tag.n || !ascii_equal_nocase((struct view){v.p, tag.n}, tag))
		return address_text(v, ret->address);
	return address_text_v6((struct view){v.p + tag.n, v.n - tag.n}, ret->address);
}

static bool
take_port(struct view v, struct pop3_peer *ret)
{
	uint64_t port;

	if (!num_decimal(v, UINT16_MAX, &port))
		return false;
	ret->has_port = true;
	ret->port = (uint16_t)port;
	return true;
}

enum seen { SEEN_ADDR = 1, SEEN_PORT = 2 };

static bool
take_attribute(struct view word, unsigned *seen, struct pop3_peer *ret)
{
	uint8_t storage[XCLIENT_VALUE_MAX];
	struct buf value = buf_over(storage, sizeof(storage));
	const uint8_t *equal = memchr(word.p, '=', word.n);

	if (!equal)
		return false;
	struct view name = {word.p, (size_t)(equal - word.p)};
	bool is_addr = ascii_equal_nocase(name, VIEW("ADDR"));
	unsigned bit = is_addr ? SEEN_ADDR : SEEN_PORT;
	if (!is_addr && !ascii_equal_nocase(name, VIEW("PORT")))
		return false;
	if (*seen & bit)
		return false;
	*seen |= bit;
	if (!xtext_decode((struct view){equal + 1, word.n - name.n - 1}, &value))
		return false;
	if (is_unknown(buf_view(&value)))
		return true;
	return is_addr ? take_address(buf_view(&value), ret)
		       : take_port(buf_view(&value), ret);
}

bool
xclient_parse(struct view arguments, struct pop3_peer *ret)
{
	struct pop3_peer peer = {0};
	unsigned seen = 0;

	while (arguments.n > 0) {
		const uint8_t *sp = memchr(arguments.p, ' ', arguments.n);
		size_t n = sp ? (size_t)(sp - arguments.p) : arguments.n;
		struct view word = {arguments.p, n};
		n += sp != NULL;
		arguments.p += n;
		arguments.n -= n;
		if (word.n > 0 && !take_attribute(word, &seen, &peer))
			return false;
	}
	if (seen == 0)
		return false;
	*ret = peer;
	return true;
}
