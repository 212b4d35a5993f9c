#include "wire_dot_checks.h"

#include "pop3/dot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define INPUT_MAX  8192
#define OUTPUT_MAX DOT_ENCODE_MAX(INPUT_MAX)

/* What is wrong, with enough to find it again. */
static char wrong[256];

static const char *
fault(const char *what, const char *kernel, const char *pattern, size_t n, size_t at)
{
	(void)snprintf(wrong, sizeof(wrong),
		"%s: kernel %s, pattern %s, %zu octets, at %zu", what, kernel, pattern, n,
		at);
	return wrong;
}

/* Memory with a page behind it that may not be touched. */
struct guarded {
	uint8_t *map;
	size_t n; /* usable, a whole number of pages */
};

static struct guarded
guarded_new(size_t octets)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t n = (octets + page - 1) / page * page;
	uint8_t *map =
		mmap(NULL, n + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED || mprotect(map + page, n, PROT_READ | PROT_WRITE) != 0)
		abort();
	return (struct guarded){map + page, n};
}

static void
guarded_free(struct guarded *g)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)munmap(g->map - page, g->n + 2 * page);
}

/* ---- the rule once more, in other words --------------------------------------- */

struct plain {
	uint8_t out[OUTPUT_MAX];
	size_t n;
	uint64_t counted;
	bool broken;
	uint8_t at;
};
static struct plain want;

static void
plain_put(struct plain *p, uint8_t octet)
{
	p->out[p->n++] = octet;
}

/* An if for each octet and each thing that may have come before it. */
static void
plain_encode(struct plain *p, uint8_t at, const uint8_t *in, size_t n)
{
	bool fresh_line = at == DOT_LINE_START;
	bool had_cr = at == DOT_AFTER_CR;

	p->n = 0;
	p->counted = 0;
	p->broken = false;
	for (size_t i = 0; i < n; i++) {
		if (in[i] == 0x0A && !had_cr) {
			plain_put(p, 0x0D);
			p->counted++;
			p->broken = true;
		}
		if (in[i] == 0x2E && fresh_line) {
			plain_put(p, 0x2E);
			p->broken = true;
		}
		plain_put(p, in[i]);
		p->counted++;
		fresh_line = in[i] == 0x0A;
		had_cr = in[i] == 0x0D;
	}
	p->at = had_cr ? DOT_AFTER_CR : DOT_IN_LINE;
	if (fresh_line)
		p->at = DOT_LINE_START;
}

/* ---- data ---------------------------------------------------------------------- */

static uint64_t seed;

static uint32_t
next_random(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33);
}

/* Repeated, or drawn from at random; the first octets matter most. */
static const struct pattern {
	const char *name;
	const char *octets;
	bool random;
} patterns[] = {
	{"lf", "\n", false},
	{"cr", "\r", false},
	{"dots", ".", false},
	{"text", "a", false},
	{"lf-dot", "\n.", false},
	{"crlf-dot", "\r\n.", false},
	{"cr-cr-lf", "\r\r\n", false},
	{"terminators", "\r\n.\r\n", false},
	{"prose lf", "The quick brown fox.\nJumps over the lazy dog\n\n..and\n", false},
	{"prose crlf", "The quick brown fox.\r\nJumps over the lazy dog\r\n\r\n..and\r\n",
		false},
	{"random tight", "\r\n.a", true},
	{"random loose",
		"\r\n.abcdefghijklmnopqrstuvwxyz\xff\x8d\x8a\xae\x01\x0b\x0c\x0e\x2f\x2d",
		true},
	{"random lines", "\n\n\n\n\n\n\n.\ra", true},
};
#define PATTERNS (sizeof(patterns) / sizeof(patterns[0]))

static void
fill(uint8_t *p, size_t n, const struct pattern *pattern)
{
	size_t period = strlen(pattern->octets);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)pattern
			       ->octets[(pattern->random ? next_random() : i) % period];
}

/* ---- kernels -------------------------------------------------------------------- */

