#include "store/mbox_scan.h"

#include "base/check.h"
#include "base/num.h"

#include <string.h>

#define TAIL	       16 /* left in the window: the longest pattern and what lies before it */
#define FIELD_LINE_MAX 4096 /* a longer header line is taken in parts */

void
mbox_scan_begin(struct mbox_scan *s, XXH3_state_t *hash, uint32_t how, uint64_t offset)
{
	*s = (struct mbox_scan){
		.kernel = dot_best(), .hash = hash, .how = how, .offset = offset};
}

/* ---- the digest ---------------------------------------------------------------- */

static void
hash_add(struct mbox_scan *s, const uint8_t *p, size_t n)
{
	if (n > 0)
		(void)XXH3_128bits_update(s->hash, p, n);
}

static void
hold(struct mbox_scan *s, const uint8_t *p, size_t n)
{
	size_t over =
		s->held_n + n > sizeof(s->held) ? s->held_n + n - sizeof(s->held) : 0;
	size_t old = over < s->held_n ? over : s->held_n;

	hash_add(s, s->held, old);
	memmove(s->held, s->held + old, s->held_n - old);
	s->held_n -= old;
	hash_add(s, p, over - old);
	memcpy(s->held + s->held_n, p + (over - old), n - (over - old));
	s->held_n += n - (over - old);
}

/* Line ends at the end do not count, up to as many as are held back. */
static void
digest_add(struct mbox_scan *s, const uint8_t *p, size_t n)
{
	size_t end = n;

	while (end > 0 && (p[end - 1] == '\n' || p[end - 1] == '\r'))
		end--;
	if (end > 0) {
		hash_add(s, s->held, s->held_n);
		s->held_n = 0;
		hash_add(s, p, end);
	}
	if (n > end)
		hold(s, p + end, n - end);
}

/* ---- a message ------------------------------------------------------------------ */

static void
wire_add(struct mbox_scan *s, const uint8_t *p, size_t n)
{
	s->now.wire += s->kernel->survey(&s->dot, p, n, &s->broken);
	s->now.length += n;
}

static void
message_begin(struct mbox_scan *s, uint64_t start, uint64_t at)
{
	s->now = (struct mbox_found){.start = start, .at = at};
	s->dot = (struct dot_state){0};
	s->broken = s->in_line = s->skips = false;
	s->imap = s->internal_subject = false;
	s->has_length = s->fits = false;
	s->quotes = false;
	s->held_n = 0;
	(void)XXH3_128bits_reset(s->hash);
	s->state = SCAN_HEADER;
}

static void
message_end(struct mbox_scan *s, struct mbox_found *ret)
{
	uint64_t missing = dot_finish_count(&s->dot);
	XXH128_canonical_t digest;

	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(s->hash));
	_Static_assert(sizeof(digest.digest) == MBOX_DIGEST);
	memcpy(s->now.digest, digest.digest, MBOX_DIGEST);
	s->now.wire += missing;
	s->now.as_is = !s->broken && missing == 0;
	s->now.internal = s->now.start == 0 && s->imap && s->internal_subject;
	if (s->now.length > MBOX_UNQUOTE_MAX)
		s->now.quoted = 0;
	s->now.wire -= s->now.quoted;
	*ret = s->now;
	s->state = SCAN_FROM;
}

/* ---- the header ----------------------------------------------------------------- */

static void
note_field(struct mbox_scan *s, struct view line)
{
	struct view value;
	uint64_t n;
	enum mbox_field f = mbox_field_of(line, &value);

	s->skips = mbox_field_is_note(f);
	switch (f) {
	case FIELD_SUBJECT: s->internal_subject = mbox_subject_is_internal(value); break;
	case FIELD_STATUS: s->now.seen = memchr(value.p, 'R', value.n) != NULL; break;
	case FIELD_X_IMAP: s->imap = true; break;
	case FIELD_X_UIDL:
		/* The first, as with the servers that write it: who sends mail may add
		 * others. */
		if (s->now.uidl_n > 0 || !mbox_uidl_is_legal(value))
			break;
		memcpy(s->now.uidl, value.p, value.n);
		s->now.uidl_n = (uint8_t)value.n;
		break;
	case FIELD_CONTENT_LENGTH:
		if (num_decimal(value, INT64_MAX, &n)) {
			s->has_length = true;
			s->body_length = n;
		}
		break;
	case FIELD_MESSAGE:
	case FIELD_X_STATUS:
	case FIELD_X_UID:
	case FIELD_X_KEYWORDS:
	case FIELD_LINES: break;
	}
}

