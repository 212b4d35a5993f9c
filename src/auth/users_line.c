#include "auth/users_line.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"

#include <string.h>

/* The largest uid is not one: (uid_t)-1 means "leave it" to many calls. */
#define ID_MAX 4294967294U

enum field {
	NAME,
	PASSWORD,
	UID,
	GID,
	GECOS,
	HOME,
	SHELL,
	EXTRA,
	MAIL,
	READ_ONLY,
	FIELDS
};

/* Those up to EXTRA by their place, the others only as extra fields. */
struct fields {
	struct view of[FIELDS];
};

static const struct {
	const char *key;
	enum field field;
} extras[] = {
	{"userdb_mail", MAIL},
	{"userdb_read_only", READ_ONLY},
	{"userdb_uid", UID},
	{"userdb_gid", GID},
	{"userdb_home", HOME},
};

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

bool
users_line_is_empty(struct view line)
{
	return ascii_trim_end(line).n == 0 || line.p[0] == '#';
}

static enum users_fault
check_octets(struct view line)
{
	if (line.n > USERS_LINE_MAX)
		return USERS_LONG;
	for (size_t i = 0; i < line.n; i++) {
		uint8_t c = line.p[i];
		if (c == '\r' && i + 1 == line.n)
			return USERS_CRLF;
		if ((c < 0x20 && c != '\t') || c == 0x7F)
			return USERS_CONTROL;
	}
	return USERS_OK;
}

static void
split(struct view line, struct fields *ret)
{
	for (size_t i = 0; i <= EXTRA; i++) {
		const uint8_t *colon = i == EXTRA ? NULL : memchr(line.p, ':', line.n);
		size_t n = colon ? (size_t)(colon - line.p) : line.n;
		ret->of[i] = (struct view){line.p, n};
		line.p += colon ? n + 1 : n;
		line.n -= colon ? n + 1 : n;
	}
	ret->of[MAIL] = (struct view){line.p, 0};
	ret->of[READ_ONLY] = VIEW("no");
}

/* Only what looks like a key is shown: a colon in a password moves the fields about. */
static bool
is_key(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = ascii_lower(p[i]);
		if (!(c >= 'a' && c <= 'z') && c != '_' && c != '-')
			return false;
	}
	return true;
}

static enum users_fault
policy_fault(enum policy_read read)
{
	switch (read) {
	case POLICY_READ: return USERS_OK;
	case POLICY_UNKNOWN_KEY: return USERS_EXTRA_UNKNOWN;
	case POLICY_BAD_YES_NO: return USERS_YES_NO_BAD;
	case POLICY_BAD_NETWORKS: return USERS_NETS_BAD;
	case POLICY_BAD_MECHANISMS: return USERS_MECHANISMS_BAD;
	case POLICY_BAD_CERTIFICATE: return USERS_CERTIFICATE_BAD;
	case POLICY_BAD_EXPIRE: return USERS_EXPIRE_BAD;
	case POLICY_BAD_NUMBER: return USERS_NUMBER_BAD;
	}
	UNREACHABLE();
}

/* An empty uid or gid would take the place of the field's by the option's: another
 * owner. */
static enum users_fault
check_empty(enum field field, struct view value)
{
	if (value.n > 0)
		return USERS_OK;
	return field == UID ? USERS_UID_BAD : field == GID ? USERS_GID_BAD : USERS_OK;
}

/* A key=value that we know goes where it belongs; anything else is a fault. */
static enum users_fault
put_extra(
	struct view word, struct fields *f, struct user_policy *p, struct view *ret_about)
{
	const uint8_t *equal = memchr(word.p, '=', word.n);
	size_t n = equal ? (size_t)(equal - word.p) : word.n;
	struct view key = {word.p, n};
	struct view value = {equal ? equal + 1 : word.p + n, equal ? word.n - n - 1 : 0};

	*ret_about = (struct view){word.p, is_key(word.p, n) ? n : 0};
	for (size_t i = 0; equal && i < ARRAY_SIZE(extras); i++) {
		const char *text = extras[i].key;
		if (!view_equal(key, (struct view){(const uint8_t *)text, strlen(text)}))
			continue;
		f->of[extras[i].field] = value;
		return check_empty(extras[i].field, value);
	}
	enum policy_read read = policy_put(p, key, equal != NULL, value);
	if (read != POLICY_READ && read != POLICY_UNKNOWN_KEY)
		*ret_about = word;
	return policy_fault(read);
}

static enum users_fault
read_extras(struct fields *f, struct user_policy *ret, struct view *ret_about)
{
	struct view rest = f->of[EXTRA];

	for (;;) {
		while (rest.n > 0 && is_blank(rest.p[0])) {
			rest.p++;
			rest.n--;
		}
		if (rest.n == 0)
			return USERS_OK;
		struct view word = {rest.p, 0};
		while (word.n < rest.n && !is_blank(rest.p[word.n]))
			word.n++;
		enum users_fault fault = put_extra(word, f, ret, ret_about);
		if (fault != USERS_OK)
			return fault;
		rest.p += word.n;
		rest.n -= word.n;
	}
}

static enum users_fault
read_password(struct view field, const struct users_options *options, struct user *ret,
	struct view *ret_about)
{
	if (field.n == 0)
		return options->password_elsewhere ? USERS_OK : USERS_NO_PASSWORD;
	ret->has_stored = true;
	enum scheme_fault fault = options->is_sound
		? scheme_read_again(field, &ret->stored, ret_about)
		: scheme_read(field, &ret->stored, ret_about);
	switch (fault) {
	case SCHEME_OK: return USERS_OK;
	case SCHEME_EMPTY: return USERS_NO_PASSWORD;
	case SCHEME_LOCKED: return USERS_LOCKED;
	case SCHEME_UNKNOWN: return USERS_SCHEME_UNKNOWN;
	case SCHEME_BAD: return USERS_HASH_BAD;
	case SCHEME_COSTLY: return USERS_HASH_COSTLY;
	}
	UNREACHABLE();
}

