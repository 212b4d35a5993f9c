/*
 * cases_load.c: floods, clients that do not read, resets, many connections. What is asked
 * of a server is that it bears them and serves the next client.
 */
#include "os/clock.h"
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool flood_noop(struct trial *t);
static bool flood_capa(struct trial *t);
static bool flood_list(struct trial *t);
static bool flood_retr(struct trial *t);
static bool flood_deaf(struct trial *t);
static bool reset_in_retr(struct trial *t);
static bool reset_in_login(struct trial *t);
static bool resets(struct trial *t);
static bool opens(struct trial *t);
static bool silent_ones(struct trial *t);
static bool slow_octets(struct trial *t);
static bool half_logins(struct trial *t);
static bool window_of_one(struct trial *t);

const struct torture_case cases_load[] = {
	ROW("flood-noop", "robustness", ROBUST, AT_LOGIN, NEED_PIPELINING,
		"20,000 NOOP sent before an answer is read: each is answered",
		.run = flood_noop),
	ROW("flood-capa", "robustness", ROBUST, AT_GREETING, NEED_CAPA,
		"3000 CAPA sent before an answer is read: each whole, or it is enough",
		.run = flood_capa),
	ROW("flood-list", "robustness", ROBUST, AT_LOGIN, NEED_PIPELINING,
		"3000 LIST sent before an answer is read: each whole", .run = flood_list),
	ROW("flood-retr", "robustness", ROBUST, AT_LOGIN, NEED_MAIL,
		"RETR without reading, then a reset: the next login is served",
		.run = flood_retr),
	ROW("flood-deaf", "robustness", ROBUST, AT_LOGIN, NEED_MAIL,
		"a client that never reads: others are served meanwhile",
		.run = flood_deaf),
	ROW("reset-in-retr", "robustness", ROBUST, AT_LOGIN, NEED_MAIL,
		"a reset amid RETR: the next login is served", .run = reset_in_retr),
	ROW("reset-in-login", "robustness", ROBUST, AT_USER, NEED_LOGIN,
		"a reset right behind PASS: the next login is served",
		.run = reset_in_login),
	ROW("resets", "robustness", ROBUST, AT_NOTHING, 0,
		"50 connections that are reset at once: others are served",
		.run = resets),
	ROW("connections", "robustness", ROBUST, AT_NOTHING, 0,
		"30 connections in turn are served", .run = opens),
	ROW("connections-silent", "robustness", ROBUST, AT_NOTHING, 0,
		"8 silent connections: others are served meanwhile", .run = silent_ones),
	ROW("connections-slow", "robustness", ROBUST, AT_GREETING, 0,
		"a command in 200 packets is one command", .run = slow_octets),
	ROW("logins-half", "robustness", ROBUST, AT_NOTHING, NEED_USER | NEED_LOGIN,
		"5 clients that stop behind USER: a login is served meanwhile",
		.run = half_logins),
	ROW("window-small", "robustness", ROBUST, AT_LOGIN, NEED_MAIL,
		"a message read in small pieces is whole", .run = window_of_one),
	NO_MORE_ROWS,
};

#define DEAF_MS	   300
#define OTHERS_MAX 8

static bool
served(struct trial *t, enum start to)
{
	struct link other = {.fd = -1};
	bool good = trial_open(t, &other, to) && trial_quit(t, &other);

	link_close(&other);
	return good;
}

/* Sends the command so often without reading, as long as the server takes it; how often
 * a whole one went. False: nothing of the kind, the connection ended. */
static uint32_t
send_deaf(struct trial *t, const char *command, uint32_t times)
{
	size_t n = strlen(command), batch = 512;
	uint64_t sent_to = 0;
	char *text = malloc(n * batch);

	for (size_t i = 0; text && i < batch; i++)
		memcpy(text + i * n, command, n);
	t->link.deaf = true;
	for (uint32_t i = 0; text && i < times; i += (uint32_t)batch) {
		size_t now = times - i < batch ? times - i : batch;

		t->link.deadline_ms = clock_ms() + DEAF_MS;
		struct view v = {(uint8_t *)text, n * now};
		if (link_send(&t->link, v) != LINK_OPEN)
			break;
		sent_to = i + now;
	}
	free(text);
	t->link.deaf = false;
	t->link.deadline_ms = t->until_ms;
	return (uint32_t)sent_to;
}

