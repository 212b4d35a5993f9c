#include "sim_watch.h"
#include "ipc/message.h"
#include "ipc/permit.h"
#include "sim_ledger.h"

#include <stdio.h>
#include <string.h>

static struct file *holders[DROPS];

static void
attach(struct packet *p, struct view payload)
{
	struct msg_attach m;

	if (!msg_attach_get(&m, payload) || p->nfds != 1)
		k_violation("the monitor sends an ATTACH that is none");
	struct file *f = p->fds[0];
	f->keeps = !(m.rights & RIGHT_DELIVER);
	f->session = m.session;
	(void)snprintf(f->drop, sizeof(f->drop), "%.*s", (int)m.maildrop.n,
		(const char *)m.maildrop.p);
}

/* The keeper shows a maildrop to a front: from now on that session holds it. */
static void
snapshot(struct file *f)
{
	int drop = ledger_drop_of(f->drop);

	if (drop < 0)
		k_violation("a snapshot of %s, which is no maildrop", f->drop);
	struct file *old = holders[drop];
	if (old && old != f && !old->peer_gone)
		k_violation("two sessions hold %s: %llu and %llu", f->drop,
			(unsigned long long)old->session, (unsigned long long)f->session);
	holders[drop] = f;
}

static void
let_go(struct file *f)
{
	for (size_t i = 0; i < DROPS; i++)
		if (holders[i] == f)
			holders[i] = NULL;
}

void
watch_channel_closed(struct file *f)
{
	let_go(f);
}

/* VERDICT: number u16, first u32, last u8, length u16, marks. */
static void
pervert_verdict(struct packet *p)
{
	if (p->n <= 9)
		return;
	if (k_plant("lost-verdict", 500))
		memset(p->octets + 9, 0, p->n - 9);
	if (k_plant("extra-delete", 500))
		p->octets[9] |= 1;
}

/* What a program logs is told too, but for values, which may be long. */
static void
tell_record(struct view payload)
{
	struct msg_log_record m;
	char text[128] = "";
	size_t at = 0;

	if (!msg_log_record_get(&m, payload))
		k_violation("a log record that is none");
	for (size_t i = 0; i < m.pairs.n && at + 2 < sizeof(text);) {
		size_t key = m.pairs.p[i], value;
		const uint8_t *k = m.pairs.p + i + 1;
		value = (size_t)k[key] | (size_t)k[key + 1] << 8;
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %.*s=%.*s",
			(int)key, (const char *)k, value > 40 ? 40 : (int)value,
			(const char *)k + key + 2);
		i += 1 + key + 2 + value;
	}
	k_trace("%s %d logs %.*s%s", k_proc()->name, k_proc()->pid, (int)m.event.n,
		(const char *)m.event.p, text);
}

void
watch_message(struct file *from, struct packet *p)
{
	struct view payload;
	uint16_t number = message_number((struct view){p->octets, p->n}, &payload);
	uint32_t sum = 0;

	for (size_t i = 0; i < p->n; i++)
		sum = sum * 31 + p->octets[i];
	if (number != MSG_LOG_RECORD)
		k_trace("%s %d: %s of %zu, %zu fds, %08x", k_proc()->name, k_proc()->pid,
			message_name(number), p->n, p->nfds, sum);
	else
		tell_record(payload);
	if (number == MSG_ATTACH)
		attach(p, payload);
	else if (number == MSG_SNAPSHOT || number == MSG_SNAPSHOT_SMALL)
		snapshot(from);
	else if (number == MSG_DONE)
		let_go(from);
	else if (number == MSG_VERDICT)
		pervert_verdict(p);
	else if (number == MSG_DEPOSITED && k_planted("forged-deposit"))
		p->octets[2] = DEPOSIT_DONE;
}

void
watch_reply(struct file *f, const void *octets, size_t n)
{
	static const char twice[] = "+OK once more\r\n";

	if (n > 3 && memcmp(octets, "+OK", 3) == 0 && k_plant("double-answer", 20))
		k_pipe_send(f->out, twice, sizeof(twice) - 1);
}
