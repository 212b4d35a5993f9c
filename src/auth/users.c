#include "auth/users.h"
#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Of slot.at: the line was read whole and without a fault, and the octets stay as they
 * are. */
#define SOUND (1U << 31)
_Static_assert(USERS_OCTETS_MAX < SOUND, "an offset leaves the bit free");

struct slot {
	uint32_t at; /* of the line in octets, plus 1, and SOUND; 0: free */
	uint32_t tag;
};

struct users {
	uint8_t *octets;
	size_t n;
	uint8_t key[32];
	struct users_options options;
	uint8_t maildrop[MAILDROP_OCTETS_MAX]; /* options.maildrop lies here */
	struct slot *slots;
	size_t mask; /* slots less one, a power of two less one */
	size_t count;
	struct census census;
	struct users_offer offer;
	struct users_report *reports;
	size_t reports_all;
};

/* A hash under a key: nobody can choose names that meet in one place. */
static uint64_t
name_hash(const struct users *u, struct view name)
{
	uint64_t key[2];
	uint64_t h;

	memcpy(key, u->key, sizeof(key));
	h = key[0] ^ name.n;
	while (name.n > 0) {
		uint64_t piece = 0;
		size_t n = name.n < 8 ? name.n : 8;
		memcpy(&piece, name.p, n);
		h = (h ^ piece) * 0x9E3779B97F4A7C15U;
		h ^= h >> 29 ^ key[1];
		name.p += n;
		name.n -= n;
	}
	h *= 0xBF58476D1CE4E5B9U;
	return h ^ h >> 32;
}

static struct view
line_at(const struct users *u, size_t at)
{
	const uint8_t *start = u->octets + at;
	const uint8_t *end = memchr(start, '\n', u->n - at);

	return (struct view){start, end ? (size_t)(end - start) : u->n - at};
}

static size_t
start_of(const struct slot *s)
{
	return (s->at & ~SOUND) - 1;
}

static struct view
name_at(const struct users *u, size_t at)
{
	struct view line = {u->octets + at, u->n - at};
	size_t n = 0;

	while (n < line.n && n <= MAILDROP_NAME_MAX && line.p[n] != ':' &&
		line.p[n] != '\n')
		n++;
	return (struct view){line.p, n};
}

/* The slot of this name, or the free one where it would be. */
static struct slot *
find_slot(const struct users *u, struct view name, uint32_t *ret_tag)
{
	uint64_t h = name_hash(u, name);
	size_t i = (size_t)h & u->mask;

	*ret_tag = (uint32_t)(h >> 32);
	for (;; i = (i + 1) & u->mask) {
		struct slot *s = &u->slots[i];
		if (s->at == 0)
			return s;
		if (s->tag == *ret_tag && view_equal(name_at(u, start_of(s)), name))
			return s;
	}
}

static void
report(struct users *u, uint32_t line, enum users_fault fault, struct view name,
	struct view about)
{
	if (u->reports_all < USERS_REPORTS_MAX)
		u->reports[u->reports_all] =
			(struct users_report){line, fault, name, about};
	u->reports_all++;
}

/* What the offers of all must tell: RFC 2449 s.6.5 and s.6.7. */
static void
count_offer(struct users *u, const struct user *user)
{
	const struct user_policy *p = &user->policy;
	struct users_offer *o = &u->offer;
	uint32_t of_password = user->has_stored && u->options.mechanisms_of
		? u->options.mechanisms_of(&user->stored)
		: 0;

	o->mechanisms |= policy_mechanisms(p, of_password);
	if (p->nologin || p->no_pop3)
		return;
	o->users++;
	if (p->has_expire) {
		if (o->with_expire == 0 || p->expire_days < o->expire_min)
			o->expire_min = p->expire_days;
		if (o->with_expire == 0 || p->expire_days > o->expire_max)
			o->expire_max = p->expire_days;
		o->with_expire++;
	}
	if (p->has_login_delay) {
		if (o->with_delay == 0 || p->login_delay_s < o->delay_min)
			o->delay_min = p->login_delay_s;
		if (p->login_delay_s > o->delay_max)
			o->delay_max = p->login_delay_s;
		o->with_delay++;
	}
}

/* One line into the table. A wrong one too: it must not make way for a later one. */
static void
add_line(struct users *u, size_t at, struct view line, uint32_t number,
	struct user *scratch)
{
	struct view about;
	uint32_t tag;

