/* Log lines and counters. Names of recipients are logged, octets of a message never. */
#include "ipc/log.h"
#include "ipc/message.h"
#include "lmtpd/mta.h"
#include "stat/stat.h"

#include <string.h>

#define NAMES_OCTETS 1000U /* of recipients in one line */

static void
put_peer(struct log_record *r, const struct mta *m)
{
	if (m->is_local) {
		log_str(r, "address", "local");
		return;
	}
	log_address(r, "address", (struct view){m->address, sizeof(m->address)});
	log_number(r, "port", m->port);
}

static void
put_codes(struct log_record *r, struct reply_codes c)
{
	log_str(r, "code", c.code);
	log_str(r, "status", c.enhanced);
}

/* ---- recipients --------------------------------------------------------- */

void
report_recipient(const struct mta *m, const struct recipient *r)
{
	struct log_record out;

	if (r->twin->state != RECIPIENT_REFUSED) {
		stat_add(STAT_LMTP_RECIPIENTS, 1);
		return;
	}
	stat_add(STAT_LMTP_RECIPIENTS_REFUSED, 1);
	log_begin(&out, LOG_LEVEL_INFO, "recipient_refused");
	log_text(&out, "recipient", r->name);
	log_text(&out, "sender", (struct view){m->sender, m->sender_n});
	put_codes(
		&out, core_recipient_codes((enum lmtp_recipient_answer)r->twin->answer));
	put_peer(&out, m);
	log_send(&out);
}

void
report_outcome(const struct mta *m, const struct recipient *r)
{
	static const enum stat_id counters[LMTP_OUTCOMES] = {
		[LMTP_OUTCOME_STORED] = STAT_LMTP_STORED,
		[LMTP_OUTCOME_TEMPORARY] = STAT_LMTP_TEMPORARY,
		[LMTP_OUTCOME_CLOSED] = STAT_LMTP_CLOSED,
		[LMTP_OUTCOME_FULL] = STAT_LMTP_FULL,
		[LMTP_OUTCOME_FULL_FOR_GOOD] = STAT_LMTP_FULL,
		[LMTP_OUTCOME_NO_SPACE] = STAT_LMTP_NO_SPACE,
		[LMTP_OUTCOME_TOO_LARGE] = STAT_LMTP_TOO_LARGE,
		[LMTP_OUTCOME_DENIED] = STAT_LMTP_DENIED,
	};
	struct log_record out;

	stat_add(counters[r->outcome], 1);
	if (r->outcome == LMTP_OUTCOME_STORED)
		return; /* the message's own line says it */
	log_begin(&out, LOG_LEVEL_WARNING, "not_delivered");
	log_text(&out, "recipient", r->name);
	log_text(&out, "sender", (struct view){m->sender, m->sender_n});
	put_codes(&out, core_outcome_codes((enum lmtp_outcome)r->outcome));
	put_peer(&out, m);
	log_send(&out);
}

/* ---- messages ----------------------------------------------------------- */

/* Those who have it; as many as there is room for. */
static struct view
stored_names(const struct transaction *t, uint8_t storage[NAMES_OCTETS])
{
	struct buf names = buf_over(storage, NAMES_OCTETS);

	for (uint32_t i = 0; i < t->n; i++) {
		const struct recipient *r = t->list[i];
		if (r->twin != r || r->state != RECIPIENT_ENDED ||
			r->outcome != LMTP_OUTCOME_STORED)
			continue;
		if (buf_room(&names) < r->name.n + 1)
			break;
		if (names.n > 0)
			buf_put_u8(&names, ' ');
		buf_put_view(&names, r->name);
	}
	return buf_view(&names);
}

void
report_message(const struct mta *m)
{
	struct tally n = core_tally(&m->tr);
	uint8_t names[NAMES_OCTETS];
	struct log_record r;

	stat_set(STAT_LOG_DROPPED, log_dropped());
	log_begin(&r, LOG_LEVEL_INFO, "delivered");
	log_text(&r, "sender", (struct view){m->sender, m->sender_n});
	log_text(&r, "recipients", stored_names(&m->tr, names));
	log_number(&r, "asked", m->tr.claimed);
	log_number(&r, "accepted", n.accepted);
	log_number(&r, "stored", n.stored);
	log_number(&r, "temporary", n.temporary);
	log_number(&r, "permanent", n.permanent);
	log_number(&r, "octets", m->spool.octets);
	log_str(&r, "spool", m->spool.is_file ? "file" : "memory");
	if (m->is_gone)
		log_str(&r, "answer", "unheard");
	put_peer(&r, m);
	log_number(&r, "duration_ms", loop_now_ms(m->lmtpd->loop) - m->begun_ms);
	log_send(&r);
}

void
report_bye(const struct mta *m)
{
	struct log_record r;

	stat_set(STAT_LOG_DROPPED, log_dropped());
	log_begin(&r, LOG_LEVEL_DEBUG, "disconnect");
	put_peer(&r, m);
	log_number(&r, "messages", m->messages);
	log_send(&r);
}

/* ---- what goes wrong ---------------------------------------------------- */

void
report_connect_refused(const uint8_t *address, const char *why)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_WARNING, "connection_refused");
	if (address)
		log_address(&r, "address", (struct view){address, CORE_ADDRESS});
	else
		log_str(&r, "address", "local");
	log_str(&r, "limit", why);
	log_send(&r);
}

void
report_fault(const char *peer, uint16_t number, const char *what)
{
	struct log_record r;

	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_begin(&r, LOG_LEVEL_ERROR, "protocol_fault");
	log_str(&r, "peer", peer);
	log_str(&r, "message", message_name(number));
	log_str(&r, "what", what);
	log_send(&r);
}

void
report_error(const char *event, const char *what, int err)
{
	struct log_record r;

	log_begin(&r, err < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, event);
	log_str(&r, "what", what);
	if (err < 0)
		log_error(&r, "error", err);
	log_send(&r);
}

void
report_start(const struct lmtpd *l, uint32_t cage)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_DEBUG, "start");
	log_number(&r, "incarnation", l->incarnation);
	log_number(&r, "connections", l->connections_max);
	log_number(&r, "recipients", l->asks_max);
	log_number(&r, "cage", cage);
	log_send(&r);
}
