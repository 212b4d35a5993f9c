#include "fetch/status.h"
#include "base/check.h"
#include "fetch/fetch_json.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define NAME_WIDTH 24
#define UID_WIDTH  40

/* "3m", the largest unit that fits; at most 99999d. */
static void
put_span(struct buf *b, uint64_t seconds)
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(units) && seconds < units[i].seconds)
		i++;
	buf_put_dec(b, seconds / units[i].seconds);
	buf_put_str(b, units[i].name);
}

/* "3m ago", "in 2m", "-" for never. */
static const char *
when(uint64_t at_s, uint64_t now_s, char text[32])
{
	struct buf b = buf_over(text, 31);

	if (at_s == 0) {
		buf_put_str(&b, "-");
	} else if (at_s > now_s) {
		buf_put_str(&b, "in ");
		put_span(&b, at_s - now_s);
	} else {
		put_span(&b, now_s - at_s);
		buf_put_str(&b, " ago");
	}
	text[b.n] = '\0';
	return text;
}

/* Names and errors are shown as ASCII, so that columns stay columns. */
static const char *
shown(struct view v, size_t max, char *text, size_t cap)
{
	struct buf b = buf_over(text, cap - 1);

	text_printable(&b, v, max, false);
	text[b.n] = '\0';
	return text;
}

static uint64_t
fresh(const struct account_figures *f)
{
	return f->by_stage[KNOWN_SEEN] + f->by_stage[KNOWN_INTENDED];
}

static void
put_time(struct buf *b, const char *name, uint64_t at_s)
{
	if (at_s > 0)
		json_field_time(b, name, at_s);
}

static void
json_row(FILE *to, const char *name, const struct account_figures *f)
{
	char text[16 * 1024];
	struct buf b = buf_over(text, sizeof(text) - 1);

	buf_put_u8(&b, '{');
	json_field_text(&b, "account", text_view(name), 512);
	if (f) {
		put_time(&b, "last_success", f->r.last_success_s);
		put_time(&b, "last_try", f->r.last_try_s);
		put_time(&b, "next_poll", f->r.next_poll_s);
		if (f->r.count != UINT32_MAX)
			json_field_number(&b, "on_server", f->r.count);
		json_field_number(&b, "new", fresh(f));
		json_field_number(&b, "kept", f->on_server);
		json_field_number(&b, "due", f->due);
		json_field_number(&b, "quarantined", f->by_stage[KNOWN_QUARANTINED]);
		json_field_number(&b, "skipped", f->by_stage[KNOWN_SKIPPED]);
		json_field_number(&b, "collected", f->r.collected);
		json_field_number(&b, "collected_octets", f->r.collected_octets);
		put_time(&b, "oldest_undelivered", f->oldest_undelivered_s);
		json_field_number(&b, "failures", f->r.failures);
		if (f->r.last_error[0])
			json_field_text(&b, "last_error", text_view(f->r.last_error),
				LETTER_WHY_MAX);
	}
	buf_put_str(&b, "}\n");
	(void)fwrite(b.p, 1, b.n, to);
}

void
status_head(FILE *to, const struct fetch_command *c)
{
	if (!c->settings.json)
		(void)fprintf(to, "%-*s %10s %8s %7s %7s %7s %7s %9s %10s\n", NAME_WIDTH,
			"ACCOUNT", "SUCCESS", "NEXT", "NEW", "KEPT", "DUE", "ASIDE",
			"COLLECTED", "OLDEST NEW");
}

void
status_row(FILE *to, const struct fetch_command *c, const char *name,
	const struct account_figures *f, uint64_t now_s)
{
	char account[512], success[32], next[32], oldest[32], error[LETTER_WHY_MAX + 8];

	if (c->settings.json) {
		json_row(to, name, f);
		return;
	}
	(void)shown(text_view(name), 256, account, sizeof(account));
	if (!f) {
		(void)fprintf(to, "%-*s %10s\n", NAME_WIDTH, account, "never");
		return;
	}
	(void)fprintf(to, "%-*s %10s %8s %7llu %7llu %7llu %7llu %9llu %10s\n",
		NAME_WIDTH, account, when(f->r.last_success_s, now_s, success),
		when(f->r.next_poll_s, now_s, next), (unsigned long long)fresh(f),
		(unsigned long long)f->on_server, (unsigned long long)f->due,
		(unsigned long long)f->by_stage[KNOWN_QUARANTINED],
		(unsigned long long)f->r.collected,
		when(f->oldest_undelivered_s, now_s, oldest));
	if (f->r.last_error[0])
		(void)fprintf(to, "    %u failure%s, the last %s: %s\n", f->r.failures,
			f->r.failures == 1 ? "" : "s",
			when(f->r.last_try_s, now_s, success),
			shown(text_view(f->r.last_error), LETTER_WHY_MAX, error,
				sizeof(error)));
}