	if (users_line_is_empty(line))
		return;
	enum users_fault fault = users_line_read(line, &u->options, scratch, &about);
	struct view name = scratch->name;
	if (name.n == 0) {
		report(u, number, fault, name, about);
		return;
	}
	struct slot *slot = find_slot(u, name, &tag);
	if (slot->at != 0) {
		report(u, number, USERS_DUPLICATE, name, name);
		return;
	}
	if (u->count == USERS_COUNT_MAX) {
		report(u, number, USERS_TOO_MANY, name, name);
		return;
	}
	uint32_t sound = fault == USERS_OK ? SOUND : 0;
	*slot = (struct slot){((uint32_t)at + 1) | sound, tag};
	u->count++;
	bool can_log_in = fault == USERS_OK ||
		(fault == USERS_NO_PASSWORD && scratch->policy.certificates_n > 0);
	if (can_log_in)
		count_offer(u, scratch);
	if (fault == USERS_OK)
		census_add(&u->census, &scratch->stored);
	else if (fault != USERS_LOCKED && !can_log_in)
		report(u, number, fault, name, about);
}

static void
add_lines(struct users *u, struct user *scratch)
{
	uint32_t number = 1;

	for (size_t at = 0; at < u->n; number++) {
		struct view line = line_at(u, at);
		add_line(u, at, line, number, scratch);
		at += line.n + 1;
	}
}

/* A table at most half full: as many slots as there can be names, twice. */
static bool
make_table(struct users *u)
{
	size_t lines = 1;
	size_t slots = 16;

	for (const uint8_t *p = u->octets; lines < USERS_COUNT_MAX; lines++, p++) {
		p = memchr(p, '\n', u->n - (size_t)(p - u->octets));
		if (!p)
			break;
	}
	while (slots < 2 * lines)
		slots *= 2;
	u->slots = calloc(slots, sizeof(*u->slots));
	census_init(&u->census, calloc(CENSUS_CLASSES_MAX, sizeof(*u->census.classes)));
	u->reports = calloc(USERS_REPORTS_MAX, sizeof(*u->reports));
	u->mask = slots - 1;
	return u->slots && u->census.classes && u->reports;
}

struct users *
users_new(uint8_t *take_octets, size_t n, const struct users_options *options,
	const uint8_t key[32])
{
	struct users *u = calloc(1, sizeof(*u));
	struct user *scratch = calloc(1, sizeof(*scratch));

	CHECK(n <= USERS_OCTETS_MAX);
	CHECK(options->maildrop.n <= MAILDROP_OCTETS_MAX);
	if (!u || !scratch) {
		explicit_bzero(take_octets, n);
		free(take_octets);
		free(scratch);
		free(u);
		return NULL;
	}
	u->octets = take_octets;
	u->n = n;
	memcpy(u->key, key, sizeof(u->key));
	u->options = *options;
	memcpy(u->maildrop, options->maildrop.p, options->maildrop.n);
	u->options.maildrop.p = u->maildrop;
	if (make_table(u)) {
		add_lines(u, scratch);
		census_default(&u->census);
	} else {
		users_free(&u);
	}
	explicit_bzero(scratch, sizeof(*scratch));
	free(scratch);
	return u;
}

int
users_load(int fd, const struct users_options *options, const uint8_t key[32],
	struct users **ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	uint8_t *octets;
	size_t n;
	int r = fd_read_file(fd, USERS_OCTETS_MAX, &octets, &n);
	if (r < 0)
		return r;
	struct users *u = users_new(octets, n, options, key);
	if (!u)
		return -ENOMEM;
	*ret = u;
	return 0;
}

void
users_free(struct users **up)
{
	struct users *u = *up;

	*up = NULL;
	if (!u)
		return;
	explicit_bzero(u->octets, u->n);
	free(u->octets);
	free(u->slots);
	if (u->census.classes)
		explicit_bzero(u->census.classes,
			CENSUS_CLASSES_MAX * sizeof(*u->census.classes));
	free(u->census.classes);
	free(u->reports);
	explicit_bzero(u, sizeof(*u));
	free(u);
}

static bool
find_with(const struct users *u, struct view name, struct users_options options,
	struct user *ret, enum users_fault *ret_fault)
{
	struct view about;
	uint32_t tag;

