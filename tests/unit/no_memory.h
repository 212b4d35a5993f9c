/* OpenSSL's memory, of which one allocation fails: number `failing` since `allocations`
 * was last 0; 0: none. no_memory_here() comes before anything of OpenSSL's. */
#ifndef NO_MEMORY_H
#define NO_MEMORY_H

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static size_t allocations, failing;

static inline bool
no_memory_fails(void)
{
	return ++allocations == failing;
}

static inline void *
no_memory_take(size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return no_memory_fails() ? NULL : malloc(n);
}

static inline void *
no_memory_take_again(void *p, size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return no_memory_fails() ? NULL : realloc(p, n);
}

static inline void
no_memory_give(void *p, const char *file, int line)
{
	(void)file, (void)line;
	free(p);
}

static inline bool
no_memory_here(void)
{
	return CRYPTO_set_mem_functions(
		       no_memory_take, no_memory_take_again, no_memory_give) == 1;
}

#endif
