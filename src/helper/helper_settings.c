/* What a helper knows of the configuration, and what it says of itself. */
#include "base/num.h"
#include "helper/helper_state.h"
#include "ipc/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DETAIL_MAX 256

bool
helper_take_settings(struct helper *h, struct view settings)
{
	size_t ends = 0;

	if (settings.n > HELPER_SETTINGS_MAX)
		return false;
	for (size_t i = 0; i < settings.n; i++)
		ends += settings.p[i] == 0;
	/* Pairs, and the last one has its end too. */
	if (ends % 2 != 0 || (settings.n > 0 && settings.p[settings.n - 1] != 0))
		return false;
	if (settings.n > 0)
		memcpy(h->settings, settings.p, settings.n);
	h->settings[settings.n] = 0;
	h->settings_n = settings.n;
	return true;
}

const char *
helper_setting(const struct helper *h, const char *name)
{
	const char *at = h->settings, *end = h->settings + h->settings_n;

	while (at < end) {
		const char *value = at + strlen(at) + 1;
		if (strcmp(at, name) == 0)
			return value;
		at = value + strlen(value) + 1;
	}
	return "";
}

uint64_t
helper_number(const struct helper *h, const char *name)
{
	const char *text = helper_setting(h, name);
	uint64_t n = 0;

	(void)!num_decimal(
		(struct view){(const uint8_t *)text, strlen(text)}, UINT64_MAX, &n);
	return n;
}

const char *
helper_hostname(const struct helper *h)
{
	return h->hostname;
}

uint32_t
helper_timeout_ms(const struct helper *h)
{
	return h->timeout_ms;
}

void
helper_keep(struct helper *h, void *state)
{
	h->state = state;
}

void *
helper_state(struct helper *h)
{
	return h->state;
}

const char *
helper_why(struct helper *h, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(h->why, sizeof(h->why), fmt, args);
	va_end(args);
	return h->why;
}

void
helper_log(const char *event, const char *what, const char *detail)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_WARNING, event);
	log_str(&r, "what", what);
	if (detail && *detail)
		log_text(&r, "detail",
			(struct view){
				(const uint8_t *)detail, strnlen(detail, DETAIL_MAX)});
	log_send(&r);
}
