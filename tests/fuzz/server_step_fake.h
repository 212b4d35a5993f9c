/* server_step_fake.h: the outside of a session, as a fuzzer's input wants it. */
#ifndef SERVER_STEP_FAKE_H
#define SERVER_STEP_FAKE_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "front/session_state.h"

#include <string.h>

#define FAKE_MESSAGES 20

struct fake {
	struct session s;
	struct session_options options;
	struct cursor input; /* what is left of the fuzzer's octets */
	struct view in;	     /* what the session has been offered and not taken */
	struct snapshot snap;
	uint8_t map[1024], marks[3], scratch[SESSION_SCRATCH];
	uint64_t now;
	uint32_t in_row; /* answers of session_run without progress */
	bool quit_asked, attached;
	bool talking;		 /* auth waits for a RESPONSE */
	uint8_t mechanism;	 /* ... of this one */
	uint8_t challenge[3000]; /* what auth says, borrowed by the session */
};

static inline void
fake_snapshot(struct fake *f)
{
	struct buf b = buf_over(f->map, sizeof(f->map));

	buf_put_u64(&b, SNAPSHOT_MAGIC);
	buf_put_u32(&b, SNAPSHOT_VERSION);
	buf_put_u32(&b, FAKE_MESSAGES);
	buf_put_u64(&b, 1000 * FAKE_MESSAGES);
	buf_put_u64(&b, 26);
	/* Rows 4, 8 ... have a second size behind their UIDL: the letters it is made of.
	 */
	for (uint32_t i = 0; i < FAKE_MESSAGES; i++) {
		buf_put_u64(&b, 1000);
		buf_put_u32(&b, i);
		buf_put_u16(&b, 1 + i % 3);
		buf_put_u16(&b, (i & 1) | (i % 4 == 3 && i < 16 ? SNAPSHOT_UTF8 : 0));
	}
	buf_put_str(&b, "abcdefghijklmnopqrstuvwxyz");
	CHECK(snapshot_check(buf_view(&b), &f->snap));
}

static inline void
fake_init(struct fake *f, struct view input)
{
	*f = (struct fake){.input = cursor_over(input), .now = 1};
	uint8_t how = cursor_u8(&f->input);
	struct session_peer peer = {.tls = how & 2,
		.tls_available = how & 4,
		.plaintext = how & 8,
		.xclient = how & 16,
		.kpop = (how & 0x31) == 0x31,
		.mechanisms = how & 1 ? UINT32_MAX
				      : 1 << MECHANISM_PASS | 1 << MECHANISM_PLAIN};

	f->options = (struct session_options){.scratch = f->scratch,
		.idle_timeout_s = 600,
		.login_timeout_s = 120,
		.max_login_failures = 1 + (how >> 6),
		.wire = {.hostname = VIEW("h"),
			.implementation = VIEW("i"),
			.last = how & 64,
			.utf8 = how & 32,
			.language = how & 64 ? POP3_GERMAN : POP3_ENGLISH,
			.max_bad_commands = how & 128 ? 4 : 0}};
	fake_snapshot(f);
	session_init(&f->s, &f->options, &peer, f->now);
	session_bound(&f->s, how & 32, how & 64);
	f->talking = peer.kpop;
	f->mechanism = MECHANISM_KPOP;
}

/* Every line is one of ours: it starts as a reply or a row does, and is printable. */
static inline void
fake_check_output(struct view out)
{
	CHECK(out.n == 0 ||
		(out.p[out.n - 1] == '\n' && out.n >= 2 && out.p[out.n - 2] == '\r'));
	for (size_t i = 0; i < out.n; i++) {
		bool end = out.p[i] == '\r' && i + 1 < out.n && out.p[i + 1] == '\n';
		CHECK(end || out.p[i] == '\n' || (out.p[i] >= 0x20 && out.p[i] <= 0x7E));
		CHECK(out.p[i] != '\n' || (i > 0 && out.p[i - 1] == '\r'));
	}
}

/* More octets of the client, right behind those that were not taken; false at the end. */
static inline bool
fake_more_input(struct fake *f)
{
	size_t n = 1 + cursor_u8(&f->input);

	if (f->input.n == 0)
		return false;
	if (n > f->input.n)
		n = f->input.n;
	struct view v = cursor_take(&f->input, n);
	if (f->in.n == 0)
		f->in.p = v.p;
	else /* the octet that said how many lies in between: it belongs to them too */
		v.n += (size_t)(v.p - (f->in.p + f->in.n));
	f->in.n += v.n;
	return true;
}

