/*
 * restante-auth-command: users behind a program with the checkpassword interface; and, as
 * `reply`, what that program becomes after a right password.
 */
#include "base/check.h"
#include "helper/command.h"
#include "helper/helper.h"
#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- settings ------------------------------------------------------------------------
 */

static bool
is_between(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

/* The words of a LIST, each with a NUL behind it. */
static const char *
take_arguments(struct command *c, const char *text)
{
	size_t words = 0;

	c->arguments = calloc(1, strlen(text) + 2);
	if (!c->arguments)
		return "there is no memory";
	while (*text != '\0') {
		if (is_between(*text)) {
			text++;
			continue;
		}
		if (++words > COMMAND_WORDS_MAX)
			return "command_arguments has more than 16 words";
		while (*text != '\0' && !is_between(*text))
			c->arguments[c->arguments_n++] = *text++;
		c->arguments[c->arguments_n++] = '\0';
	}
	return NULL;
}

static const char *
check_program(struct helper *h, const char *path)
{
	struct stat st;

	if (path[0] != '/')
		return "command_path must be the absolute path of a program";
	if (stat(path, &st) < 0)
		return helper_why(
			h, "command_path: %s: %s", path, strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return helper_why(h, "command_path: %s: this is no program", path);
	return NULL;
}

static const char *
prepare(struct helper *h)
{
	struct command *c = calloc(1, sizeof(*c));

	if (!c)
		return "there is no memory";
	helper_keep(h, c);
	c->path = helper_setting(h, "command_path");
	/* The answer has to reach auth in time. */
	c->timeout_ms = (uint64_t)helper_timeout_ms(h) * 9 / 10;
	c->answers_lookups = strcmp(helper_setting(h, "command_lookup"), "yes") == 0;
	c->self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (c->self < 0)
		return helper_why(h, "/proc/self/exe: %s", strerrordesc_np(errno));
	const char *why = check_program(h, c->path);
	return why ? why : take_arguments(c, helper_setting(h, "command_arguments"));
}

/* ---- questions -----------------------------------------------------------------------
 */

/* name NUL password NUL timestamp NUL; false where it does not fit. */
static bool
put_input(const struct helper_ask *a, struct buf *out)
{
	bool lookup = a->kind == ASK_LOOKUP;

	if (a->name.n == 0 || memchr(a->name.p, 0, a->name.n) ||
		(!lookup && (a->secret.n == 0 || memchr(a->secret.p, 0, a->secret.n))))
		return false;
	buf_put_view(out, a->name);
	buf_put_u8(out, 0);
	if (!lookup)
		buf_put_view(out, a->secret);
	buf_put_u8(out, 0);
	buf_put_dec(out, clock_unix_s());
	buf_put_u8(out, 0);
	return !out->full;
}

static const struct {
	enum ask_outcome outcome;
	const char *reason;
} outcomes[] = {
	[COMMAND_REPLIED] = {ANSWER_FOUND, NULL},
	[COMMAND_SILENT] = {ANSWER_TEMPORARY,
		"the program of command_path ended with 0 and did not become the program "
		"that "
		"it was given"},
	[COMMAND_REFUSED] = {ANSWER_WRONG, NULL},
	[COMMAND_UNKNOWN] = {ANSWER_NO_USER, NULL},
	[COMMAND_MISUSED] = {ANSWER_TEMPORARY,
		"the program of command_path says that it is misused (status 2): look at "
		"command_arguments"},
	[COMMAND_FAILED] = {ANSWER_TEMPORARY,
		"the program of command_path failed, or cannot be run by its user"},
	[COMMAND_SLOW] = {ANSWER_TEMPORARY,
		"the program of command_path took longer than auth_helper_timeout"},
};

static void
question(const struct command *c, const struct helper_ask *a, struct helper_answer *ret)
{
	uint8_t input_octets[COMMAND_INPUT_MAX], reply_octets[COMMAND_REPLY_MAX + 1];
	struct buf input = buf_over(input_octets, sizeof(input_octets));
	struct buf reply = buf_over(reply_octets, sizeof(reply_octets));
	bool lookup = a->kind == ASK_LOOKUP;

	if (!put_input(a, &input)) {
		ret->outcome = lookup ? ANSWER_NO_USER : ANSWER_WRONG;
		ret->reason =
			"name and password are empty, hold NUL or are longer than 512 "
			"octets in all";
		explicit_bzero(input_octets, sizeof(input_octets));
		return;
	}
	enum command_end end =
		command_run(c, buf_view(&input), a->address, lookup, &reply);
	explicit_bzero(input_octets, sizeof(input_octets));
	ret->outcome = outcomes[end].outcome;
	ret->reason = outcomes[end].reason;
	/* Of a password there was none to be wrong: the program does not know lookups. */
	if (lookup && end == COMMAND_REFUSED) {
		ret->outcome = ANSWER_TEMPORARY;
		ret->reason =
			"the program of command_path refused a lookup (status 1, not 3)";
	}
	if (end == COMMAND_REPLIED) {
		ret->reason = command_reply_read(
			buf_view(&reply), a->name, lookup, getuid(), &ret->line);
		ret->outcome = ret->reason ? ANSWER_TEMPORARY : ANSWER_FOUND;
		if (!lookup && !ret->reason)
			ret->valid_s = HELPER_CHECKED_S;
	}
}

static void
ask(struct helper *h, const struct helper_ask *a, struct helper_answer *ret)
{
	const struct command *c = helper_state(h);

	if (a->kind == ASK_VERIFY || (a->kind == ASK_LOOKUP && c->answers_lookups)) {
		question(c, a, ret);
		return;
	}
	ret->outcome = ANSWER_NO_USER;
	ret->reason = a->kind == ASK_LOOKUP
		? "the program is not asked without a password (command_lookup)"
		: "restante-auth-command answers for names and passwords alone";
}

int
main(int argc, char **argv)
{
	static const struct helper_ops ops = {.backend = BACKEND_COMMAND,
		.name = "command",
		.runs_programs = true,
		.prepare = prepare,
		.ask = ask};

	if (argc == 2 && strcmp(argv[1], "reply") == 0)
		return command_reply_write(COMMAND_FD_REPLY);
	return helper_main(&ops);
}
