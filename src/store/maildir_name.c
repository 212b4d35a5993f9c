#include "store/maildir_name.h"
#include "base/ascii.h"
#include "base/buf.h"
#include "base/num.h"

#include <string.h>
#include <xxhash.h>

#define OCTETS(c) (UINT64_C(0x0101010101010101) * (c))

static bool
is_name_of_a_message(struct view name)
{
	if (name.n < 1 || name.n > MAILDIR_NAME_MAX || name.p[0] == '.')
		return false;
	return !memchr(name.p, '/', name.n) && !memchr(name.p, '\0', name.n);
}

/* ",S=123" or ",W=123" and nothing more, from a comma to the next. */
static bool
take_size_field(struct view field, struct maildir_name *ret)
{
	uint64_t n;

	if (field.n < 4 || field.p[2] != '=')
		return false;
	if (field.p[1] != 'S' && field.p[1] != 'W')
		return false;
	if (!num_decimal((struct view){field.p + 3, field.n - 3}, UINT64_MAX, &n))
		return false;
	if (field.p[1] == 'S') {
		ret->has_size = true;
		ret->size = n;
	} else {
		ret->has_wire = true;
		ret->wire = n;
	}
	return true;
}

static size_t
field_end(struct view unique, size_t at)
{
	const uint8_t *comma = memchr(unique.p + at + 1, ',', unique.n - at - 1);

	return comma ? (size_t)(comma - unique.p) : unique.n;
}

static void
parse_unique(struct view unique, struct maildir_name *ret)
{
	size_t at = 0, n = 0;

	while (at < unique.n) {
		size_t end = field_end(unique, at);
		struct view field = {unique.p + at, end - at};
		if (field.p[0] != ',' || !take_size_field(field, ret)) {
			memcpy(ret->key + n, field.p, field.n);
			n += field.n;
		}
		at = end;
	}
	ret->key_n = (uint8_t)n;
	ret->unique_n = (uint8_t)unique.n;
}

static uint64_t
leading_time(struct view unique)
{
	size_t digits = 0;
	uint64_t time;

	while (digits < unique.n && ascii_is_digit(unique.p[digits]))
		digits++;
	if (!num_decimal((struct view){unique.p, digits}, UINT64_MAX, &time))
		return UINT64_MAX;
	return time;
}

bool
maildir_name_parse(struct view name, struct maildir_name *ret)
{
	if (!is_name_of_a_message(name))
		return false;
	const uint8_t *colon = memchr(name.p, ':', name.n);
	struct view unique = {name.p, colon ? (size_t)(colon - name.p) : name.n};
	struct view info = {name.p + unique.n, name.n - unique.n};

	ret->has_size = ret->has_wire = ret->seen = false;
	ret->size = ret->wire = 0;
	ret->time = leading_time(unique);
	parse_unique(unique, ret);
	ret->has_info = info.n >= 3 && memcmp(info.p, ":2,", 3) == 0;
	if (ret->has_info)
		ret->seen = memchr(info.p + 3, 'S', info.n - 3) != NULL;
	return true;
}

bool
maildir_uidl_legal(struct view key)
{
	size_t i = 0;

	if (key.n < 1 || key.n > MAILDIR_UIDL_MAX)
		return false;
	/* Eight at once: none below 0x21, none above 0x7e. */
	for (uint64_t x; i + sizeof(x) <= key.n; i += sizeof(x)) {
		memcpy(&x, key.p + i, sizeof(x));
		if (((x - OCTETS(0x21)) | (x + OCTETS(1)) | x) & OCTETS(0x80))
			return false;
	}
	for (; i < key.n; i++)
		if (!ascii_is_graph(key.p[i]))
			return false;
	return true;
}

void
maildir_uidl_hash(
	struct view key, uint64_t ino, uint32_t attempt, uint8_t ret[MAILDIR_UIDL_HASHED])
{
	static const char prefix[] = "restante-", digits[] = "0123456789abcdef";
	uint8_t storage[MAILDIR_NAME_MAX + 12];
	struct buf b = buf_over(storage, sizeof(storage));
	XXH128_canonical_t canonical;

	buf_put_view(&b, key);
	if (ino != 0 || attempt != 0) {
		buf_put_u64(&b, ino);
		buf_put_u32(&b, attempt);
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(b.p, b.n));
	memcpy(ret, prefix, sizeof(prefix) - 1);
	uint8_t *out = ret + sizeof(prefix) - 1;
	for (size_t i = 0; i < sizeof(canonical.digest); i++) {
		*out++ = (uint8_t)digits[canonical.digest[i] >> 4];
		*out++ = (uint8_t)digits[canonical.digest[i] & 15];
	}
}

size_t
maildir_name_with_seen(struct view name, char ret[MAILDIR_NAME_MAX + 1])
{
	struct maildir_name parsed;

	if (!maildir_name_parse(name, &parsed))
		return 0;
	struct view info = {name.p + parsed.unique_n, name.n - parsed.unique_n};
	if (info.n > 0 && !parsed.has_info)
		return 0;
	struct view flags = info.n > 0 ? (struct view){info.p + 3, info.n - 3} : info;
	struct buf b = buf_over(ret, MAILDIR_NAME_MAX);
	size_t at = 0;

	buf_put(&b, name.p, parsed.unique_n);
	buf_put_str(&b, ":2,");
	while (at < flags.n && flags.p[at] < 'S')
		at++;
	buf_put(&b, flags.p, at);
	if (!parsed.seen)
		buf_put_str(&b, "S");
	buf_put(&b, flags.p + at, flags.n - at);
	if (b.full)
		return 0;
	ret[b.n] = '\0';
	return b.n;
}
