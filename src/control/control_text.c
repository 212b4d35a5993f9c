/* What is answered, as text. Pure. */
#include "control/core.h"

static void
put_line(struct buf *out, const char *name, uint64_t value)
{
	buf_put_str(out, name);
	buf_put_str(out, " ");
	buf_put_dec(out, value);
	buf_put_str(out, "\n");
}

void
core_render_stat(const struct core *c, struct buf *out)
{
	for (size_t i = 0; i < STAT_COUNT; i++)
		put_line(out, stat_rows[i].name, core_total(c, (enum stat_id)i));
}

/* The last index stands for itself and all above. */
static void
put_index(struct buf *out, uint32_t index)
{
	buf_put_dec(out, index);
	if (index == CORE_INDEXES_MAX - 1)
		buf_put_str(out, "+");
}

static void
put_series(const struct core_slot *slot, enum stat_id id, struct buf *out)
{
	buf_put_str(out, "restante_");
	buf_put_str(out, stat_rows[id].name);
	buf_put_str(out, "{program=\"");
	buf_put_str(out, slot->program);
	buf_put_str(out, "\",index=\"");
	put_index(out, slot->index);
	buf_put_str(out, "\"} ");
	buf_put_dec(out, core_slot_value(slot, id));
	buf_put_str(out, "\n");
}

/* No sums beside the series: a query that adds them up would count everything twice. */
void
core_render_prometheus(const struct core *c, struct buf *out)
{
	for (size_t i = 0; i < STAT_COUNT; i++) {
		const struct stat_row *row = &stat_rows[i];

		buf_put_str(out, "# HELP restante_");
		buf_put_str(out, row->name);
		buf_put_str(out, " ");
		buf_put_str(out, row->help);
		buf_put_str(out, "\n# TYPE restante_");
		buf_put_str(out, row->name);
		buf_put_str(out, row->kind == STAT_COUNTER ? " counter\n" : " gauge\n");
		for (size_t s = 0; s < c->slots_n; s++)
			put_series(&c->slots[s], (enum stat_id)i, out);
	}
}

static void
put_json_figure(struct buf *out, bool first, const char *name, uint64_t value)
{
	buf_put_str(out, first ? "\"" : ",\"");
	buf_put_str(out, name);
	buf_put_str(out, "\":");
	buf_put_dec(out, value);
}

static void
put_json_slot(const struct core_slot *slot, struct buf *out)
{
	buf_put_str(out, "{\"program\":\"");
	buf_put_str(out, slot->program);
	buf_put_str(out, "\",\"index\":\"");
	put_index(out, slot->index);
	buf_put_str(out, "\",\"counters\":{");
	for (size_t i = 0; i < STAT_COUNT; i++)
		put_json_figure(out, i == 0, stat_rows[i].name,
			core_slot_value(slot, (enum stat_id)i));
	buf_put_str(out, "}}");
}

void
core_render_json(const struct core *c, struct buf *out)
{
	buf_put_str(out, "{\"total\":{");
	for (size_t i = 0; i < STAT_COUNT; i++)
		put_json_figure(
			out, i == 0, stat_rows[i].name, core_total(c, (enum stat_id)i));
	buf_put_str(out, "},\"programs\":[");
	for (size_t s = 0; s < c->slots_n; s++) {
		if (s > 0)
			buf_put_str(out, ",");
		put_json_slot(&c->slots[s], out);
	}
	buf_put_str(out, "]}\n");
}

void
core_render_processes(const struct core *c, struct buf *out)
{
	for (const struct core_source *s = c->sources; s; s = s->next) {
		buf_put_dec(out, s->pid);
		buf_put_str(out, " ");
		buf_put_str(out, s->slot->program);
		buf_put_str(out, " ");
		buf_put_dec(out, s->index);
		buf_put_str(out, "\n");
	}
}

static const char *
http_status(enum core_http outcome)
{
	switch (outcome) {
	case CORE_HTTP_METRICS: return "200 OK";
	case CORE_HTTP_NOT_FOUND: return "404 Not Found";
	case CORE_HTTP_MORE:
	case CORE_HTTP_BAD: break;
	}
	return "400 Bad Request";
}

void
core_render_http(enum core_http outcome, uint64_t body_octets, struct buf *out)
{
	buf_put_str(out, "HTTP/1.0 ");
	buf_put_str(out, http_status(outcome));
	buf_put_str(out,
		"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		"Connection: close\r\nContent-Length: ");
	buf_put_dec(out, body_octets);
	buf_put_str(out, "\r\n\r\n");
}
