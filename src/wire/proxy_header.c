#include "wire/proxy_header.h"

#include "base/num.h"
#include "wire/address_text.h"

#include <stdbool.h>
#include <string.h>

#define V1_LINE_MAX	107 /* with CRLF */
#define V2_HEAD		16
#define V2_INET_OCTETS	12 /* two addresses and two ports */
#define V2_INET6_OCTETS 36
#define V2_UNIX_OCTETS	216

enum v2_command {
	V2_LOCAL = 0x20,
	V2_PROXY = 0x21,
};

enum v2_family {
	V2_UNSPEC = 0x00,
	V2_TCP4 = 0x11,
	V2_TCP6 = 0x21,
	V2_UNIX_STREAM = 0x31,
};

static const uint8_t v1_first[] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_first[] = {
	0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};

static bool
begins_like(struct view in, const uint8_t *first, size_t n)
{
	return memcmp(in.p, first, in.n < n ? in.n : n) == 0;
}

/* ---- version 1 ---------------------------------------------------------- */

/* The next word; words are parted by exactly one blank. */
static bool
take_word(struct view *line, struct view *ret)
{
	const uint8_t *blank = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;

	*ret = (struct view){line->p, blank ? (size_t)(blank - line->p) : line->n};
	size_t gone = ret->n + (blank ? 1 : 0);
	line->p += gone;
	line->n -= gone;
	return ret->n > 0;
}

static bool
take_port(struct view *line, uint16_t *ret)
{
	struct view word;
	uint64_t n;

	if (!take_word(line, &word) || word.n > 5 || (word.n > 1 && word.p[0] == '0'))
		return false;
	if (!num_decimal(word, UINT16_MAX, &n))
		return false;
	*ret = (uint16_t)n;
	return true;
}

static bool
v1_addresses(struct view line, bool v4, struct proxy_header *ret)
{
	uint8_t ours[ADDRESS_TEXT_OCTETS];
	struct view from, to;
	uint16_t our_port;

	if (!take_word(&line, &from) || !take_word(&line, &to))
		return false;
	bool ok = v4 ? address_text_v4(from, ret->address) && address_text_v4(to, ours)
		     : address_text_v6(from, ret->address) && address_text_v6(to, ours);
	if (!ok || !take_port(&line, &ret->port))
		return false;
	/* Nothing may follow, not even a blank. */
	return take_port(&line, &our_port) && line.n == 0 && line.p[-1] != ' ';
}

static enum proxy_outcome
v1_read(struct view in, struct proxy_header *ret)
{
	size_t most = in.n < V1_LINE_MAX ? in.n : V1_LINE_MAX;
	const uint8_t *end = memmem(in.p, most, "\r\n", 2);
	struct view word;

	if (!end)
		return in.n < V1_LINE_MAX ? PROXY_MORE : PROXY_BAD;
	struct view line = {in.p, (size_t)(end - in.p)};
	ret->octets = (uint16_t)(line.n + 2);
	line.p += sizeof(v1_first);
	line.n -= sizeof(v1_first);
	if (!take_word(&line, &word))
		return PROXY_BAD;
	if (word.n == 7 && memcmp(word.p, "UNKNOWN", 7) == 0)
		return PROXY_LOCAL;
	bool v4 = word.n == 4 && memcmp(word.p, "TCP4", 4) == 0;
	bool v6 = word.n == 4 && memcmp(word.p, "TCP6", 4) == 0;
	if ((!v4 && !v6) || !v1_addresses(line, v4, ret))
		return PROXY_BAD;
	return PROXY_ADDRESS;
}

/* ---- version 2 ---------------------------------------------------------- */

static uint16_t
big_endian(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static enum proxy_outcome
v2_tcp4(struct view body, struct proxy_header *ret)
{
	if (body.n < V2_INET_OCTETS)
		return PROXY_BAD;
	memset(ret->address, 0, 10);
	memset(ret->address + 10, 0xFF, 2);
	memcpy(ret->address + 12, body.p, 4);
	ret->port = big_endian(body.p + 8);
	return PROXY_ADDRESS;
}

static enum proxy_outcome
v2_tcp6(struct view body, struct proxy_header *ret)
{
	if (body.n < V2_INET6_OCTETS)
		return PROXY_BAD;
	memcpy(ret->address, body.p, 16);
	ret->port = big_endian(body.p + 32);
	return PROXY_ADDRESS;
}

/* Whatever has come of the header so far may show already that it is none. */
static bool
v2_head_is_good(struct view in)
{
	if (in.n > 12 && in.p[12] != V2_LOCAL && in.p[12] != V2_PROXY)
		return false;
	return in.n < V2_HEAD || V2_HEAD + big_endian(in.p + 14) <= PROXY_HEADER_MAX;
}

static enum proxy_outcome
v2_read(struct view in, struct proxy_header *ret)
{
	if (!v2_head_is_good(in))
		return PROXY_BAD;
	if (in.n < V2_HEAD || in.n < V2_HEAD + (size_t)big_endian(in.p + 14))
		return PROXY_MORE;
	struct view body = {in.p + V2_HEAD, big_endian(in.p + 14)};
	ret->octets = (uint16_t)(V2_HEAD + body.n);
	if (in.p[12] == V2_LOCAL)
		return PROXY_LOCAL;
	switch (in.p[13]) {
	case V2_TCP4: return v2_tcp4(body, ret);
	case V2_TCP6: return v2_tcp6(body, ret);
	case V2_UNSPEC: return PROXY_LOCAL;
	case V2_UNIX_STREAM: return body.n < V2_UNIX_OCTETS ? PROXY_BAD : PROXY_LOCAL;
	default: return PROXY_BAD; /* datagrams, and what does not exist */
	}
}

enum proxy_outcome
proxy_header_read(struct view in, struct proxy_header *ret)
{
	if (in.n == 0)
		return PROXY_MORE;
	*ret = (struct proxy_header){0};
	if (begins_like(in, v1_first, sizeof(v1_first)))
		return in.n < sizeof(v1_first) ? PROXY_MORE : v1_read(in, ret);
	if (begins_like(in, v2_first, sizeof(v2_first)))
		return in.n < sizeof(v2_first) ? PROXY_MORE : v2_read(in, ret);
	return PROXY_BAD;
}
