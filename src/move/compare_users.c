#include "move/compare_users.h"

#include "base/ascii.h"
#include "move/live.h"
#include "move/show.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Takes {PLAIN} off; false where it is a hash. */
static bool
take_scheme(struct view *password)
{
	static const char *const clear[] = {"{plain}", "{clear}", "{cleartext}"};

	for (size_t i = 0; i < sizeof(clear) / sizeof(clear[0]); i++) {
		struct view scheme = show_view(clear[i]);

		if (password->n < scheme.n ||
			!ascii_equal_nocase((struct view){password->p, scheme.n}, scheme))
			continue;
		password->p += scheme.n;
		password->n -= scheme.n;
		return true;
	}
	return password->n == 0 || (password->p[0] != '{' && password->p[0] != '$');
}

static struct view
field(struct view line, size_t at, bool columns)
{
	struct view v = {line.p + at, line.n - at};
	const uint8_t *colon = columns || v.n == 0 ? NULL : memchr(v.p, ':', v.n);

	while (columns && v.n > 0 && is_blank(v.p[0])) {
		v.p++;
		v.n--;
	}
	if (colon)
		v.n = (size_t)(colon - v.p);
	return v;
}

bool
compare_users_line(struct view line, bool need_password, struct view *ret_name,
	struct view *ret_password, const char **ret_why)
{
	struct view password = {NULL, 0};
	size_t n = 0;

	*ret_name = *ret_password = password;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (ascii_trim_end(line).n == 0 || line.p[0] == '#')
		return true;
	if (memchr(line.p, '\0', line.n)) {
		*ret_why = "the line holds NUL";
		return false;
	}
	while (n < line.n && line.p[n] != ':' && !is_blank(line.p[n]))
		n++;
	if (n == 0 || n > LIVE_NAME_MAX) {
		*ret_why = "a line is NAME:PASSWORD or NAME PASSWORD, the name of 1 to "
			   "255 octets";
		return false;
	}
	if (n < line.n)
		password = field(line, n + 1, line.p[n] != ':');
	if (need_password && !take_scheme(&password)) {
		*ret_why = "the password is a hash, which does not log in anywhere: give "
			   "the password itself, or use --master";
		return false;
	}
	if (need_password && (password.n == 0 || password.n > LIVE_PASSWORD_MAX)) {
		*ret_why = "there is no password, or it is longer than 512 octets";
		return false;
	}
	*ret_name = (struct view){line.p, n};
	if (need_password)
		*ret_password = password;
	return true;
}

/* Makes the view a string in its place: what is behind it was read already. */
static const char *
close_in_place(struct compare_users *u, struct view v)
{
	if (v.n == 0)
		return "";
	char *at = u->text + (v.p - (const uint8_t *)u->text);
	at[v.n] = '\0';
	return at;
}

static bool
add(struct compare_users *u, size_t *cap, struct view name, struct view password)
{
	if (u->n == *cap) {
		size_t more = *cap ? 2 * *cap : 256;
		void *list = reallocarray(u->list, more, sizeof(*u->list));
		if (!list)
			return false;
		u->list = list;
		*cap = more;
	}
	u->list[u->n++] = (struct compare_user){
		close_in_place(u, name), close_in_place(u, password)};
	return true;
}

static int
read_lines(const char *path, bool need_password, struct compare_users *u)
{
	struct view all = {(const uint8_t *)u->text, u->text_n}, name, password;
	const char *why = "";
	size_t cap = 0, number = 0, wrong = 0;

	while (all.n > 0) {
		const uint8_t *lf = memchr(all.p, '\n', all.n);
		struct view line = {all.p, lf ? (size_t)(lf - all.p) : all.n};

		number++;
		all.p += line.n + (lf ? 1 : 0);
		all.n -= line.n + (lf ? 1 : 0);
		if (!compare_users_line(line, need_password, &name, &password, &why)) {
			fprintf(stderr, "restante compare: %s:%zu: %s\n", path, number,
				why);
			wrong++;
			continue;
		}
		if (name.n == 0)
			continue;
		if (u->n == COMPARE_USERS_MAX) {
			fprintf(stderr, "restante compare: %s: more than %d users\n",
				path, COMPARE_USERS_MAX);
			return -E2BIG;
		}
		if (!add(u, &cap, name, password))
			return -ENOMEM;
	}
	return wrong > 0 ? -EINVAL : 0;
}

int
compare_users_read(const char *path, bool need_password, struct compare_users *ret)
{
	uint8_t *text = NULL;
	size_t n = 0;
	AUTO_FD file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r = file < 0 ? -errno : fd_read_file(file, COMPARE_USERS_FILE_MAX, &text, &n);

	*ret = (struct compare_users){0};
	if (r < 0) {
		fprintf(stderr, "restante compare: %s: %s\n", path, strerror(-r));
		return r;
	}
	ret->text = (char *)text;
	ret->text_n = n;
	r = read_lines(path, need_password, ret);
	if (r < 0)
		compare_users_free(ret);
	return r;
}

void
compare_users_free(struct compare_users *u)
{
	if (u->text)
		explicit_bzero(u->text, u->text_n);
	free(u->text);
	free(u->list);
	*u = (struct compare_users){0};
}
