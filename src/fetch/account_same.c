#include "fetch/account_same.h"

#include "base/check.h"

#include <string.h>

#define TEXT(member) offsetof(struct fetch_account, member)
#define PLAIN(member)                                                                    \
	{                                                                                \
		offsetof(struct fetch_account, member),                                  \
			sizeof(((struct fetch_account *)0)->member)                      \
	}

static const size_t texts[] = {TEXT(name), TEXT(host), TEXT(user), TEXT(password.file),
	TEXT(password.command), TEXT(password.credential), TEXT(password.text),
	TEXT(token_command), TEXT(tls_options.ca_file), TEXT(tls_options.certificate),
	TEXT(tls_options.key), TEXT(auth), TEXT(socks5), TEXT(recipient), TEXT(sender),
	TEXT(smtp_user), TEXT(smtp_password.file), TEXT(smtp_password.command),
	TEXT(smtp_password.credential), TEXT(smtp_password.text), TEXT(filter)};

static const struct {
	size_t at, n;
} plain[] = {PLAIN(port), PLAIN(password.fd), PLAIN(tls), PLAIN(tls_options.pins_n),
	PLAIN(apop), PLAIN(plaintext), PLAIN(forget_tls), PLAIN(targets_n),
	PLAIN(smtp_password.fd), PLAIN(smtp_tls), PLAIN(keep), PLAIN(adopt),
	PLAIN(dry_run), PLAIN(retry_aside), PLAIN(recent), PLAIN(delete_after_ms),
	PLAIN(delete_larger), PLAIN(skip_larger), PLAIN(keep_newest), PLAIN(order),
	PLAIN(commit_messages), PLAIN(commit_after_ms), PLAIN(window),
	PLAIN(messages_max), PLAIN(tries), PLAIN(tombstones_ms), PLAIN(line_ends),
	PLAIN(trace), PLAIN(drop_from_line), PLAIN(timeout_ms), PLAIN(program_timeout_ms),
	PLAIN(poll_ms), PLAIN(poll_min_ms), PLAIN(poll_max_ms)};

static const char *
text_at(const struct fetch_account *a, size_t at)
{
	const char *text;

	memcpy(&text, (const char *)a + at, sizeof(text));
	return text;
}

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool
account_same(const struct fetch_account *a, const struct fetch_account *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (!same_text(text_at(a, texts[i]), text_at(b, texts[i])))
			return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (memcmp((const char *)a + plain[i].at, (const char *)b + plain[i].at,
			    plain[i].n) != 0)
			return false;
	}
	for (size_t i = 0; i < a->targets_n; i++) {
		if (!same_text(a->targets[i].text, b->targets[i].text))
			return false;
	}
	return memcmp(a->tls_options.pins, b->tls_options.pins,
		       a->tls_options.pins_n * TLS_PIN_OCTETS) == 0;
}
