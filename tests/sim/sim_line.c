/* The outer end of a connection. */
#include "sim_actor.h"

#include <string.h>

static void
read_some(void *arg)
{
	struct line_end *e = arg;
	uint8_t octets[4096];
	size_t n = e->at_once < sizeof(octets) ? e->at_once : sizeof(octets);

	e->reads_later = false;
	if (!e->is_open)
		return;
	if (e->from->reset) {
		line_close(e);
		e->ended(e->owner);
		return;
	}
	n = k_pipe_take(e->from, octets, n, false);
	if (e->n + n > e->cap) {
		e->cap = 2 * (e->n + n) + 256;
		uint8_t *grown = k_new(e->cap);
		if (e->n > 0)
			memcpy(grown, e->in, e->n);
		e->in = grown;
	}
	if (n > 0)
		memcpy(e->in + e->n, octets, n);
	e->n += n;
	if (n > 0)
		e->told(e->owner);
	if (!e->is_open)
		return;
	if (e->from->arrived > 0) {
		e->reads_later = true;
		k_after(1000 + k_below(k_world.delay_ns + 1), read_some, e);
	} else if (e->from->fin_came && e->from->n == 0) {
		line_close(e);
		e->ended(e->owner);
	}
}

static void
got(void *arg)
{
	struct line_end *e = arg;

	if (e->reads_later || !e->is_open)
		return;
	e->reads_later = true;
	k_after(k_below(20000), read_some, e);
}

bool
line_open(struct line_end *e, uint16_t port)
{
	e->to = k_pipe();
	e->from = k_pipe();
	e->from->got = got;
	e->from->actor = e;
	e->n = 0;
	e->at_once = k_chance(200) ? 64 + k_below(900) : 4096;
	e->is_open = k_connect(port, e->to, e->from);
	return e->is_open;
}

void
line_say(struct line_end *e, const void *octets, size_t n)
{
	if (e->is_open && !e->to->reset)
		k_pipe_send(e->to, octets, n);
}

static void
shut(struct line_end *e)
{
	e->is_open = false;
	e->from->got = NULL;
}

void
line_close(struct line_end *e)
{
	if (!e->is_open)
		return;
	shut(e);
	k_pipe_fin(e->to);
}

void
line_reset(struct line_end *e)
{
	if (!e->is_open)
		return;
	shut(e);
	k_pipe_reset(e->to);
}

void
line_cut(struct line_end *e)
{
	if (!e->is_open)
		return;
	shut(e);
	k_pipe_cut(e->to, e->from);
}

size_t
line_first(const struct line_end *e, size_t from)
{
	for (size_t i = from; i + 1 < e->n; i++)
		if (e->in[i] == '\r' && e->in[i + 1] == '\n')
			return i + 2 - from;
	return 0;
}

void
line_drop(struct line_end *e, size_t n)
{
	e->n -= n;
	memmove(e->in, e->in + n, e->n);
}
