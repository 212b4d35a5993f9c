/* evil_front_words.c: what a front that was taken over may say to auth, keys and who. */
#include "evil_front.h"
#include "ipc/permit.h"
#include "ipc/who.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct view loopback = VIEW("\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1");

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static const char *
told(const char *what, unsigned long n, const char *other, unsigned long m)
{
	static char out[96];

	int at = snprintf(out, sizeof(out), "%s=%lu", what, n);
	if (other && at > 0)
		(void)snprintf(out + at, sizeof(out) - (size_t)at, " %s=%lu", other, m);
	return out;
}

static uint64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- auth ------------------------------------------------------------------------- */

static int
begin(uint64_t session, uint8_t mechanism)
{
	EVIL(ask, login,
		{.session = session,
			.mechanism = mechanism,
			.tls = 1,
			.address = loopback,
			.port = 1,
			.connection = session});
	return evil_send(evil.auth, &ask, NULL, 0);
}

static int
respond(uint64_t session, const char *octets, bool cancelled)
{
	EVIL(say, response,
		{.session = session, .cancelled = cancelled, .octets = text(octets)});
	return evil_send(evil.auth, &say, NULL, 0);
}

/* The next message of auth within ms: its number, 0, or -errno. */
static int
auth_says(int ms)
{
	struct view payload;
	int number;

	do {
		number = evil_receive(evil.auth, &got, &payload, ms);
		received_done(&got);
	} while (number == MSG_AUTH_OFFER);
	return number;
}

