#include "ipc/log.h"

#include "base/check.h"
#include "ipc/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 1024
/* Kept free in every record for what log_send adds: cut=1 and lost=N. */
#define RESERVE 48

/* Where records go. Programs with threads set it before the first one. */
static int log_fd = FD_LOG;
static uint64_t dropped, untold;

void
log_to(int fd)
{
	log_fd = fd;
}

uint64_t
log_dropped(void)
{
	return __atomic_load_n(&dropped, __ATOMIC_RELAXED);
}

void
log_begin(struct log_record *r, enum log_level level, const char *event)
{
	r->buf = buf_over(r->pairs, sizeof(r->pairs) - RESERVE);
	r->event = event;
	r->level = (uint8_t)level;
	r->cut = false;
}

void
log_text(struct log_record *r, const char *key, struct view value)
{
	size_t key_n = strlen(key);

	CHECK(key_n > 0);
	CHECK(key_n <= LOG_KEY_MAX);
	if (value.n > VALUE_MAX)
		value.n = VALUE_MAX;
	/* A pair is whole or not there; log_send says that one is missing. */
	if (buf_room(&r->buf) < 1 + key_n + 2 + value.n) {
		r->cut = true;
		return;
	}
	buf_put_u8(&r->buf, (uint8_t)key_n);
	buf_put(&r->buf, key, key_n);
	buf_put_u16(&r->buf, (uint16_t)value.n);
	buf_put_view(&r->buf, value);
}

void
log_str(struct log_record *r, const char *key, const char *value)
{
	log_text(r, key, (struct view){(const uint8_t *)value, strlen(value)});
}

void
log_number(struct log_record *r, const char *key, uint64_t value)
{
	uint8_t digits[20];
	struct buf b = buf_over(digits, sizeof(digits));

	buf_put_dec(&b, value);
	log_text(r, key, buf_view(&b));
}

void
log_error(struct log_record *r, const char *key, int negative_errno)
{
	/* Not strerror: that one translates, and would open files in a cage. */
	const char *text = strerrordesc_np(-negative_errno);
	char unknown[32];

	if (!text) {
		(void)snprintf(unknown, sizeof(unknown), "error %d", negative_errno);
		text = unknown;
	}
	log_str(r, key, text);
}

void
log_address(struct log_record *r, const char *key, struct view address)
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	char text[INET6_ADDRSTRLEN] = "unknown";

	struct buf b = buf_over((uint8_t *)text, sizeof(text));

	/* By hand: each session is logged twice, and inet_ntop prints as printf does. */
	if (address.n == 16 && memcmp(address.p, mapped, sizeof(mapped)) == 0) {
		for (size_t i = 12; i < 16; i++) {
			if (i > 12)
				buf_put_u8(&b, '.');
			buf_put_dec(&b, address.p[i]);
		}
		log_text(r, key, buf_view(&b));
		return;
	}
	if (address.n == 16)
		(void)inet_ntop(AF_INET6, address.p, text, sizeof(text));
	log_str(r, key, text);
}

void
log_send(struct log_record *r)
{
	uint8_t storage[sizeof(r->pairs) + 128];
	struct buf out = buf_over(storage, sizeof(storage));
	uint64_t lost = __atomic_exchange_n(&untold, 0, __ATOMIC_RELAXED);

	r->buf.cap = sizeof(r->pairs);
	if (r->cut)
		log_number(r, "cut", 1);
	if (lost)
		log_number(r, "lost", lost);
	struct msg_log_record m = {.level = r->level, .pairs = buf_view(&r->buf)};
	m.event = (struct view){(const uint8_t *)r->event, strlen(r->event)};
	msg_log_record_put(&m, &out);
	CHECK(!out.full);
	int err = channel_send(log_fd, buf_view(&out), NULL, 0);
	/* Once more for a want that passes: this may be all that an operator hears. */
	if (err == -EAGAIN)
		err = channel_send(log_fd, buf_view(&out), NULL, 0);
	if (err < 0) {
		__atomic_fetch_add(&untold, lost + 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&dropped, 1, __ATOMIC_RELAXED);
	}
}
