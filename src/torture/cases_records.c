/*
 * cases_records.c: what may happen to TLS once it stands: records that are cut, forged,
 * too long; ends without close_notify; KeyUpdates.
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <openssl/ssl.h>
#include <string.h>

static bool forged(struct trial *t);
static bool repeated(struct trial *t);
static bool garbage(struct trial *t);
static bool oversized(struct trial *t);
static bool plain_within(struct trial *t);
static bool cut_record(struct trial *t);
static bool small_records(struct trial *t);
static bool split_records(struct trial *t);
static bool full_record(struct trial *t);
static bool orderly_end(struct trial *t);
static bool client_ends(struct trial *t);
static bool no_close_notify(struct trial *t);
static bool key_update(struct trial *t);
static bool key_updates(struct trial *t);
static bool heartbeat(struct trial *t);
static bool unknown_type(struct trial *t);
static bool empty_record(struct trial *t);
static bool alerts(struct trial *t);

#define R(id, clause, weight, expects, fn)                                               \
	ROW(id, clause, weight, AT_GREETING, NEED_TLS, expects, .run = (fn))

const struct torture_case cases_records[] = {
	R("tls-record-forged", "RFC 8446 s.5.2", MUST,
		"a bit changed in a record: the end", forged),
	R("tls-record-repeated", "RFC 8446 s.5.3", MUST, "a record sent twice: the end",
		repeated),
	R("tls-record-garbage", "RFC 8446 s.5.2", MUST, "a record of garbage: the end",
		garbage),
	R("tls-record-oversized", "RFC 8446 s.5.2", MUST,
		"a record longer than 2^14 + 256: the end", oversized),
	R("tls-record-plain", "RFC 8446 s.5.1", MUST, "plain text among records: the end",
		plain_within),
	R("tls-record-unknown", "RFC 8446 s.5", MUST,
		"a type of record that is none: the end", unknown_type),
	R("tls-record-heartbeat", "RFC 6520 s.4", ROBUST,
		"a heartbeat that lies about its length gets no octets back", heartbeat),
	R("tls-record-empty", "RFC 8446 s.5.1", MUST, "a record of no octets: the end",
		empty_record),
	R("tls-record-cut", "robustness", ROBUST,
		"half a record, then a reset: others are served", cut_record),
	R("tls-record-small", "RFC 8446 s.5.1", MUST,
		"a command octet by octet, a record each", small_records),
	R("tls-record-split", "RFC 8446 s.5.1", MUST, "a record in segments of one octet",
		split_records),
	R("tls-record-full", "RFC 8446 s.5.1", MUST,
		"a record of 2^14 octets, with 2340 commands: an answer each, or it is "
		"enough",
		full_record),
	R("tls-end", "RFC 8446 s.6.1", SHOULD, "the server ends with close_notify",
		orderly_end),
	R("tls-end-client", "RFC 8446 s.6.1", ROBUST,
		"close_notify of the client: the end", client_ends),
	R("tls-end-cut", "RFC 8446 s.6.1", ROBUST,
		"the end of TCP without close_notify: others are served",
		no_close_notify),
	R("tls-key-update", "RFC 8446 s.4.6.3", MUST,
		"a KeyUpdate, and the session goes on", key_update),
	R("tls-key-updates", "robustness", ROBUST,
		"500 KeyUpdates: the session goes on, or ends", key_updates),
	R("tls-alerts", "robustness", ROBUST, "a flood of plain alerts: the end", alerts),
	NO_MORE_ROWS,
};

static bool
raw(struct trial *t, const void *p, size_t n)
{
	return link_send_raw(&t->link, (struct view){p, n}) != LINK_LATE ||
		trial_fail(t, "it does not take what is sent");
}

/* The end, whatever alert tells of it, and not an octet of POP3. */
static bool
ends(struct trial *t)
{
	return trial_end(t, &t->link, false);
}

static bool
others_are_served(struct trial *t)
{
	link_close(&t->link);
	return trial_open(t, &t->link, AT_GREETING) && trial_quit(t, &t->link);
}

/* A record with that command. */
static size_t
seal(struct trial *t, const char *text, uint8_t *ret, size_t cap)
{
	struct view v = {(const uint8_t *)text, strlen(text)};

	return link_seal(&t->link, v, ret, cap);
}

static bool
forged(struct trial *t)
{
	uint8_t record[512];
	size_t n = seal(t, "XYZZY\r\n", record, sizeof(record));

	if (n < 10)
		return trial_fail(t, "no record was made");
	record[n - 3] ^= 1;
	return raw(t, record, n) && ends(t);
}

static bool
repeated(struct trial *t)
{
	uint8_t record[512];
	size_t n = seal(t, "XYZZY\r\n", record, sizeof(record));

	return raw(t, record, n) && trial_expect(t, &t->link, "", "-") &&
		raw(t, record, n) && ends(t);
}

