#include "wire/sasl_line.h"
#include "pop3/server.h"
#include "wire/limits.h"

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0 to 63, or -1. */
static int
sextet(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* A group of four of which the last `pad` are "=": 3 - pad octets. */
static bool
decode_group(const uint8_t *group, size_t pad, struct buf *out)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4 - pad; i++) {
		int six = sextet(group[i]);
		if (six < 0)
			return false;
		bits |= (uint32_t)six << (18 - 6 * i);
	}
	if (bits & ((UINT32_C(1) << (8 * pad)) - 1))
		return false;
	for (size_t i = 0; i < 3 - pad; i++)
		buf_put_u8(out, (uint8_t)(bits >> (16 - 8 * i)));
	return !out->full;
}

static size_t
padding(struct view text)
{
	if (text.n < 4 || text.p[text.n - 1] != '=')
		return 0;
	return text.p[text.n - 2] == '=' ? 2 : 1;
}

bool
base64_decode(struct view text, struct buf *out)
{
	size_t pad = padding(text);

	if (text.n % 4 != 0)
		return false;
	for (size_t at = 0; at < text.n; at += 4)
		if (!decode_group(text.p + at, at + 4 == text.n ? pad : 0, out))
			return false;
	return true;
}

void
base64_encode(struct view octets, struct buf *out)
{
	for (size_t at = 0; at < octets.n; at += 3) {
		size_t n = octets.n - at < 3 ? octets.n - at : 3;
		uint32_t bits = 0;
		for (size_t i = 0; i < n; i++)
			bits |= (uint32_t)octets.p[at + i] << (16 - 8 * i);
		uint8_t group[4] = {'=', '=', '=', '='};
		for (size_t i = 0; i <= n; i++)
			group[i] = (uint8_t)alphabet[bits >> (18 - 6 * i) & 63];
		buf_put(out, group, sizeof(group));
	}
}

bool
pop3_sasl_decode(struct view text, bool initial, uint8_t *storage, struct view *ret)
{
	struct buf out = buf_over(storage, POP3_SASL_MAX);

	/* RFC 5034 s.4: "=" is an empty initial response; later an empty line is. */
	if (initial && text.n == 1 && text.p[0] == '=') {
		*ret = (struct view){storage, 0};
		return true;
	}
	if (!base64_decode(text, &out))
		return false;
	*ret = buf_view(&out);
	return true;
}
