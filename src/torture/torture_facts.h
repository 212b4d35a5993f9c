/*
 * torture_facts.h: what is learnt of the server before the first case.
 */
#ifndef TORTURE_FACTS_H
#define TORTURE_FACTS_H

#include "torture/torture_talk.h"

/* Connects, asks CAPA, logs in, asks CAPA, STAT, LIST and UIDL, quits. False: the server
 * cannot be tried so; why is in the trial. */
[[nodiscard]] bool torture_survey(struct trial *t);
/* CAPA; a server without it is one that does not know it. */
[[nodiscard]] bool torture_ask_capa(
	struct trial *t, struct link *l, struct torture_capa *ret);
/* STAT, and the lists into *ret_mails (malloc'ed, *ret_count of them). */
[[nodiscard]] bool torture_ask_mails(struct trial *t, struct link *l,
	struct torture_mail **ret_mails, uint32_t *ret_count, uint64_t *ret_octets);

#endif