	if (name.n == 0 || name.n > MAILDROP_NAME_MAX)
		return false;
	const struct slot *slot = find_slot(u, name, &tag);
	if (slot->at == 0)
		return false;
	options.is_sound = slot->at & SOUND;
	*ret_fault = users_line_read(line_at(u, start_of(slot)), &options, ret, &about);
	return true;
}

bool
users_find(const struct users *u, struct view name, struct user *ret,
	enum users_fault *ret_fault)
{
	return find_with(u, name, u->options, ret, ret_fault);
}

bool
users_find_without(const struct users *u, struct view name, struct user *ret,
	enum users_fault *ret_fault)
{
	struct users_options options = u->options;

	options.password_elsewhere = true;
	return find_with(u, name, options, ret, ret_fault);
}

static struct view
behind(struct view v, size_t n)
{
	return (struct view){v.p + n, v.n - n};
}

/* The local part alone, up to where the domain begins, cut at its detail. */
static size_t
without_detail(struct view local, uint8_t delimiter)
{
	/* A name that begins with the delimiter has no detail: nothing would be left. */
	const uint8_t *at = delimiter && local.n > 1
		? memchr(local.p + 1, delimiter, local.n - 1)
		: NULL;

	return at ? (size_t)(at - local.p) : local.n;
}

static bool
has_capitals(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (ascii_lower(v.p[i]) != v.p[i])
			return true;
	return false;
}

/* RFC 5321 s.2.4: letters of either case are one in a domain. */
static void
put_lower(struct view v, struct buf *out)
{
	for (size_t i = 0; i < v.n; i++)
		buf_put_u8(out, ascii_lower(v.p[i]));
}

static bool
is_postmaster(struct view local)
{
	const struct view name = VIEW("postmaster");

	if (local.n != name.n)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (ascii_lower(local.p[i]) != name.p[i])
			return false;
	return true;
}

bool
users_recipient(struct view name, uint8_t delimiter, unsigned variant, struct buf *out)
{
	/* A quoted local part may hold an @ itself: the last one counts. */
	const uint8_t *at = name.n > 0 ? memrchr(name.p, '@', name.n) : NULL;
	struct view local = {name.p, at ? (size_t)(at - name.p) : name.n};
	struct view domain = behind(name, local.n);
	struct view plain = {local.p, without_detail(local, delimiter)};
	bool detail = plain.n < local.n, capitals = has_capitals(domain);

	CHECK(variant < USERS_RECIPIENT_VARIANTS);
	switch (variant) {
	case 0: buf_put_view(out, name); break;
	case 1:
		buf_put_view(out, plain);
		buf_put_view(out, domain);
		break;
	case 2:
		buf_put_view(out, local);
		put_lower(domain, out);
		break;
	case 3:
		buf_put_view(out, plain);
		put_lower(domain, out);
		break;
	case 4: buf_put_view(out, local); break;
	case 5: buf_put_view(out, plain); break;
	case 6: buf_put_str(out, "postmaster"); break;
	}
	const bool there[USERS_RECIPIENT_VARIANTS] = {true, detail, capitals,
		capitals && detail, domain.n > 0, domain.n > 0 && detail,
		is_postmaster(plain)};
	return there[variant] && !out->full;
}

bool
users_find_recipient(const struct users *u, struct view name, uint8_t delimiter,
	struct user *ret, enum users_fault *ret_fault)
{
	for (unsigned i = 0; i < USERS_RECIPIENT_VARIANTS; i++) {
		uint8_t octets[MAILDROP_NAME_MAX];
		struct buf b = buf_over(octets, sizeof(octets));
		if (users_recipient(name, delimiter, i, &b) &&
			users_find(u, buf_view(&b), ret, ret_fault))
			return true;
	}
	return false;
}

const struct census *
users_census(const struct users *u)
{
	return &u->census;
}

const struct users_offer *
users_offer(const struct users *u)
{
	return &u->offer;
}

size_t
users_count(const struct users *u)
{
	return u->count;
}

const struct users_report *
users_reports(const struct users *u, size_t *ret_n, size_t *ret_all)
{
	*ret_all = u->reports_all;
	*ret_n = u->reports_all < USERS_REPORTS_MAX ? u->reports_all : USERS_REPORTS_MAX;
	return u->reports;
}
