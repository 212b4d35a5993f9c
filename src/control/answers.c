/* answers.c: what is answered to a request. */
#include "control/answers.h"

#include "ipc/channel.h"
#include "ipc/log.h"
#include "ipc/permit.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_OCTETS_FIRST ((size_t)64 * 1024)
#define ANSWER_OCTETS_MAX   ((size_t)16 * 1024 * 1024)

/* ---- answers -------------------------------------------------------------------- */

/* The text of one renderer behind a head, in memory that grows until it fits. -errno. */
int
answer_render(struct client *c, const char *head,
	void (*render)(const struct core *, struct buf *))
{
	for (size_t cap = ANSWER_OCTETS_FIRST; cap <= ANSWER_OCTETS_MAX; cap *= 2) {
		uint8_t *p = malloc(cap);
		struct buf b = buf_over(p, cap);

		if (!p)
			return -ENOMEM;
		buf_put_str(&b, head);
		if (render)
			render(c->desk->core, &b);
		if (!b.full) {
			free(c->out);
			c->out = p;
			c->out_n = b.n;
			return 0;
		}
		free(p);
	}
	return -EFBIG;
}

/* The head tells the body's length, so it is written when the body is there. */
int
answer_http(struct client *c, enum core_http outcome)
{
	uint8_t head[512];
	struct buf b = buf_over(head, sizeof(head));
	int r = outcome == CORE_HTTP_METRICS
		? answer_render(c, "", core_render_prometheus)
		: answer_render(c,
			  outcome == CORE_HTTP_BAD ? "bad request\n"
						   : "only /metrics is here\n",
			  NULL);

	if (r < 0)
		return r;
	core_render_http(outcome, c->out_n, &b);
	uint8_t *all = malloc(b.n + c->out_n);
	if (!all)
		return -ENOMEM;
	memcpy(all, head, b.n);
	memcpy(all + b.n, c->out, c->out_n);
	free(c->out);
	c->out = all;
	c->out_n += b.n;
	return 0;
}

static int
answer_told(struct client *c, enum control_command command, const char *name)
{
	uint8_t octets[16];
	struct buf b = buf_over(octets, sizeof(octets));

	msg_control_put(&(struct msg_control){.command = (uint8_t)command}, &b);
	int r = channel_send(FD_MONITOR, buf_view(&b), NULL, 0);

	struct log_record record;
	log_begin(&record, r < 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "control");
	log_str(&record, "command", name);
	if (r < 0)
		log_error(&record, "error", r);
	log_send(&record);
	stat_set(STAT_LOG_DROPPED, log_dropped());
	return answer_render(
		c, r < 0 ? "error: the monitor is busy: try again\n" : "ok\n", NULL);
}

/* ---- sessions --------------------------------------------------------------------- */

static int
answer_who(struct client *c, void (*render)(const struct who_list *, struct buf *))
{
	struct who_list l;
	int rc = tables_read(c->desk->tables, &l);

	if (rc < 0)
		return rc;
	/* A line takes less; what is quoted takes at most six octets for each. */
	size_t cap = 64 + l.n * (512 + 6 * WHO_USER_MAX);
	uint8_t *p = malloc(cap);
	struct buf b = buf_over(p, cap);
	if (p) {
		buf_put_str(&b, "ok\n");
		render(&l, &b);
	}
	free(l.at);
	if (!p || b.full) {
		free(p);
		return p ? -EFBIG : -ENOMEM;
	}
	free(c->out);
	c->out = p;
	c->out_n = b.n;
	return 0;
}

static bool
kick(const struct who_session *s)
{
	uint8_t octets[64];
	struct buf b = buf_over(octets, sizeof(octets));

	msg_kick_put(&(struct msg_kick){.front = s->front, .session = s->session}, &b);
	return channel_send(FD_MONITOR, buf_view(&b), NULL, 0) == 0;
}

