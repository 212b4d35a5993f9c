/* fetch_session_fake.h: who runs the session that is fuzzed, and what must always hold.
 */
#ifndef FUZZ_FETCH_SESSION_FAKE_H
#define FUZZ_FETCH_SESSION_FAKE_H

#include "base/check.h"
#include "fetch/session.h"

#include <string.h>

static struct known fake_rows[2];
static struct known_table fake_known = {fake_rows, 2, NULL};

static bool
full(struct mails *m, uint32_t rows, size_t octets, size_t known)
{
	(void)m;
	return rows == 0 && octets == 0 && known < 64;
}

static struct fetch_account
fake_account(uint8_t bits)
{
	return (struct fetch_account){.name = "a",
		.host = "h",
		.user = "u",
		.auth = "",
		.tls = FETCH_TLS_NONE,
		.plaintext = true,
		.keep = bits & 1,
		.adopt = (bits & 30) == 30,
		.filter = bits & 2 ? "f" : NULL,
		.delete_after_ms = bits & 4 ? 0 : FETCH_NEVER,
		.delete_larger = bits & 8 ? 100 : FETCH_NEVER,
		.skip_larger = bits & 16 ? 100 : FETCH_NEVER,
		.keep_newest = bits & 32 ? 2 : FETCH_NEVER,
		.commit_messages = bits & 64 ? 1 : FETCH_NEVER,
		.commit_after_ms = FETCH_NEVER,
		.window = bits & 128 ? 200 : 5,
		.messages_max = 200,
		.tries = 3};
}

static struct remembered
fake_memory(uint8_t bits, const struct fetch_account *a)
{
	struct remembered r = {.count = UINT32_MAX};

	fake_rows[0] = (struct known){.uid = {(const uint8_t *)"a", 1},
		.size = 10,
		.stage = KNOWN_SYNCED,
		.has_header = true};
	fake_rows[1] = (struct known){.uid = {(const uint8_t *)"b", 1},
		.size = 10,
		.stage = (uint8_t)(bits % KNOWN_STAGES),
		.tries = 1};
	r.has_no_top = bits & 8;
	r.sizes_lie = bits & 16;
	if (!(bits & 32))
		return r;
	r.has_capabilities = true;
	r.before.has = r.after.has =
		POP3_CAPA_PIPELINING | POP3_CAPA_USER | POP3_CAPA_TOP;
	memcpy(r.mechanism, "USER", 5);
	if (bits & 64) {
		r.count = 2;
		r.octets = 20;
		r.policy = plan_fingerprint(a);
		r.probes_n = 2;
		r.probes[0] = (struct probe){.msgno = 2, .uid_n = 1, .uid = "b"};
		r.probes[1] = (struct probe){.msgno = 1, .uid_n = 1, .uid = "a"};
	}
	return r;
}

static void
fake_perform(struct fetch_session *session, const struct session_action *a)
{
	static const struct view word = {(const uint8_t *)"u", 1};
	static uint32_t turn;
	uint8_t header[HEADER_DIGEST] = {0};

	header[0] = (uint8_t)(++turn % 3);
	switch (a->kind) {
	case SESSION_LOGIN:
		if (strcmp(session->choice.mechanism, "USER") == 0)
			session_login_user(session, word, word);
		else
			session_login_sasl(session, session->choice.mechanism, &word);
		return;
	case SESSION_CHALLENGE: session_cancel(session, "no"); return;
	case SESSION_LOGGED_IN: session_login_proved(session, true, ""); return;
	case SESSION_LOAD: session_loaded(session, &fake_known); return;
	case SESSION_MARK: session_marked(session); return;
	case SESSION_HEADER_END: session_header(session, a->mail, header); return;
	case SESSION_FILTER:
		session_filtered(session, a->mail, (enum filter_verdict)(turn % 4));
		return;
	case SESSION_LETTER_END:
		if (session_name(session, a->mail, header))
			session_committed(session, a->mail, (enum letter_fate)(turn % 6));
		else
			session_fail(session, OUTCOME_LOCAL, "no memory");
		return;
	case SESSION_WAIT:
	case SESSION_START_TLS:
	case SESSION_HEADER:
	case SESSION_PLANNED:
	case SESSION_LETTER:
	case SESSION_DATA:
	case SESSION_LETTER_CUT:
	case SESSION_COMMIT:
	case SESSION_TELL:
	case SESSION_FINISH: return;
	}
}

static void
fake_run(struct fetch_session *session, struct view *in)
{
	static uint8_t scratch[POP3_SCRATCH_MIN];
	struct session_action a;

	session_time(session, 1000000000, 1000000);
	for (uint32_t n = 0;; n++) {
		CHECK(n < 100000);
		session_next(session, in, scratch, sizeof(scratch), &a);
		CHECK(pop3_client_waits(&session->client) <= 200);
		if (a.kind == SESSION_WAIT)
			break;
		fake_perform(session, &a);
	}
	session->out.n = 0;
	session->out.full = false;
}

static void
fake_end(struct fetch_session *session)
{
	struct mark marks[8];
	struct view none = {0};
	uint64_t at_row = 0;
	size_t n;

	session_closed(session, "the end");
	fake_run(session, &none);
	CHECK(session->step == STEP_END);
	while ((n = session_marks(session, true, &at_row, marks, 8)) > 0) {
		for (size_t i = 0; i < n; i++)
			CHECK(marks[i].uid.n > 0 && marks[i].uid.n <= LETTER_UID_MAX);
	}
	session_learn(session);
	CHECK(session->memory->probes_n <= PROBES_MAX);
}

#endif