static bool
garbage(struct trial *t)
{
	uint8_t record[5 + 64] = {0x17, 3, 3, 0, 64};

	memset(record + 5, 0x5A, 64);
	return raw(t, record, sizeof(record)) && ends(t);
}

static bool
oversized(struct trial *t)
{
	uint8_t record[5 + 0x4900] = {0x17, 3, 3, 0x49, 0};

	return raw(t, record, sizeof(record)) && ends(t);
}

static bool
plain_within(struct trial *t)
{
	return raw(t, "XYZZY\r\nQUIT\r\n", 13) && ends(t);
}

static bool
unknown_type(struct trial *t)
{
	uint8_t record[5 + 32] = {0x63, 3, 3, 0, 32};

	return raw(t, record, sizeof(record)) && ends(t);
}

static bool
heartbeat(struct trial *t)
{
	static const uint8_t record[] = {0x18, 3, 3, 0, 3, 1, 0x40, 0};

	if (!raw(t, record, sizeof(record)))
		return false;
	link_half_close(&t->link);
	return trial_end(t, &t->link, false) && others_are_served(t);
}

static bool
empty_record(struct trial *t)
{
	static const uint8_t record[] = {0x17, 3, 3, 0, 0};

	return raw(t, record, sizeof(record)) && ends(t);
}

static bool
cut_record(struct trial *t)
{
	uint8_t record[512];
	size_t n = seal(t, "XYZZY\r\n", record, sizeof(record));

	if (!raw(t, record, n / 2))
		return false;
	link_reset(&t->link);
	return others_are_served(t);
}

static bool
small_records(struct trial *t)
{
	t->link.piece = 1;
	bool good = trial_expect(t, &t->link, "XYZZY\r\n", "-");
	t->link.piece = 0;
	return good && trial_quit(t, &t->link);
}

static bool
split_records(struct trial *t)
{
	uint8_t record[512];
	size_t n = seal(t, "XYZZY\r\n", record, sizeof(record));

	t->link.piece = 1;
	if (!raw(t, record, n))
		return false;
	t->link.piece = 0;
	return trial_expect(t, &t->link, "", "-") && trial_quit(t, &t->link);
}

static bool
full_record(struct trial *t)
{
	char text[16384 + 1] = "";
	struct answer a;

	for (size_t i = 0; i + 7 <= 16384; i += 7)
		memcpy(text + i, "XYZZY\r\n", 8);
	if (!trial_say(t, &t->link, text, strlen(text)))
		return false;
	for (size_t i = 0; i < strlen(text) / 7; i++) {
		if (!trial_answer(t, &t->link, true, &a))
			return false;
		if (a.sign == SIGN_END)
			return true;
		if (a.sign != SIGN_ERR)
			return trial_fail(t, "answer %zu is %s", i + 1, a.text);
	}
	return trial_quit(t, &t->link);
}

static bool
orderly_end(struct trial *t)
{
	return trial_quit(t, &t->link) &&
		(t->link.close_notify || trial_fail(t, "TCP ended without it"));
}

static bool
client_ends(struct trial *t)
{
	(void)SSL_shutdown(t->link.ssl);
	(void)link_flush(&t->link);
	return ends(t);
}

static bool
no_close_notify(struct trial *t)
{
	if (!trial_expect(t, &t->link, "XYZZY\r\n", "-"))
		return false;
	link_half_close(&t->link);
	return ends(t) && others_are_served(t);
}

/* So many KeyUpdates, each asking for one in return. */
static bool
update(struct trial *t, int times)
{
	if (SSL_version(t->link.ssl) < TLS1_3_VERSION)
		return trial_skip(t, "TLS 1.3 is not spoken");
	for (int i = 0; i < times; i++) {
		if (SSL_key_update(t->link.ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
			SSL_do_handshake(t->link.ssl) != 1)
			return true; /* ours will not, any more */
		if (link_flush(&t->link) == LINK_LATE)
			return trial_fail(t, "it does not take what is sent");
	}
	return true;
}

static bool
key_update(struct trial *t)
{
	return update(t, 1) && trial_expect(t, &t->link, "XYZZY\r\n", "-") &&
		update(t, 1) && trial_quit(t, &t->link);
}

static bool
key_updates(struct trial *t)
{
	struct answer a;

	if (!update(t, 500) || !trial_say(t, &t->link, "QUIT\r\n", 6) ||
		!trial_answer(t, &t->link, true, &a))
		return false;
	return others_are_served(t);
}

static bool
alerts(struct trial *t)
{
	static const uint8_t alert[] = {0x15, 3, 3, 0, 2, 1, 90};

	for (int i = 0; i < 200 && t->link.state == LINK_OPEN; i++)
		if (!raw(t, alert, sizeof(alert)))
			return false;
	link_half_close(&t->link);
	return trial_end(t, &t->link, false) && others_are_served(t);
}
