/*
 * Dovecot's %variables as pop3_uidl_format knows them:
 *
 *     %[[-]OFFSET.][-][0][WIDTH][MODIFIERS]VARIABLE
 *
 * With 0 before the width the value is filled up with zeros and never cut; without, it is
 * cut. A negative width counts from the end, and so does a negative offset.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "move/foreign.h"

#include <string.h>

#define NUMBER_MAX    4096
#define VALUE_MAX     512
#define MODIFIERS_MAX 10

struct field {
	bool offset_back, width_back, zeros;
	uint32_t offset, width;
	uint8_t modifiers[MODIFIERS_MAX];
	uint8_t modifiers_n;
	uint8_t variable;
};

static uint8_t
next(struct view *v)
{
	if (v->n == 0)
		return 0;
	v->n--;
	return *v->p++;
}

static uint8_t
peek(const struct view *v)
{
	return v->n > 0 ? v->p[0] : 0;
}

static bool
take_if(struct view *v, uint8_t c)
{
	if (peek(v) != c)
		return false;
	(void)next(v);
	return true;
}

static uint32_t
take_number(struct view *v)
{
	uint32_t n = 0;

	while (ascii_is_digit(peek(v))) {
		n = n * 10 + (uint32_t)(next(v) - '0');
		if (n > NUMBER_MAX)
			n = NUMBER_MAX;
	}
	return n;
}

static const char *
read_field(struct view *v, struct field *f)
{
	*f = (struct field){.zeros = false};
	bool back = take_if(v, '-');
	f->zeros = take_if(v, '0');
	f->width = take_number(v);
	if (take_if(v, '.')) {
		f->offset = f->width;
		f->offset_back = back;
		f->zeros = take_if(v, '0');
		f->width_back = take_if(v, '-');
		f->width = take_number(v);
	}
	while (peek(v) != 0 && memchr("LURXMT", peek(v), 6)) {
		if (f->modifiers_n == MODIFIERS_MAX)
			return "it has more than 10 modifiers in one place";
		f->modifiers[f->modifiers_n++] = next(v);
	}
	f->variable = next(v);
	switch (f->variable) {
	case 'u':
	case 'v':
	case 'f':
	case 'g':
	case '%': return NULL;
	case 'm':
		return "%m is a digest that only mbox files have; ask the old server "
		       "with "
		       "--from";
	case '{':
		return "%{...} is the form of Dovecot 2.4; write it as 2.3 did, such as "
		       "%08Xu%08Xv, or ask the old server with --from";
	case '\0': return "it ends within a variable";
	case 'H':
	case 'N':
	case 'E':
	case 'D':
		return "it has a modifier that is not known here (known are L U R X M "
		       "T); "
		       "ask the old server with --from";
	default: return "it has an unknown variable; known are %u %v %f %g";
	}
}

const char *
foreign_format_fault(struct view format)
{
	bool varies = false;
	struct field f;

	if (format.n > FOREIGN_FORMAT_MAX)
		return "it is longer than 255 octets";
	while (format.n > 0) {
		if (next(&format) != '%')
			continue;
		const char *why = read_field(&format, &f);
		if (why)
			return why;
		varies |= f.variable == 'u' || f.variable == 'f' || f.variable == 'g';
	}
	return varies ? NULL : "it has none of %u %f %g, so all UIDLs would be the same";
}

/* ---- values -------------------------------------------------------------------------
 */

static void
put_hex(struct buf *b, uint64_t n)
{
	static const char digits[] = "0123456789abcdef";
	int shift = 60;

	while (shift > 0 && n >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		buf_put(b, &digits[n >> shift & 15], 1);
}

static bool
put_value(const struct field *f, const struct foreign_values *v, struct buf *b)
{
	struct view text = {NULL, 0};

	switch (f->variable) {
	case 'u': buf_put_dec(b, v->uid); return v->uid != 0;
	case 'v': buf_put_dec(b, v->uidvalidity); return v->uidvalidity != 0;
	case 'f': text = v->name; break;
	case 'g': text = v->guid; break;
	case '%': text = VIEW("%"); break;
	default: UNREACHABLE();
	}
	buf_put_view(b, text);
	return text.p && text.n > 0 && !b->full;
}

static void
reverse(struct buf *b)
{
	for (size_t i = 0; i < b->n / 2; i++) {
		uint8_t c = b->p[i];
		b->p[i] = b->p[b->n - 1 - i];
		b->p[b->n - 1 - i] = c;
	}
}

/* Anything but a decimal number counts as 0, as it does there. */
static void
to_hex(struct buf *b)
{
	uint64_t n = 0;

	(void)!num_decimal(buf_view(b), UINT64_MAX, &n);
	b->n = 0;
	put_hex(b, n);
}

static void
to_md5(struct buf *b, void (*md5)(struct view octets, uint8_t ret[16]))
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum[16];

	md5(buf_view(b), sum);
	b->n = 0;
	for (size_t i = 0; i < sizeof(sum); i++) {
		buf_put(b, &digits[sum[i] >> 4], 1);
		buf_put(b, &digits[sum[i] & 15], 1);
	}
}

static void
modify(uint8_t how, void (*md5)(struct view octets, uint8_t ret[16]), struct buf *b)
{
	switch (how) {
	case 'L':
		for (size_t i = 0; i < b->n; i++)
			b->p[i] = ascii_lower(b->p[i]);
		return;
	case 'U':
		for (size_t i = 0; i < b->n; i++)
			if (b->p[i] >= 'a' && b->p[i] <= 'z')
				b->p[i] = (uint8_t)(b->p[i] & ~0x20);
		return;
	case 'R': reverse(b); return;
	case 'X': to_hex(b); return;
	case 'M': to_md5(b, md5); return;
	case 'T': b->n = ascii_trim_end(buf_view(b)).n; return;
	default: UNREACHABLE();
	}
}

static void
put_cut(const struct field *f, struct view v, struct buf *out)
{
	size_t skip = f->offset;

	if (f->offset_back)
		skip = v.n > f->offset ? v.n - f->offset : 0;
	if (skip > v.n)
		skip = v.n;
	v.p += skip;
	v.n -= skip;
	size_t width = f->width;
	if (f->width_back)
		width = v.n > f->width ? v.n - f->width : 0;
	if (f->width == 0)
		width = v.n;
	if (f->zeros && !f->width_back)
		for (size_t i = v.n; i < width; i++)
			buf_put_str(out, "0");
	else if (v.n > width)
		v.n = width;
	buf_put_view(out, v);
}

bool
foreign_format_put(struct view format, const struct foreign_values *v,
	void (*md5)(struct view octets, uint8_t ret[16]), struct buf *out)
{
	uint8_t storage[VALUE_MAX];
	struct field f;

	while (format.n > 0) {
		uint8_t c = next(&format);
		if (c != '%') {
			buf_put(out, &c, 1);
			continue;
		}
		struct buf value = buf_over(storage, sizeof(storage));
		if (read_field(&format, &f) || !put_value(&f, v, &value))
			return false;
		for (uint8_t i = 0; i < f.modifiers_n; i++)
			modify(f.modifiers[i], md5, &value);
		put_cut(&f, buf_view(&value), out);
	}
	return !out->full;
}