/* A certificate that nobody showed: its fingerprint is that of a's record. */
ATTACK(assert_certificate)
{
	uint8_t fingerprint[32] = {0};

	for (size_t i = 0; i < sizeof(fingerprint) && b[2 * i] && b[2 * i + 1]; i++) {
		char digits[3] = {b[2 * i], b[2 * i + 1], 0};
		fingerprint[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	EVIL(ask, login,
		{.session = evil_session(),
			.mechanism = MECHANISM_EXTERNAL,
			.tls = 1,
			.address = loopback,
			.response = text(a),
			.has_response = 1,
			.certificate = {fingerprint, sizeof(fingerprint)}});
	if (evil_send(evil.auth, &ask, NULL, 0) < 0)
		return "no-auth";
	return evil_snapshot();
}

/* Logs in as from another network, and without TLS as if with it: a's own rules. */
ATTACK(assert_address)
{
	EVIL(ask, login,
		{.session = evil_session(),
			.mechanism = MECHANISM_PASS,
			.tls = 1,
			.address = VIEW("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\1\2\3"),
			.name = text(a),
			.response = text(b)});
	if (evil_send(evil.auth, &ask, NULL, 0) < 0)
		return "no-auth";
	return evil_snapshot();
}

/* Answers for sessions that others have, or nobody. */
ATTACK(respond_for_others)
{
	for (uint64_t i = 1; i < 2000; i++) {
		uint64_t session = (i % 200) << SESSION_COUNT_BIT | (i / 200);
		if (respond(session, "x", i & 1) == -EPIPE)
			return "end";
	}
	return auth_says(300) < 0 ? "end" : "silence";
}

/* Conversations that nobody goes on with. */
ATTACK(talks)
{
	unsigned long challenges = 0, ended = 0, n = strtoul(a, NULL, 10);

	for (unsigned long i = 0; i < n;) {
		int rc = begin(evil_session(), MECHANISM_LOGIN), said;
		if (rc < 0 && rc != -EAGAIN)
			return "end";
		i += rc == 0;
		while ((said = auth_says(rc < 0 ? 1 : 0)) > 0) {
			challenges += said == MSG_CHALLENGE;
			ended += said == MSG_LOGIN_FAILED;
		}
	}
	for (int said; (said = auth_says(500)) > 0;) {
		challenges += said == MSG_CHALLENGE;
		ended += said == MSG_LOGIN_FAILED;
	}
	return told("challenges", challenges, "ended", ended);
}

/* The wrong password, and then the right one to the same challenge. */
ATTACK(answer_twice)
{
	uint64_t session = evil_session();

	if (begin(session, MECHANISM_LOGIN) < 0 || auth_says(2000) != MSG_CHALLENGE ||
		respond(session, a, false) < 0 || auth_says(2000) != MSG_CHALLENGE)
		return "no-conversation";
	(void)respond(session, "wrong", false);
	(void)respond(session, b, false);
	(void)respond(session, b, false);
	switch (evil_answer(3000)) {
	case 0: break;
	case 1: return "SUCCEEDED";
	default: return "silence";
	}
	return evil_answer(500) == 1 ? "SUCCEEDED" : "refused";
}

/* One session, two logins: the second one must not go on where the first one is. */
ATTACK(login_within)
{
	uint64_t session = evil_session();

	if (begin(session, MECHANISM_LOGIN) < 0 || auth_says(2000) != MSG_CHALLENGE ||
		respond(session, a, false) < 0 || auth_says(2000) != MSG_CHALLENGE ||
		begin(session, MECHANISM_LOGIN) < 0)
		return "no-conversation";
	int said = auth_says(1000);
	(void)respond(session, b, false);
	if (said != MSG_CHALLENGE)
		return "refused";
	/* What was said is a name, not a password. */
	return evil_answer(1000) == 1 ? "SUCCEEDED" : "anew";
}

/* A refusal that never was, under the id of another's (in decimal). */
ATTACK(lie_about_refusal)
{
	EVIL(say, login_lost,
		{.session = evil_session(),
			.id = (uint32_t)strtoul(a, NULL, 10),
			.code = REFUSAL_IN_USE});
	return evil_send(evil.auth, &say, NULL, 0) < 0 ? "end" : "said";
}

ATTACK(lie_flood)
{
	unsigned long sent = 0;

	for (uint32_t i = 0; i < 40000; i++) {
		EVIL(say, login_lost,
			{.session = i,
				.id = i,
				.code = (uint8_t)(1 + i % REFUSAL_TOO_MANY)});
		sent += evil_send(evil.auth, &say, NULL, 0) == 0;
	}
	return evil_counted(sent);
}

/* No refusal has this code. */
ATTACK(lie_oddly)
{
	EVIL(say, login_lost, {.session = 1, .id = 1, .code = 200});
	(void)evil_send(evil.auth, &say, NULL, 0);
	for (int i = 0; i < 100; i++) {
		int number = auth_says(100);
		if (number < 0)
			return "end";
	}
	return "silence";
}

/* b: whether its answers are read. */
ATTACK(stamp_flood)
{
	unsigned long sent = 0, n = strtoul(a, NULL, 10);

	for (unsigned long i = 0; i < n; i++) {
		EVIL(ask, stamp_ask, {.connection = i});
		sent += evil_send(evil.auth, &ask, NULL, 0) == 0;
		while (*b && auth_says(0) > 0)
			;
	}
	return evil_counted(sent);
}

/* ---- keys ------------------------------------------------------------------------- */

#define ECDSA_P256 0x0403

static size_t
handshake(const char *who, uint8_t octets[256])
{
	size_t n = 64;

	memset(octets, ' ', n);
	n += (size_t)snprintf(
		     (char *)octets + n, 128, "TLS 1.3, %s CertificateVerify", who) +
		1;
	memset(octets + n, 7, 32);
	return n + 32;
}

static int
sign(uint32_t question, struct view content)
{
	EVIL(ask, sign,
		{.question = question,
			.generation = evil.generation,
			.scheme = ECDSA_P256,
			.content = content});
	return evil_send(evil.keys, &ask, NULL, 0);
}

static const char *
signed_or_not(struct view content)
{
	struct view payload;
	struct msg_signed answer;

	if (evil.keys < 0 || sign(1, content) < 0)
		return "no-keys";
	int number = evil_receive(evil.keys, &got, &payload, 3000);
	received_done(&got);
	if (number != MSG_SIGNED || !msg_signed_get(&answer, payload))
		return number < 0 ? "end" : "silence";
	return answer.error ? told("error", answer.error, NULL, 0) : "signed";
}

/* What a front needs for each handshake it gets, for handshakes that there are not too.
 */
ATTACK(sign_handshake)
{
	uint8_t octets[256];
	return signed_or_not((struct view){octets, handshake("server", octets)});
}
ATTACK(sign_as_client)
{
	uint8_t octets[256];
	return signed_or_not((struct view){octets, handshake("client", octets)});
}
ATTACK(sign_digest)
{
	return signed_or_not(VIEW("0123456789abcdef0123456789abcdef"));
}
ATTACK(sign_text)
{
	return signed_or_not(VIEW("-----BEGIN CERTIFICATE REQUEST-----"));
}
ATTACK(sign_garbage)
{
	return signed_or_not(VIEW(""));
}

/* For three seconds as many as it can. */
ATTACK(sign_flood)
{
	uint8_t octets[256];
	struct view content = {octets, handshake("server", octets)}, payload;
	unsigned long signed_n = 0, refused = 0;
	uint64_t end = now_ms() + 3000;
	struct msg_signed answer;

	for (uint32_t i = 1; evil.keys >= 0 && now_ms() < end; i++) {
		int rc = sign(i, content), number;
		if (rc < 0 && rc != -EAGAIN)
			return "end";
		while ((number = evil_receive(
				evil.keys, &got, &payload, rc < 0 ? 1 : 0)) > 0) {
			bool good = msg_signed_get(&answer, payload) && !answer.error;
			signed_n += good;
			refused += !good;
		}
	}
	return told("signed", signed_n, "refused", refused);
}

/* ---- the table of sessions --------------------------------------------------------- */

static struct who_row *
rows_of(size_t *ret_n)
{
	struct stat st;

	if (evil.who < 0 || fstat(evil.who, &st) < 0)
		return NULL;
	*ret_n = (size_t)st.st_size / WHO_ROW;
	void *map = mmap(
		NULL, *ret_n * WHO_ROW, PROT_READ | PROT_WRITE, MAP_SHARED, evil.who, 0);
	return map == MAP_FAILED ? NULL : map;
}

static void
put_row(struct who_row *r, uint64_t session)
{
	static const char name[] = "\x1b[31m\n\"user\": \\ \xff\xfe\0 bert";

	memset((uint8_t *)r + sizeof(r->sequence), 0xff,
		sizeof(*r) - sizeof(r->sequence));
	r->used = 1;
	r->session = session;
	r->user_n = sizeof(name) - 1;
	memcpy(r->user, name, sizeof(name) - 1);
}

/* a: how many rows; a name that would be more than a name. */
ATTACK(who_names)
{
	size_t n = 0, wanted = strtoul(a, NULL, 10);
	struct who_row *rows = rows_of(&n);

	for (size_t i = 0; rows && i < n && i < wanted; i++) {
		put_row(&rows[i], i + 1);
		atomic_store(&rows[i].sequence, 2);
	}
	return told("rows", rows ? (n < wanted ? n : wanted) : 0, NULL, 0);
}

/* b sessions of other fronts, by numbers that those are likely to have, as a's. */
ATTACK(who_claim)
{
	size_t n = 0, wanted = strtoul(b, NULL, 10);
	struct who_row *rows = rows_of(&n);

	for (size_t i = 0; rows && i < n && i < wanted; i++) {
		put_row(&rows[i], (uint64_t)(1 + i / 4) << SESSION_COUNT_BIT | (i % 4));
		rows[i].user_n = (uint8_t)strlen(a);
		memcpy(rows[i].user, a, strlen(a));
		atomic_store(&rows[i].sequence, 2);
	}
	return "said";
}

/* Everything that a row can hold, and nothing that one should. */
ATTACK(who_noise)
{
	size_t n = 0;
	struct who_row *rows = rows_of(&n);
	uint64_t x = 88172645463325252ULL;

	for (size_t i = 0; rows && i < n * WHO_ROW / 8; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		((uint64_t *)(void *)rows)[i] = x;
	}
	return "said";
}

/* Rows that are being written for ever. */
ATTACK(who_odd)
{
	size_t n = 0;
	struct who_row *rows = rows_of(&n);

	for (size_t i = 0; rows && i < n; i++) {
		put_row(&rows[i], i + 1);
		atomic_store(&rows[i].sequence, 1);
	}
	return "said";
}

/* For two seconds, rows that change while they are read. */
ATTACK(who_spin)
{
	size_t n = 0;
	struct who_row *rows = rows_of(&n);
	uint64_t end = now_ms() + 2000;

	for (uint32_t sequence = 2; rows && now_ms() < end; sequence += 2)
		for (size_t i = 0; i < n && i < 64; i++) {
			put_row(&rows[i], sequence);
			atomic_store(&rows[i].sequence, sequence);
		}
	return "said";
}

const struct attack evil_words[] = {
	{"assert_certificate", assert_certificate},
	{"assert_address", assert_address},
	{"respond_for_others", respond_for_others},
	{"talks", talks},
	{"answer_twice", answer_twice},
	{"login_within", login_within},
	{"lie_about_refusal", lie_about_refusal},
	{"lie_flood", lie_flood},
	{"lie_oddly", lie_oddly},
	{"stamp_flood", stamp_flood},
	{"sign_handshake", sign_handshake},
	{"sign_as_client", sign_as_client},
	{"sign_digest", sign_digest},
	{"sign_text", sign_text},
	{"sign_garbage", sign_garbage},
	{"sign_flood", sign_flood},
	{"who_names", who_names},
	{"who_claim", who_claim},
	{"who_noise", who_noise},
	{"who_odd", who_odd},
	{"who_spin", who_spin},
	{NULL, NULL},
};