/* All of them, sent while answers are read only when the server takes no more. */
static bool
flood(struct trial *t, const char *command, uint32_t times, char pattern, bool may_end)
{
	char one[2] = {pattern, '\0'};
	struct answer a;
	struct body b;
	size_t n = strlen(command);

	for (uint32_t i = 0; i < times; i += 100) {
		char text[100 * 16 + 1] = "";
		size_t put = 0;

		for (uint32_t k = 0; k < 100 && i + k < times; k++, put += n)
			memcpy(text + put, command, n);
		t->link.deadline_ms = t->until_ms;
		if (!trial_say(t, &t->link, text, put))
			return false;
	}
	for (uint32_t i = 0; i < times; i++) {
		if (!trial_answer(t, &t->link, may_end, &a))
			return false;
		if (a.sign == SIGN_END)
			return true;
		if (may_end && a.sign == SIGN_ERR)
			continue;
		if (a.sign != SIGN_OK)
			return trial_fail(
				t, "answer %u is %s, not %s", i + 1, a.text, one);
		if (pattern == '.' && !trial_body(t, &t->link, 0, &b))
			return false;
	}
	return trial_quit(t, &t->link);
}

static bool
flood_noop(struct trial *t)
{
	return flood(t, "NOOP\r\n", 20000, '+', false);
}

static bool
flood_capa(struct trial *t)
{
	return flood(t, "CAPA\r\n", 3000, '.', true);
}

static bool
flood_list(struct trial *t)
{
	uint32_t times = 3000;

	if (t->all->count > 1000)
		times = 3000000 / t->all->count;
	return flood(t, "LIST\r\n", times ? times : 1, '.', false);
}

static bool
flood_retr(struct trial *t)
{
	(void)send_deaf(t, "RETR 1\r\n", 20000);
	link_reset(&t->link);
	return served(t, AT_LOGIN);
}

static bool
flood_deaf(struct trial *t)
{
	(void)send_deaf(t, "RETR 1\r\n", 20000);
	return served(t, AT_GREETING);
}

static bool
reset_in_retr(struct trial *t)
{
	if (!trial_say(t, &t->link, "RETR $N\r\nRETR 1\r\n", 17) ||
		link_fill(&t->link) != LINK_OPEN)
		return trial_fail(t, "nothing came of RETR");
	link_reset(&t->link);
	return served(t, AT_LOGIN);
}

static bool
reset_in_login(struct trial *t)
{
	if (!trial_say(t, &t->link, "PASS $P\r\n", 9))
		return false;
	link_reset(&t->link);
	return served(t, AT_LOGIN);
}

static bool
resets(struct trial *t)
{
	for (int i = 0; i < 50; i++) {
		if (!trial_connect(t, &t->link))
			return false;
		link_reset(&t->link);
	}
	return served(t, AT_GREETING);
}

static bool
opens(struct trial *t)
{
	for (int i = 0; i < 30; i++)
		if (!served(t, AT_GREETING))
			return false;
	return true;
}

static void
close_all(struct link *l, int n)
{
	for (int i = 0; i < n; i++)
		link_close(&l[i]);
}

static bool
silent_ones(struct trial *t)
{
	struct link others[OTHERS_MAX];
	int n = 0;
	bool good = true;

	while (good && n < OTHERS_MAX)
		good = trial_connect(t, &others[n++]);
	good = good && served(t, AT_GREETING);
	close_all(others, n);
	return good;
}

static bool
slow_octets(struct trial *t)
{
	char text[208];

	memset(text, 'X', sizeof(text));
	memcpy(text + 200, "\r\n", 3);
	t->link.piece = 1;
	bool good = trial_expect(t, &t->link, text, "-");
	t->link.piece = 0;
	return good && trial_quit(t, &t->link);
}

static bool
half_logins(struct trial *t)
{
	struct link others[5];
	int n = 0;
	bool good = true;

	while (good && n < 5)
		good = trial_open(t, &others[n++], AT_USER);
	good = good && served(t, AT_LOGIN);
	close_all(others, n);
	return good;
}

static bool
window_of_one(struct trial *t)
{
	int small = 2048;
	struct body b;

	if (t->all->mails[0].size > t->all->options.octets_max / 8)
		return trial_skip(t, "message 1 is larger than an eighth of --octets");
	(void)setsockopt(t->link.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (!trial_lines(t, &t->link, "RETR 1\r\n", 0, &b))
		return false;
	if (b.octets != t->all->mails[0].size)
		return trial_fail(t, "%llu octets came", (unsigned long long)b.octets);
	return trial_quit(t, &t->link);
}
