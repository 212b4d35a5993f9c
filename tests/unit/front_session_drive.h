/* front_session_drive.h: a session with its outside in the hands of the test. */
#ifndef FRONT_SESSION_DRIVE_H
#define FRONT_SESSION_DRIVE_H

#include "unit.h"

#include "base/check.h"
#include "front/session_state.h"

#include <stdio.h>
#include <string.h>

struct drive {
	struct session s;
	struct session_options options;
	struct snapshot snap;
	uint8_t scratch[SESSION_SCRATCH];
	uint8_t map[4096];
	uint8_t marks[64];
	char said[65536]; /* by the server, since the last drive_say */
	size_t said_n;
	uint64_t now;
};

/* count messages of 100, 200, ... octets with the unique-ids a, b, ... */
static inline void
drive_drop(struct drive *d, uint32_t count, uint32_t seen)
{
	struct buf b = buf_over(d->map, sizeof(d->map));
	uint64_t octets = 50 * (uint64_t)count * (count + 1);

	buf_put_u64(&b, SNAPSHOT_MAGIC);
	buf_put_u32(&b, SNAPSHOT_VERSION);
	buf_put_u32(&b, count);
	buf_put_u64(&b, octets);
	buf_put_u64(&b, count);
	for (uint32_t i = 0; i < count; i++) {
		buf_put_u64(&b, 100 * (i + 1));
		buf_put_u32(&b, i);
		buf_put_u16(&b, 1);
		buf_put_u16(&b, i + 1 == seen ? SNAPSHOT_SEEN : 0);
	}
	for (uint32_t i = 0; i < count; i++)
		buf_put_u8(&b, (uint8_t)('a' + i));
	assert_false(b.full);
	assert_true(snapshot_check(buf_view(&b), &d->snap));
	memset(d->marks, 0, sizeof(d->marks));
}

/* Runs until the session wants something other than room. */
static inline enum session_want
drive_run(struct drive *d, const char *text)
{
	struct view in = {(const uint8_t *)text, strlen(text)};
	enum session_want want;

	do {
		uint8_t storage[SESSION_ROOM];
		struct buf out = buf_over(storage, sizeof(storage));
		want = session_run(&d->s, d->now, &in, &out);
		assert_true(d->said_n + out.n < sizeof(d->said));
		memcpy(d->said + d->said_n, out.p, out.n);
		d->said_n += out.n;
	} while (want == SESSION_WANT_OUTPUT);
	d->said[d->said_n] = '\0';
	return want;
}

static inline enum session_want
drive_say(struct drive *d, const char *text)
{
	d->said_n = 0;
	return drive_run(d, text);
}

static inline void
drive_init(struct drive *d)
{
	*d = (struct drive){.now = 1000};
	d->options = (struct session_options){
		.wire = {.expire_days = POP3_EXPIRE_NEVER, .max_bad_commands = 5},
		.scratch = d->scratch,
		.idle_timeout_s = 600,
		.login_timeout_s = 120,
		.max_login_failures = 3};
	d->options.wire.utf8 = true;
	static const struct session_peer peer = {.tls_available = true,
		.plaintext = true,
		.mechanisms = 1 << MECHANISM_PASS | 1 << MECHANISM_PLAIN |
			1 << MECHANISM_LOGIN | 1 << MECHANISM_SCRAM_SHA_256};
	session_init(&d->s, &d->options, &peer, d->now);
	drive_drop(d, 3, 0);
	assert_int_equal(drive_say(d, ""), SESSION_WANT_INPUT);
	assert_string_equal(d->said, "+OK POP3 server ready\r\n");
}

static inline void
drive_login(struct drive *d, uint8_t rights)
{
	assert_int_equal(
		drive_say(d, "USER kermit\r\nPASS secret\r\n"), SESSION_WANT_LOGIN);
	(void)session_login(&d->s);
	session_login_sent(&d->s);
	session_attached(&d->s, &d->snap, rights, d->marks, d->now);
	assert_int_equal(drive_say(d, ""), SESSION_WANT_INPUT);
}

#endif