/* in (and out, its room ending at a guard page) against the rule, from every state. */
static const char *
compare(const struct dot_kernel *k, const uint8_t *in, size_t n, struct guarded *out,
	const char *pattern)
{
	uint8_t *o = out->map + out->n - DOT_ENCODE_MAX(n);

	for (uint8_t at = DOT_LINE_START; at <= DOT_IN_LINE; at++) {
		struct dot_state encoding = {at}, counting = {at}, surveying = {at};
		bool broken = false;

		plain_encode(&want, at, in, n);
		size_t got = k->encode(&encoding, in, n, o);

		if (n == 0)
			want.at = at;
		if (got != want.n || memcmp(o, want.out, got) != 0)
			return fault("encode", k->name, pattern, n, at);
		struct dot_state again = {at};
		uint64_t dots = 7;
		memset(o, 0, got);
		if (k->encode_counted(&again, in, n, o, &dots) != got ||
			memcmp(o, want.out, got) != 0 || again.at != encoding.at ||
			got - (dots - 7) != want.counted)
			return fault("encode and count", k->name, pattern, n, at);
		if (k->count(&counting, in, n) != want.counted)
			return fault("count", k->name, pattern, n, at);
		if (k->survey(&surveying, in, n, &broken) != want.counted ||
			broken != want.broken)
			return fault("survey", k->name, pattern, n, at);
		broken = true;
		if (k->survey(&(struct dot_state){at}, in, n, &broken) != want.counted ||
			!broken)
			return fault("survey forgets", k->name, pattern, n, at);
		if (encoding.at != want.at || counting.at != want.at ||
			surveying.at != want.at)
			return fault("state", k->name, pattern, n, at);
	}
	return NULL;
}

static const char *
each_kernel(
	const char *(*run)(const struct dot_kernel *, struct guarded *, struct guarded *))
{
	size_t n;
	const struct dot_kernel *const *kernels = dot_kernels(&n);
	struct guarded in = guarded_new(INPUT_MAX), out = guarded_new(OUTPUT_MAX);
	const char *bad = n < 2 ? "fewer than two kernels" : NULL;

	seed = 1;
	for (size_t i = 0; i < n && !bad; i++)
		bad = run(kernels[i], &in, &out);
	guarded_free(&in);
	guarded_free(&out);
	return bad;
}

/* Every length, the input ending at the guard page: nothing behind it is read. */
static const char *
lengths_of(const struct dot_kernel *k, struct guarded *in, struct guarded *out)
{
	const char *bad = NULL;

	for (size_t p = 0; p < PATTERNS && !bad; p++)
		for (size_t n = 0; n <= 330 && !bad; n++) {
			uint8_t *at = in->map + in->n - n;
			fill(at, n, &patterns[p]);
			bad = compare(k, at, n, out, patterns[p].name);
		}
	return bad;
}

static const char *
every_length(void)
{
	return each_kernel(lengths_of);
}

/* Every alignment of the start, with other octets in front, which must not count. */
static const char *
alignments_of(const struct dot_kernel *k, struct guarded *in, struct guarded *out)
{
	static const size_t lengths[] = {
		1, 63, 64, 65, 127, 128, 129, 191, 192, 193, 1000};
	const char *bad = NULL;

	for (size_t p = 0; p < PATTERNS && !bad; p++)
		for (size_t align = 0; align < 64 && !bad; align++)
			for (size_t i = 0;
				i < sizeof(lengths) / sizeof(lengths[0]) && !bad; i++) {
				fill(in->map, align + lengths[i] + 64, &patterns[p]);
				bad = compare(k, in->map + align, lengths[i], out,
					patterns[p].name);
			}
	return bad;
}

static const char *
every_alignment(void)
{
	return each_kernel(alignments_of);
}

static const char *
large_of(const struct dot_kernel *k, struct guarded *in, struct guarded *out)
{
	const char *bad = NULL;

	for (size_t p = 0; p < PATTERNS && !bad; p++)
		for (size_t n = INPUT_MAX - 65; n <= INPUT_MAX && !bad; n += 13) {
			uint8_t *at = in->map + in->n - n;
			fill(at, n, &patterns[p]);
			bad = compare(k, at, n, out, patterns[p].name);
		}
	return bad;
}

static const char *
large(void)
{
	return each_kernel(large_of);
}

/* In two parts, divided anywhere, the result is that of the whole. */
static const char *
split_at(const struct dot_kernel *k, const uint8_t *in, size_t n, size_t cut,
	const char *pattern)
{
	static uint8_t got[OUTPUT_MAX + DOT_SLACK];
	struct dot_state encoding = {0}, counting = {0}, surveying = {0};
	bool broken = false;
	size_t o = k->encode(&encoding, in, cut, got);

	o += k->encode(&encoding, in + cut, 0, got + o);
	o += k->encode(&encoding, in + cut, n - cut, got + o);
	if (o != want.n || memcmp(got, want.out, o) != 0 || encoding.at != want.at)
		return fault("split encode", k->name, pattern, n, cut);

	uint64_t counted =
		k->count(&counting, in, cut) + k->count(&counting, in + cut, n - cut);
	uint64_t surveyed = k->survey(&surveying, in, cut, &broken);

	surveyed += k->survey(&surveying, in + cut, n - cut, &broken);
	if (counted != want.counted || surveyed != want.counted || broken != want.broken)
		return fault("split count", k->name, pattern, n, cut);
	return NULL;
}

