#include "wire/lmtp_reply.h"
#include "base/ascii.h"
#include "base/check.h"
#include "wire/limits.h"

#include <assert.h>
#include <string.h>

struct answer {
	const char *code, *enhanced, *words;
};

static const struct answer recipient_answers[] = {
#define RECIPIENT(NAME, code, enhanced, words)                                           \
	[LMTP_RECIPIENT_##NAME] = {code, enhanced, words},
#include "wire/lmtp_answers.def"
};
static_assert(ARRAY_SIZE(recipient_answers) == LMTP_RECIPIENTS);

static const struct answer outcomes[] = {
#define OUTCOME(NAME, code, enhanced, words)                                             \
	[LMTP_OUTCOME_##NAME] = {code, enhanced, words},
#include "wire/lmtp_answers.def"
};
static_assert(ARRAY_SIZE(outcomes) == LMTP_OUTCOMES);

static const struct answer replies[] = {
#define REPLY(NAME, code, enhanced, words) [LMTP_REPLY_##NAME] = {code, enhanced, words},
#include "wire/lmtp_answers.def"
};
static_assert(ARRAY_SIZE(replies) == LMTP_REPLIES);

/*
 * LHLO's, besides SIZE. Not BINARYMIME, which a maildrop of lines cannot hold. Not DSN
 * (RFC 3461), whose parameters are taken all the same: who hears it leaves the
 * notification of success to us, and from here none is sent.
 */
static const char *const announced[] = {
	"PIPELINING",	       /* RFC 2920 */
	"8BITMIME",	       /* RFC 6152 */
	"SMTPUTF8",	       /* RFC 6531 */
	"ENHANCEDSTATUSCODES", /* RFC 2034 */
	"CHUNKING",	       /* RFC 3030 */
};

static void
put_code(const struct answer *a, char dash, struct buf *out)
{
	buf_put_str(out, a->code);
	buf_put(out, &dash, 1);
	if (a->enhanced[0] != '\0') {
		buf_put_str(out, a->enhanced);
		buf_put_str(out, " ");
	}
}

/* An address that may stand in a reply; RFC 5321 s.4.5.3.1.5 leaves 512 octets a line. */
static bool
may_be_shown(struct view v)
{
	if (v.n == 0 || v.n > 254)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_is_graph(v.p[i]) || v.p[i] == '<' || v.p[i] == '>')
			return false;
	return true;
}

static void
put_answer(const struct answer *a, struct view about, struct buf *out)
{
	put_code(a, ' ', out);
	if (may_be_shown(about)) {
		buf_put_str(out, "<");
		buf_put_view(out, about);
		buf_put_str(out, "> ");
	}
	buf_put_str(out, a->words);
	buf_put_str(out, "\r\n");
	CHECK(!out->full);
}

void
lmtp_put_reply(enum lmtp_reply r, struct buf *out)
{
	put_answer(&replies[r], (struct view){0}, out);
}

static void
put_hostname(const struct lmtp_limits *limits, struct buf *out)
{
	size_t n = strlen(limits->hostname);

	for (size_t i = 0; i < n; i++)
		if (!ascii_is_graph((uint8_t)limits->hostname[i]))
			n = 0;
	if (n == 0 || n > HOSTNAME_MAX)
		buf_put_str(out, "localhost");
	else
		buf_put(out, limits->hostname, n);
}

void
lmtp_put_lhlo(const struct lmtp_limits *limits, struct buf *out)
{
	buf_put_str(out, "250-");
	put_hostname(limits, out);
	for (size_t i = 0; i < ARRAY_SIZE(announced); i++) {
		buf_put_str(out, "\r\n250-");
		buf_put_str(out, announced[i]);
	}
	buf_put_str(out, "\r\n250 SIZE");
	if (limits->message_octets > 0) {
		buf_put_str(out, " ");
		buf_put_dec(out, limits->message_octets);
	}
	buf_put_str(out, "\r\n");
	CHECK(!out->full);
}

void
lmtp_put_help(struct buf *out)
{
	buf_put_str(out, "214 2.0.0 commands:");
	for (int c = 0; c < LMTP_COMMANDS; c++) {
		const struct lmtp_command_row *row =
			lmtp_command_row((enum lmtp_command)c);

		if (row->states == NOWHERE)
			continue;
		buf_put_str(out, " ");
		buf_put_str(out, row->name);
	}
	buf_put_str(out, "\r\n");
	CHECK(!out->full);
}

void
lmtp_put_greeting(const struct lmtp_limits *limits, struct buf *out)
{
	buf_put_str(out, "220 ");
	put_hostname(limits, out);
	buf_put_str(out, " LMTP\r\n");
	CHECK(!out->full);
}

bool
lmtp_put_recipient(enum lmtp_recipient_answer answer, struct buf *out)
{
	CHECK(answer < LMTP_RECIPIENTS);
	put_answer(&recipient_answers[answer], (struct view){0}, out);
	return recipient_answers[answer].code[0] == '2';
}

void
lmtp_put_outcome(enum lmtp_outcome outcome, struct view recipient, struct buf *out)
{
	CHECK(outcome < LMTP_OUTCOMES);
	put_answer(&outcomes[outcome], recipient, out);
}
