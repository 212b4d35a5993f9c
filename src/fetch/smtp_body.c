/*
 * The octets of a message, straight from the spool file, and the answer to them.
 */
#include "fetch/smtp_run.h"

#include "base/check.h"
#include "fetch/spool.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * In a file of LF lines a CR before LF is an octet of its line, which for the kernels is
 * a line end: they are told otherwise there.
 */
static size_t
encode(bool lf_lines, struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out)
{
	const struct dot_kernel *dot = dot_best();
	size_t put = 0;

	while (lf_lines && n > 0) {
		const uint8_t *end = memmem(in, n, "\r\n", 2);
		size_t take = end ? (size_t)(end - in) + 1 : n;

		if (s->at == DOT_AFTER_CR && *in == '\n')
			s->at = DOT_IN_LINE;
		put += dot->encode(s, in, take, out + put);
		in += take;
		n -= take;
	}
	return lf_lines ? put : dot->encode(s, in, n, out);
}

/* All of the letter but what remains in r->out, encoded; *ret_n octets of that. */
static int
send_most(struct run *r, size_t *ret_n)
{
	struct smtp_link *link = r->t->link;
	const struct letter *l = r->letters[r->at];
	bool lf_lines = spool_is_lf(r->t->peer.account);
	struct dot_state state = {0};
	char field[SMTP_TRACE_MAX];
	size_t n = smtp_run_trace(r, r->at, field);

	memcpy(r->out, field, n);
	for (uint64_t at = 0; at < l->stored;) {
		size_t take = l->stored - at < SMTP_BLOCK ? (size_t)(l->stored - at)
							  : SMTP_BLOCK;
		int err = fd_pread_all(l->fd, r->block, take, at);

		if (err < 0) {
			(void)snprintf(link->why, sizeof(link->why),
				"the spool cannot be read: %s", strerrordesc_np(-err));
			return err;
		}
		n += encode(lf_lines, &state, r->block, take, r->out + n);
		at += take;
		if (at == l->stored)
			break;
		err = smtp_link_send(
			link, r->out, n, smtp_link_limit(link, SMTP_BLOCK_MS));
		if (err == 0)
			err = smtp_link_glance(link);
		if (err < 0)
			return err;
		n = 0;
	}
	*ret_n = n + dot_finish(&state, true, r->out + n);
	return 0;
}

int
smtp_run_send(struct run *r, bool *ret_gone)
{
	uint8_t storage[2 * SMTP_COMMAND_MAX];
	struct buf ahead = buf_over(storage, sizeof(storage));
	struct smtp_link *l = r->t->link;
	size_t n = 0, dot, all;

	*ret_gone = false;
	int err = smtp_link_glance(l);
	if (err == 0)
		err = send_most(r, &n);
	/* The last moment at which a server can be seen to answer too early. */
	if (err == 0)
		err = smtp_link_glance(l);
	if (err < 0)
		return err;
	CHECK(smtp_client_body(&l->client, 1));
	smtp_run_ahead(r, &ahead);
	bool written = stream_write(&l->stream, r->out, n) == STREAM_OK;
	dot = stream_unsent(&l->stream);
	if (written && ahead.n > 0)
		written = stream_write(&l->stream, ahead.p, ahead.n) == STREAM_OK;
	all = stream_unsent(&l->stream);
	if (!written) {
		(void)snprintf(l->why, sizeof(l->why), "the connection broke");
		return -ECONNRESET;
	}
	err = smtp_link_flush(l, smtp_link_limit(l, SMTP_BLOCK_MS));
	*ret_gone = err == 0 || stream_unsent(&l->stream) <= all - dot;
	l->needs_rset = false;
	return err;
}

int
smtp_run_answer(struct run *r)
{
	struct smtp_link *l = r->t->link;
	uint64_t limit = l->timeout_ms > SMTP_ANSWER_MS ? l->timeout_ms : SMTP_ANSWER_MS;
	struct smtp_reply reply;
	int err = smtp_link_reply(l, limit, &reply);

	if (err < 0)
		return err;
	l->handed++;
	l->used_ms = clock_ms();
	r->failures = 0;
	if (smtp_run_judge(r, &reply))
		r->letters[r->at]->fate = LETTER_DELIVERED;
	return 0;
}
