/*
 * secret_ask.h: the two sources of secrets that talk back, for secret.c alone, and the
 * memory they read into.
 */
#ifndef FETCH_SECRET_ASK_H
#define FETCH_SECRET_ASK_H

#include "fetch/secret.h"

/* Room for the longest secret, its line end, and one octet that shows one longer. */
#define SECRET_READ_MAX	  (SECRET_OCTETS_MAX + 3)
#define SECRET_COMMAND_MS 30000

/* Pages of their own, locked and kept out of core dumps as far as that is allowed. n is
 * that of the allocation. */
uint8_t *secret_memory(size_t n);
void secret_memory_free(uint8_t *p, size_t n);
/* The first line of p as a secret; source: what to call where it came from. */
[[nodiscard]] int secret_make(const uint8_t *p, size_t n, const char *source,
	struct secret *ret, char *why, size_t why_n);

/* source: the option's name. */
[[nodiscard]] int secret_ask_command(const char *command, const char *source,
	struct secret *ret, char *why, size_t why_n);
/* The same with another limit of time; it counts only where there is no terminal. */
[[nodiscard]] int secret_ask_command_within(const char *command, const char *source,
	uint64_t limit_ms, struct secret *ret, char *why, size_t why_n);
[[nodiscard]] int secret_ask_person(
	const char *prompt, struct secret *ret, char *why, size_t why_n);

#endif