static bool
read_id(struct view field, uint32_t standard, uint32_t *ret, bool *ret_missing)
{
	uint64_t n = standard;

	*ret_missing = field.n == 0 && standard == 0;
	if (*ret_missing || (field.n > 0 && !num_decimal(field, ID_MAX, &n)) || n == 0)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static enum users_fault
read_ids(const struct fields *f, const struct users_options *options, struct user *ret,
	struct view *ret_about)
{
	bool missing;

	/* The text is not shown: a colon in a password would bring its end here. */
	*ret_about = (struct view){f->of[UID].p, 0};
	if (!read_id(f->of[UID], options->uid, &ret->uid, &missing))
		return missing ? USERS_UID_MISSING : USERS_UID_BAD;
	if (!read_id(f->of[GID], options->gid, &ret->gid, &missing))
		return missing ? USERS_GID_MISSING : USERS_GID_BAD;
	return USERS_OK;
}

/* One that is misspelt, or has no value, must not give more rights than was meant. */
static enum users_fault
read_rights(const struct fields *f, struct user *ret, struct view *ret_about)
{
	struct view value = f->of[READ_ONLY];

	*ret_about = value;
	ret->read_only = view_equal(value, VIEW("yes"));
	if (ret->read_only || view_equal(value, VIEW("no")))
		return USERS_OK;
	return USERS_READ_ONLY_BAD;
}

static enum users_fault
read_maildrop(const struct fields *f, const struct users_options *options,
	struct user *ret, struct view *ret_about)
{
	struct view template = f->of[MAIL].n > 0 ? f->of[MAIL] : options->maildrop;
	struct maildrop_of of = {.name = ret->name, .home = f->of[HOME]};
	struct buf out = buf_over(ret->maildrop_octets, sizeof(ret->maildrop_octets));

	*ret_about = template;
	enum maildrop_fault fault = maildrop_expand(template, &of, &out, &ret->store);
	ret->maildrop_n = out.n;
	switch (fault) {
	case MAILDROP_OK: return USERS_OK;
	case MAILDROP_FORM: return USERS_MAIL_FORM;
	case MAILDROP_VARIABLE: return USERS_MAIL_VARIABLE;
	case MAILDROP_EMPTY: return USERS_MAIL_EMPTY;
	case MAILDROP_NAME: return USERS_MAIL_NAME;
	case MAILDROP_HOME: return USERS_MAIL_HOME;
	case MAILDROP_RELATIVE: return USERS_MAIL_RELATIVE;
	case MAILDROP_DOTS: return USERS_MAIL_DOTS;
	case MAILDROP_LONG: return USERS_MAIL_LONG;
	}
	UNREACHABLE();
}

/* What is left of the line behind the password; the first fault counts. */
static enum users_fault
read_owner(const struct fields *f, const struct users_options *options, struct user *ret,
	struct view *ret_about)
{
	struct view about[3] = {*ret_about, *ret_about, *ret_about};
	const enum users_fault faults[3] = {
		read_ids(f, options, ret, &about[0]),
		read_rights(f, ret, &about[1]),
		read_maildrop(f, options, ret, &about[2]),
	};

	ret->has_maildrop = faults[0] == USERS_OK && faults[2] == USERS_OK;
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		*ret_about = about[i];
		if (faults[i] != USERS_OK)
			return faults[i];
	}
	return USERS_OK;
}

/* What the fields say, once the line as such is right. */
static enum users_fault
read_fields(struct fields *f, const struct users_options *options, struct user *ret,
	struct view *ret_about)
{
	enum users_fault fault = read_extras(f, &ret->policy, ret_about);

	if (fault != USERS_OK)
		return fault;
	/* One whose password is locked or broken still gets mail; one whose rights are
	 * misspelt too. */
	struct view about = *ret_about;
	fault = read_password(f->of[PASSWORD], options, ret, &about);
	enum users_fault owner = read_owner(f, options, ret, ret_about);
	if (fault != USERS_OK)
		*ret_about = about;
	return fault != USERS_OK ? fault : owner;
}

enum users_fault
users_line_read(struct view line, const struct users_options *options, struct user *ret,
	struct view *ret_about)
{
	struct fields f;

	*ret_about = (struct view){line.p, 0};
	ret->has_maildrop = false;
	ret->has_stored = false;
	ret->policy = (struct user_policy){0};
	split(line, &f);
	ret->name = f.of[NAME];
	if (options->is_sound)
		return read_fields(&f, options, ret, ret_about);
	if (ret->name.n > MAILDROP_NAME_MAX || check_octets(ret->name) != USERS_OK)
		ret->name.n = 0;
	enum users_fault fault = check_octets(line);
	if (fault != USERS_OK)
		return fault;
	if (f.of[NAME].n == 0)
		return USERS_NO_NAME;
	if (f.of[NAME].n > MAILDROP_NAME_MAX)
		return USERS_NAME_LONG;
	return read_fields(&f, options, ret, ret_about);
}

const char *
users_fault_text(enum users_fault fault)
{
	static const char *const texts[] = {"no fault",
#define FAULT(NAME, text) text,
		USERS_FAULTS(FAULT)
#undef FAULT
	};
	CHECK((size_t)fault < ARRAY_SIZE(texts));
	return texts[fault];
}
