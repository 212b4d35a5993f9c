#include "auth/users.h"
#include "auth/mac.h"
#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Users with one scheme at one cost; the sample is a hash of one of them. */
struct class
{
	struct stored sample;
	uint64_t users;
};

struct slot {
	uint32_t at; /* of the line in octets, plus 1; 0: free */
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
	struct class *classes;
	size_t classes_n;
	uint64_t class_users;
	size_t last_class; /* neighbours in the file tend to be alike */
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
		if (s->tag == *ret_tag && view_equal(name_at(u, s->at - 1), name))
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

static void
count_class(struct users *u, const struct stored *s)
{
	size_t n = u->classes_n;

	for (size_t i = 0; i < n; i++) {
		size_t c = (u->last_class + i) % n;
		if (!scheme_same_cost(&u->classes[c].sample, s))
			continue;
		u->classes[c].users++;
		u->class_users++;
		u->last_class = c;
		return;
	}
	if (n == USERS_CLASSES_MAX)
		return;
	u->classes[n] = (struct class){*s, 1};
	u->class_users++;
	u->last_class = n;
	u->classes_n++;
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
	*slot = (struct slot){(uint32_t)at + 1, tag};
	u->count++;
	if (fault == USERS_OK)
		count_class(u, &scratch->stored);
	else if (fault != USERS_LOCKED)
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
	u->classes = calloc(USERS_CLASSES_MAX, sizeof(*u->classes));
	u->reports = calloc(USERS_REPORTS_MAX, sizeof(*u->reports));
	u->mask = slots - 1;
	return u->slots && u->classes && u->reports;
}

/* With no user that can log in, unknown names cost what restante passwd makes. */
static void
add_default_class(struct users *u)
{
	static const char text[] = "$y$j9T$b6RzLn4YD3Hqv8JLpWb2R/"
				   "$wHLqjUGLd2MMlTuB2HqUKaBV/AWwDg3k.7tZ4MDVmJ7";
	struct view name;

	if (u->classes_n > 0)
		return;
	enum scheme_fault fault =
		scheme_read((struct view){(const uint8_t *)text, sizeof(text) - 1},
			&u->classes[0].sample, &name);
	CHECK(fault == SCHEME_OK);
	u->classes[0].users = 1;
	u->class_users = 1;
	u->classes_n = 1;
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
		add_default_class(u);
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
	if (u->classes)
		explicit_bzero(u->classes, USERS_CLASSES_MAX * sizeof(*u->classes));
	free(u->classes);
	free(u->reports);
	explicit_bzero(u, sizeof(*u));
	free(u);
}

bool
users_find(const struct users *u, struct view name, struct user *ret,
	enum users_fault *ret_fault)
{
	struct view about;
	uint32_t tag;

	if (name.n == 0 || name.n > MAILDROP_NAME_MAX)
		return false;
	const struct slot *slot = find_slot(u, name, &tag);
	if (slot->at == 0)
		return false;
	*ret_fault = users_line_read(line_at(u, slot->at - 1), &u->options, ret, &about);
	return true;
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
find_joined(const struct users *u, struct view local, struct view domain,
	struct user *ret, enum users_fault *ret_fault)
{
	uint8_t octets[MAILDROP_NAME_MAX];
	struct buf b = buf_over(octets, sizeof(octets));

	buf_put_view(&b, local);
	buf_put_view(&b, domain);
	return !b.full && users_find(u, buf_view(&b), ret, ret_fault);
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
users_find_recipient(const struct users *u, struct view name, uint8_t delimiter,
	struct user *ret, enum users_fault *ret_fault)
{
	/* A quoted local part may hold an @ itself: the last one counts. */
	const uint8_t *at = name.n > 0 ? memrchr(name.p, '@', name.n) : NULL;
	struct view local = {name.p, at ? (size_t)(at - name.p) : name.n};
	struct view domain = behind(name, local.n);
	struct view plain = {local.p, without_detail(local, delimiter)};

	if (users_find(u, name, ret, ret_fault))
		return true;
	if (plain.n < local.n && find_joined(u, plain, domain, ret, ret_fault))
		return true;
	if (domain.n > 0 && users_find(u, local, ret, ret_fault))
		return true;
	if (domain.n > 0 && plain.n < local.n && users_find(u, plain, ret, ret_fault))
		return true;
	return is_postmaster(plain) && users_find(u, VIEW("postmaster"), ret, ret_fault);
}

const struct stored *
users_dummy(const struct users *u, struct view name)
{
	uint64_t pick = mac_number(u->key, name) % u->class_users;
	size_t i = 0;

	while (pick >= u->classes[i].users) {
		pick -= u->classes[i].users;
		i++;
		CHECK(i < u->classes_n);
	}
	return &u->classes[i].sample;
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