static size_t
empty_line(struct view v)
{
	if (v.n >= 1 && v.p[0] == '\n')
		return 1;
	return v.n >= 2 && v.p[0] == '\r' && v.p[1] == '\n' ? 2 : 0;
}

/* At the empty line, which may yet be the one before a From_ line. */
static void
header_end(struct mbox_scan *s, uint64_t offset, size_t empty)
{
	s->state = SCAN_BODY;
	s->line_start = true;
	if ((s->how & MBOX_HOW_LENGTHS) && s->has_length &&
		num_add(offset + empty, s->body_length, &s->until) &&
		s->until <= INT64_MAX - MBOX_FROM_MAX) {
		s->look_at = s->until;
		s->state = SCAN_LOOKING;
	}
}

/* Octets of the next header line that can be taken now; 0: more must be seen first. */
static size_t
header_line(const struct mbox_scan *s, struct view v, bool at_end)
{
	size_t look = v.n < FIELD_LINE_MAX ? v.n : FIELD_LINE_MAX;
	const uint8_t *lf = v.n > 0 ? memchr(v.p, '\n', look) : NULL;

	if (lf)
		return (size_t)(lf - v.p) + 1;
	if (at_end || look == FIELD_LINE_MAX)
		return look;
	return s->in_line ? v.n : 0;
}

static enum mbox_step
step_header(struct mbox_scan *s, struct view w, bool at_end, size_t *ret_taken,
	struct mbox_found *ret)
{
	size_t at = 0, run = 0; /* run: from where octets wait for the digest */

	for (;;) {
		struct view v = {w.p + at, w.n - at};
		size_t empty = s->in_line ? 0 : empty_line(v);
		size_t n = empty ? 0 : header_line(s, v, at_end);
		if (n == 0) {
			digest_add(s, w.p + run, at - run);
			wire_add(s, w.p, at);
			*ret_taken = at;
			if (empty) {
				header_end(s, s->offset + at, empty);
				return MBOX_MORE;
			}
			if (!at_end)
				return MBOX_MORE;
			message_end(s, ret);
			return MBOX_MESSAGE;
		}
		bool skipped = s->skips;
		if (!s->in_line && v.p[0] != ' ' && v.p[0] != '\t')
			note_field(s, (struct view){v.p, n});
		if (s->skips && !skipped)
			digest_add(s, w.p + run, at - run);
		at += n;
		if (s->skips || skipped)
			run = s->skips ? at : at - n;
		s->in_line = v.p[n - 1] != '\n';
	}
}

/* ---- the body ------------------------------------------------------------------- */

/* Lines of the first `end` octets that lose a >. */
static void
count_quotes(struct mbox_scan *s, struct view w, size_t end)
{
	size_t at = 0;

	while (at < end) {
		size_t look = end - at + 5 < w.n - at ? end - at + 5 : w.n - at;
		const uint8_t *hit = memmem(w.p + at, look, ">From ", 6);
		if (!hit)
			break;
		size_t i = (size_t)(hit - w.p);
		at = i + 6;
		while (i > 0 && w.p[i - 1] == '>')
			i--;
		if (i > 0 ? w.p[i - 1] == '\n' : s->quotes)
			s->now.quoted++;
	}
	for (at = end; at > 0 && w.p[at - 1] == '>';)
		at--;
	if (at > 0)
		s->quotes = w.p[at - 1] == '\n';
}

static void
body_take(struct mbox_scan *s, struct view w, size_t end)
{
	if (end == 0)
		return;
	if (s->how & MBOX_HOW_UNQUOTE)
		count_quotes(s, w, end);
	digest_add(s, w.p, end);
	wire_add(s, w.p, end);
	s->line_start = w.p[end - 1] == '\n';
}

/* Whether the line that ends with the LF at i is empty; *ret_n: its octets. */
static bool
is_empty_line(const struct mbox_scan *s, struct view w, size_t i, size_t *ret_n)
{
	size_t n = i > 0 && w.p[i - 1] == '\r' ? 2 : 1;

	*ret_n = n;
	return i + 1 == n ? s->line_start : w.p[i - n] == '\n';
}

/* Where the message ends by Content-Length. */
static enum mbox_step
step_until(struct mbox_scan *s, struct view w, bool at_end, size_t *ret_taken,
	struct mbox_found *ret)
{
	uint64_t left = s->until - s->offset;