static const char *
splits_of(const struct dot_kernel *k, struct guarded *in, struct guarded *out)
{
	const char *bad = NULL;
	size_t n = 300;

	(void)out;
	for (size_t p = 0; p < PATTERNS && !bad; p++) {
		fill(in->map, n, &patterns[p]);
		plain_encode(&want, DOT_LINE_START, in->map, n);
		for (size_t cut = 0; cut <= n && !bad; cut++)
			bad = split_at(k, in->map, n, cut, patterns[p].name);
	}
	return bad;
}

static const char *
every_split(void)
{
	return each_kernel(splits_of);
}

static const char *
ends(void)
{
	static const struct {
		uint8_t at;
		bool terminate;
		const char *gives;
		uint64_t counts;
	} rows[] = {
		{DOT_LINE_START, false, "", 0},
		{DOT_LINE_START, true, ".\r\n", 0},
		{DOT_AFTER_CR, false, "\r\n", 2},
		{DOT_AFTER_CR, true, "\r\n.\r\n", 2},
		{DOT_IN_LINE, false, "\r\n", 2},
		{DOT_IN_LINE, true, "\r\n.\r\n", 2},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dot_state s = {rows[i].at};
		uint8_t out[DOT_FINISH_MAX];

		if (dot_finish_count(&s) != rows[i].counts)
			return fault("finish count", "-", rows[i].gives, 0, i);
		size_t n = dot_finish(&s, rows[i].terminate, out);
		if (n != strlen(rows[i].gives) || memcmp(out, rows[i].gives, n) != 0)
			return fault("finish", "-", rows[i].gives, n, i);
		if (s.at != DOT_LINE_START || dot_finish_count(&s) != 0)
			return fault("finished twice", "-", rows[i].gives, n, i);
	}
	return NULL;
}

/* ---- TOP ------------------------------------------------------------------------- */

/* Where the line that begins at i ends, its LF included; n if it has none. */
static size_t
line_end(const uint8_t *in, size_t n, size_t i)
{
	while (i < n && in[i] != '\n')
		i++;
	return i < n ? i + 1 : n;
}

/* The prefix that TOP gives, by whole lines of a message that lies there complete. */
static size_t
plain_top(const uint8_t *in, size_t n, uint64_t lines, bool *ret_lacks_blank)
{
	size_t i = 0;
	bool blank = false;

	while (i < n && !blank) {
		size_t end = line_end(in, n, i);
		size_t octets = end - i;

		blank = (octets == 1 && in[i] == '\n') ||
			(octets == 2 && in[i] == '\r' && in[i + 1] == '\n');
		i = end;
	}
	*ret_lacks_blank = !blank;
	for (; blank && i < n && lines > 0; lines--)
		i = line_end(in, n, i);
	return i;
}

static const char *
top_splits(const uint8_t *in, size_t n, uint64_t lines, const char *name)
{
	bool lacks;
	size_t expected = plain_top(in, n, lines, &lacks);

	for (size_t cut = 0; cut <= n; cut++) {
		struct dot_top t;

		dot_top_init(&t, lines);
		size_t got = dot_top_take(&t, in, cut);
		if (got == cut) {
			got += dot_top_take(&t, in + cut, 0);
			got += dot_top_take(&t, in + cut, n - cut);
		} else if (!t.done)
			return fault("top stopped early", "-", name, n, cut);
		if (got != expected || dot_top_lacks_blank(&t) != lacks)
			return fault("top", "-", name, n, cut);
		if (got < n && (!t.done || dot_top_take(&t, in, n) != 0))
			return fault("top goes on", "-", name, n, cut);
	}
	return NULL;
}

static const char *
top(void)
{
	static const char *const messages[] = {"", "\n", "\r\n", "\r", "a", "a: b\n",
		"a: b\n\n", "a: b\r\n\r\none\r\ntwo\r\n.three\r\nfour",
		"a: b\n\none\ntwo\n\n\nfive\n",
		"a: b\r\n\r\r\nstill header\r\n\r\nbody\r\n", "a: b\n\r\rx\n\r",
		"\nbody\nbody\nbody"};
	static uint8_t in[200];
	const char *bad = NULL;

	for (uint64_t lines = 0; lines <= 4 && !bad; lines++) {
		for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]) && !bad;
			i++)
			bad = top_splits((const uint8_t *)messages[i],
				strlen(messages[i]), lines, messages[i]);
		for (size_t p = 0; p < PATTERNS && !bad; p++) {
			fill(in, sizeof(in), &patterns[p]);
			bad = top_splits(in, sizeof(in), lines, patterns[p].name);
		}
	}
	return bad ? bad : top_splits((const uint8_t *)"\na\nb\n", 5, UINT64_MAX, "all");
}