static int
answer_kick(struct client *c, struct view words)
{
	struct who_filter f;
	struct who_list l;
	struct log_record record;
	uint64_t kicked = 0, busy = 0;
	char text[128];

	if (!who_filter_read(words, &f))
		return answer_render(c,
			"error: kick user NAME, session FRONT/SESSION, or network and "
			"34 hexadecimal digits\n",
			NULL);
	int rc = tables_read(c->desk->tables, &l);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < l.n; i++) {
		if (!who_matches(&f, &l.at[i]))
			continue;
		bool told = kick(&l.at[i]);
		kicked += told;
		busy += !told;
	}
	free(l.at);
	log_begin(&record, LOG_LEVEL_INFO, "kick");
	log_text(&record, "which", words);
	log_number(&record, "sessions", kicked);
	log_send(&record);
	stat_set(STAT_LOG_DROPPED, log_dropped());
	struct buf b = buf_over(text, sizeof(text) - 1);
	buf_put_str(&b,
		busy > 0 ? "error: the monitor is busy: kicked only " : "ok\nkicked ");
	buf_put_dec(&b, kicked);
	buf_put_str(&b, busy > 0 ? ", try again\n" : "\n");
	text[b.n] = '\0';
	return answer_render(c, text, NULL);
}

/* ---- questions that auth answers --------------------------------------------------- */

static bool
ask_auth(struct client *c, const struct core_why *w)
{
	uint8_t octets[2048];
	struct buf b = buf_over(octets, sizeof(octets));
	struct desk *d = c->desk;

	if (++d->questions == 0)
		d->questions = 1;
	struct msg_why_ask m = {.question = d->questions,
		.id = w->id,
		.name = w->name,
		.address = {w->address, sizeof(w->address)},
		.tls = w->tls,
		.mechanism = w->mechanism};
	msg_why_ask_put(&m, &b);
	if (b.full || *d->auth < 0 || channel_send(*d->auth, buf_view(&b), NULL, 0) < 0)
		return false;
	if (loop_timer_set(d->loop, &c->timer, loop_now_ms(d->loop) + CLIENT_WHY_MS) < 0)
		return false;
	c->question = m.question;
	return true;
}

/* Nothing is rendered while auth is being asked. */
static int
answer_why(struct client *c, struct view words)
{
	struct core_why w;

	if (!core_why_read(words, &w))
		return answer_render(c,
			"error: why id NUMBER, or why login ADDRESS yes|no MECHANISM "
			"NAME\n",
			NULL);
	return ask_auth(c, &w) ? 0 : answer_render(c, NO_AUTH, NULL);
}

/* ---- commands -----------------------------------------------------------------------
 */

int
answer_command(struct client *c, struct view line)
{
	struct view words = {NULL, 0};

	switch (core_command(line, &words)) {
	case CORE_COMMAND_WHO: return answer_who(c, who_render);
	case CORE_COMMAND_WHO_JSON: return answer_who(c, who_render_json);
	case CORE_COMMAND_KICK: return answer_kick(c, words);
	case CORE_COMMAND_WHY: return answer_why(c, words);
	case CORE_COMMAND_STAT: return answer_render(c, "ok\n", core_render_stat);
	case CORE_COMMAND_PROMETHEUS:
		return answer_render(c, "ok\n", core_render_prometheus);
	case CORE_COMMAND_JSON: return answer_render(c, "ok\n", core_render_json);
	case CORE_COMMAND_PROCESSES:
		return answer_render(c, "ok\n", core_render_processes);
	case CORE_COMMAND_RELOAD: return answer_told(c, CONTROL_RELOAD, "reload");
	case CORE_COMMAND_DRAIN: return answer_told(c, CONTROL_DRAIN, "drain");
	case CORE_COMMAND_UNKNOWN: break;
	}
	return answer_render(c,
		"error: unknown command: send stat, stat prometheus, stat json, "
		"processes, who, who json, kick, why, reload or drain\n",
		NULL);
}