	if (left > w.n || (left + 2 > w.n && !at_end)) {
		/* The file has become shorter since it was looked at. */
		size_t n = at_end || w.n < TAIL ? (at_end ? w.n : 0) : w.n - TAIL;
		n = n < left ? n : (size_t)left;
		body_take(s, w, n);
		*ret_taken = n;
		if (!at_end)
			return MBOX_MORE;
	} else {
		body_take(s, w, (size_t)left);
		*ret_taken = (size_t)left +
			empty_line((struct view){w.p + left, w.n - (size_t)left});
	}
	message_end(s, ret);
	return MBOX_MESSAGE;
}

/* The next boundary from `from` on. BOUNDARY_NO: none in this window. */
static enum mbox_boundary
find_boundary(const struct mbox_scan *s, struct view w, bool at_end, size_t *ret_end,
	size_t *ret_from)
{
	for (size_t at = 0; at < w.n;) {
		const uint8_t *hit = memmem(w.p + at, w.n - at, "\nFrom ", 6);
		size_t empty, n;
		if (!hit)
			break;
		size_t i = (size_t)(hit - w.p);
		at = i + 1;
		if (!is_empty_line(s, w, i, &empty))
			continue;
		enum mbox_boundary b =
			mbox_from_at((struct view){w.p + at, w.n - at}, at_end, &n);
		if (b == BOUNDARY_NO)
			continue;
		*ret_end = at - empty;
		*ret_from = at;
		return b;
	}
	return BOUNDARY_NO;
}

static enum mbox_step
step_body(struct mbox_scan *s, struct view w, bool at_end, size_t *ret_taken,
	struct mbox_found *ret)
{
	size_t end, from, empty;

	if (s->fits)
		return step_until(s, w, at_end, ret_taken, ret);
	switch (find_boundary(s, w, at_end, &end, &from)) {
	case BOUNDARY_YES:
		body_take(s, w, end);
		*ret_taken = from;
		message_end(s, ret);
		return MBOX_MESSAGE;
	case BOUNDARY_MORE:
		body_take(s, w, end);
		*ret_taken = end;
		return MBOX_MORE;
	case BOUNDARY_NO: break;
	}
	if (!at_end) {
		size_t n = w.n > TAIL ? w.n - TAIL : 0;
		body_take(s, w, n);
		*ret_taken = n;
		return MBOX_MORE;
	}
	end = w.n;
	if (w.n > 0 && w.p[w.n - 1] == '\n' && is_empty_line(s, w, w.n - 1, &empty))
		end = w.n - empty;
	body_take(s, w, end);
	*ret_taken = w.n;
	message_end(s, ret);
	return MBOX_MESSAGE;
}

/* ---- all of it ------------------------------------------------------------------ */

static enum mbox_step
step_from(struct mbox_scan *s, struct view w, bool at_end, size_t *ret_taken)
{
	size_t n;

	if (w.n == 0)
		return at_end ? MBOX_END : MBOX_MORE;
	switch (mbox_first_at(w, at_end, &n)) {
	case BOUNDARY_NO: return MBOX_BAD;
	case BOUNDARY_MORE: return MBOX_MORE;
	case BOUNDARY_YES: break;
	}
	message_begin(s, s->offset, s->offset + n);
	*ret_taken = n;
	return MBOX_MORE;
}

enum mbox_step
mbox_scan_step(struct mbox_scan *s, struct view w, bool at_end, size_t *ret_taken,
	struct mbox_found *ret)
{
	size_t all = 0;

	for (;;) {
		enum mbox_scan_at before = s->state;
		enum mbox_step step = MBOX_LOOK;
		struct view v = {w.p + all, w.n - all};
		size_t taken = 0;
		switch (before) {
		case SCAN_FROM: step = step_from(s, v, at_end, &taken); break;
		case SCAN_HEADER: step = step_header(s, v, at_end, &taken, ret); break;
		case SCAN_BODY: step = step_body(s, v, at_end, &taken, ret); break;
		case SCAN_LOOKING: break;
		}
		all += taken;
		s->offset += taken;
		*ret_taken = all;
		if (step != MBOX_MORE || s->state == before)
			return step;
	}
}

void
mbox_scan_looked(struct mbox_scan *s, struct view octets)
{
	CHECK(s->state == SCAN_LOOKING);
	s->state = SCAN_BODY;
	if (octets.n == 0)
		return;
	/* A message ends with a line end, or the line end follows it. */
	struct view v = {octets.p + 1, octets.n - 1};
	bool at_line = octets.p[0] == '\n' || v.n == 0 || empty_line(v) > 0;
	s->fits = at_line && mbox_end_at(v);
}