/* ---- decoding -------------------------------------------------------------------- */

/* Fed in two parts; what follows the terminator must be left alone. */
static const char *
decode_splits(
	const char *in, size_t n, const char *out, size_t out_n, size_t taken, bool end)
{
	static uint8_t got[OUTPUT_MAX];

	for (size_t cut = 0; cut <= n; cut++) {
		struct dot_decode_state s = {0};
		size_t took = 0, more = 0;
		bool ended = false;
		const uint8_t *p = (const uint8_t *)in;
		size_t o = dot_decode(&s, p, cut, got, &took, &ended);

		if (o > cut + 1)
			return fault("decode writes too much", "-", in, n, cut);
		if (!ended) {
			o += dot_decode(&s, p + cut, n - cut, got + o, &more, &ended);
			took += more;
		}
		if (took != taken || ended != end || o != out_n ||
			memcmp(got, out, o) != 0)
			return fault("decode", "-", in, n, cut);
	}
	return NULL;
}

/* Only CRLF . CRLF ends a message; look-alikes are content. */
static const char *
decoding(void)
{
	static const struct {
		const char *in, *out;
		size_t taken;
		bool end;
	} rows[] = {
		{".\r\n", "", 3, true},
		{".\r\n+OK", "", 3, true},
		{"a\r\n.\r\n.\r\n", "a\r\n", 6, true},
		{"..\r\n.\r\n", ".\r\n", 7, true},
		{".a\r\n.\r\n", "a\r\n", 7, true},
		{"a\n.\n.\r\nb\r\n.\r\n", "a\n.\n.\r\nb\r\n", 13, true},
		{"a\n.\r\n", "a\n.\r\n", 5, false},
		{"a\r.\r\n", "a\r.\r\n", 5, false},
		{"a\r\r\n.\r\n", "a\r\r\n", 7, true},
		{"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", 11, true},
		{"a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", 10, true},
		{"a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", 11, true},
		{"a\r\n.", "a\r\n", 4, false},
		{"a\r\n.\r", "a\r\n", 5, false},
		{"", "", 0, false},
	};
	const char *bad = NULL;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !bad; i++)
		bad = decode_splits(rows[i].in, strlen(rows[i].in), rows[i].out,
			strlen(rows[i].out), rows[i].taken, rows[i].end);
	return bad;
}

/* decode(encode(x)) is x with CRLF everywhere; and its size is what count said. */
static const char *
round_trip(void)
{
	static uint8_t in[256], wire[DOT_ENCODE_MAX(256) + DOT_FINISH_MAX], normal[600];
	const struct dot_kernel *k = dot_best();
	const char *bad = NULL;

	for (size_t p = 0; p < PATTERNS && !bad; p++)
		for (size_t n = 0; n <= sizeof(in) && !bad; n += 1 + n / 8) {
			struct dot_state s = {0};
			size_t normal_n = 0;

			fill(in, n, &patterns[p]);
			for (size_t i = 0; i < n; i++) {
				if (in[i] == '\n' && (i == 0 || in[i - 1] != '\r'))
					normal[normal_n++] = '\r';
				normal[normal_n++] = in[i];
			}
			if (n > 0 && in[n - 1] != '\n') {
				normal[normal_n++] = '\r';
				normal[normal_n++] = '\n';
			}
			size_t w = k->encode(&s, in, n, wire);
			uint64_t size = k->count(&(struct dot_state){0}, in, n) +
				dot_finish_count(&s);

			if (size != normal_n)
				return fault("size", k->name, patterns[p].name, n, 0);
			w += dot_finish(&s, true, wire + w);
			bad = decode_splits((const char *)wire, w, (const char *)normal,
				normal_n, w, true);
		}
	return bad;
}

const struct dot_check dot_checks[] = {
	{"every length, guarded", every_length},
	{"every alignment", every_alignment},
	{"large", large},
	{"every split", every_split},
	{"ends", ends},
	{"top at every split", top},
	{"decoding at every split", decoding},
	{"round trip", round_trip},
};
const unsigned dot_checks_n = sizeof(dot_checks) / sizeof(dot_checks[0]);