static inline void
fake_answer_login(struct fake *f, uint8_t pick)
{
	struct session_login l = session_login(&f->s);

	CHECK(l.response.n <= SESSION_SCRATCH);
	bool named = l.mechanism == MECHANISM_PASS || l.mechanism == MECHANISM_APOP;
	CHECK(named || l.name.n == 0);
	CHECK(l.continues == f->talking);
	CHECK(!l.continues || l.mechanism == f->mechanism);
	f->mechanism = (uint8_t)l.mechanism;
	if (!l.continues)
		session_set_id(&f->s, pick);
	f->talking = false;
	session_login_sent(&f->s);
	if ((pick & 7) == 2) {
		struct view say = {f->challenge, pick * 11U};
		f->talking = session_challenge(&f->s, say, f->now);
		CHECK(f->talking != (named || l.mechanism == MECHANISM_KPOP));
		if (f->talking)
			return;
	}
	if (pick & 1) {
		memset(f->marks, 0, sizeof(f->marks));
		session_identified(&f->s, pick, pick);
		session_attached(&f->s, &f->snap, pick >> 1, f->marks, f->now);
		f->attached = true;
		return;
	}
	struct view holder = {f->map, pick & 2 ? 16 : pick & 4};
	session_refused(&f->s, pick >> 3, pick & 8 ? 500 : 0, holder, pick, f->now, 200);
}

static inline void
fake_answer_verdict(struct fake *f, uint8_t pick)
{
	uint32_t count, bits = 0;
	struct view marks = session_marks(&f->s, &count);

	CHECK(marks.n == sizeof(f->marks));
	for (size_t i = 0; i < marks.n; i++)
		bits += (uint32_t)__builtin_popcount(marks.p[i]);
	CHECK(bits == count);
	CHECK(f->attached);
	session_committed(&f->s, pick & 7, pick >> 3, pick >> 5);
	f->quit_asked = true;
}

static inline bool
fake_meet(struct fake *f, enum session_want want, uint8_t pick)
{
	switch (want) {
	case SESSION_WANT_INPUT: return fake_more_input(f);
	case SESSION_WANT_OUTPUT: break;
	case SESSION_WANT_DELAY: f->now = session_delay_until(&f->s); break;
	case SESSION_WANT_TLS:
		f->in.n = 0;
		session_tls_started(&f->s, f->now);
		break;
	case SESSION_WANT_LOGIN: fake_answer_login(f, pick); break;
	case SESSION_WANT_STAMP:
		session_stamp(&f->s, pick & 1 ? VIEW("<1.2@h>") : (struct view){0});
		break;
	case SESSION_WANT_PEER: {
		struct pop3_peer asked = session_new_peer(&f->s);
		CHECK(asked.has_port || asked.port == 0);
		session_peer_changed(&f->s,
			&(struct session_peer){.plaintext = pick & 1,
				.xclient = pick & 2,
				.mechanisms = pick & 4 ? UINT32_MAX : 0});
		break;
	}
	case SESSION_WANT_SLICE:
		CHECK(session_msgno(&f->s) >= 1);
		CHECK(session_msgno(&f->s) <= FAKE_MESSAGES);
		if (pick & 1)
			session_slice(&f->s, pick);
		else
			session_no_slice(&f->s, pick & 2);
		break;
	case SESSION_WANT_BODY:
		CHECK(session_body(&f->s).msgno >= 1);
		session_body_sent(&f->s, f->now);
		break;
	case SESSION_WANT_COMMIT: fake_answer_verdict(f, pick); break;
	case SESSION_WANT_CLOSE: return false;
	}
	return true;
}

/* One call and its answer; false at the end of the session or the input. */
static inline bool
fake_run(struct fake *f)
{
	uint8_t storage[SESSION_ROOM + 100];
	struct buf out = buf_over(storage, sizeof(storage));
	size_t before = f->in.n;
	enum session_want want = session_run(&f->s, f->now, &f->in, &out);

	/* A line of a challenge comes in pieces; all else whole. */
	if (want != SESSION_WANT_OUTPUT)
		fake_check_output(buf_view(&out));
	if (session_owes_cancel(&f->s)) {
		CHECK(f->talking);
		f->talking = false;
		session_cancelled(&f->s);
	}
	CHECK(f->in.n <= before);
	f->in_row = out.n > 0 || f->in.n < before || want == SESSION_WANT_INPUT
		? 0
		: f->in_row + 1;
	CHECK(f->in_row < 4);
	/* Deleted only behind a verdict, and a verdict only behind QUIT. */
	CHECK(session_counts(&f->s)->deleted == 0 || f->quit_asked);
	uint8_t pick = want == SESSION_WANT_INPUT ? 0 : cursor_u8(&f->input);
	if ((pick & 0xF0) == 0xF0) {
		f->in_row = 0;
		f->now += pick * UINT64_C(1000);
		session_expire(&f->s, f->now);
		if (pick & 8)
			session_end(&f->s, (enum session_reason)(pick & 7));
		return want != SESSION_WANT_CLOSE;
	}
	return fake_meet(f, want, pick);
}

#endif