static bool
is_asked(const struct fetch_command *c, const char *name)
{
	for (size_t i = 0; i < c->settings.accounts_n; i++)
		if (strcmp(c->settings.accounts[i].name, name) == 0)
			return true;
	return !c->named;
}

static void
show_all(const struct fetch_command *c, const struct account_figures *figures, size_t n)
{
	uint64_t now = clock_unix_s();

	status_head(stdout, c);
	for (size_t i = 0; i < n; i++)
		if (is_asked(c, figures[i].name))
			status_row(stdout, c, figures[i].name, &figures[i], now);
	for (size_t i = 0; i < c->settings.accounts_n; i++) {
		const char *name = c->settings.accounts[i].name;
		bool found = false;
		for (size_t k = 0; k < n && !found; k++)
			found = strcmp(figures[k].name, name) == 0;
		if (!found)
			status_row(stdout, c, name, NULL, now);
	}
	(void)fflush(stdout);
}

int
status_show(const struct fetch_command *c)
{
	AUTO_FREE struct account_figures *figures = NULL;
	struct state *s = NULL;
	char why[512] = "";
	size_t n = 0;
	int rc = state_open(c->settings.state, false, &s, why, sizeof(why));

	if (rc == 0) {
		rc = state_figures(s, &figures, &n, clock_unix_s());
		if (rc < 0)
			(void)snprintf(why, sizeof(why), "%s", state_why(s));
		state_close(&s);
	} else if (rc == -ENOENT) {
		rc = 0;
	}
	if (rc < 0) {
		(void)fprintf(
			stderr, "restante fetch: %s\n", why[0] ? why : strerror(-rc));
		if (state_exit_status(rc) == EX_TEMPFAIL)
			return EX_TEMPFAIL;
		return rc == -EACCES || rc == -EPERM ? EX_NOPERM : EX_IOERR;
	}
	show_all(c, figures, n);
	return 0;
}

static const char *
plan_word(const struct mail *m)
{
	switch ((enum mail_plan)m->plan) {
	case MAIL_UNDECIDED: return "undecided";
	case MAIL_LEAVE: return "leave";
	case MAIL_FETCH: return m->delete_too ? "fetch, delete" : "fetch";
	case MAIL_DELETE: return "delete";
	case MAIL_CHECK: return "check";
	case MAIL_IDENTIFY: return "identify";
	case MAIL_FILTER: return "ask the filter";
	case MAIL_ADOPT: return "adopt";
	}
	return "undecided";
}

static void
list_json(FILE *to, const char *account, const struct mails *m, const struct mail *mail)
{
	char text[16 * 1024];
	struct buf b = buf_over(text, sizeof(text) - 1);

	buf_put_u8(&b, '{');
	json_field_text(&b, "account", text_view(account), 512);
	json_field_number(&b, "message", mail->number);
	if (mail->size != MAIL_NO_SIZE)
		json_field_number(&b, "octets", mail->size);
	if (mail->uid_n > 0)
		json_field_text(&b, "uid", mail_uid(m, mail), LETTER_UID_MAX);
	json_field_text(&b, "plan", text_view(plan_word(mail)), 64);
	if (mail->reason)
		json_field_text(&b, "why", text_view(mail->reason), 200);
	buf_put_str(&b, "}\n");
	(void)fwrite(b.p, 1, b.n, to);
}

static void
list_words(FILE *to, const struct mails *m, const struct mail *mail)
{
	char uid[UID_WIDTH + 8], size[32] = "?";
	struct buf b = buf_over(size, sizeof(size) - 1);

	if (mail->size != MAIL_NO_SIZE) {
		buf_put_dec(&b, mail->size);
		size[b.n] = '\0';
	}
	(void)fprintf(to, "%8u %12s  %-*s  %s%s%s\n", mail->number, size, UID_WIDTH,
		shown(mail_uid(m, mail), UID_WIDTH - 3, uid, sizeof(uid)),
		plan_word(mail), mail->reason ? ": " : "",
		mail->reason ? mail->reason : "");
}

void
status_list(FILE *to, bool json, const char *account, const struct mails *m)
{
	char name[512];

	if (!json)
		(void)fprintf(to, "%s: %u mail%s\n",
			shown(text_view(account), 256, name, sizeof(name)), m->count,
			m->count == 1 ? "" : "s");
	for (uint32_t i = 0; i < m->n; i++) {
		if (m->at[i].number == 0)
			continue;
		if (json)
			list_json(to, account, m, &m->at[i]);
		else
			list_words(to, m, &m->at[i]);
	}
	(void)fflush(to);
}
