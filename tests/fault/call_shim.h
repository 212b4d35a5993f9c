/*
 * call_shim.h: how call_shim.c counts, and how its calls are made: a function of the same
 * name which may fail, and the next of that name behind it.
 */
#ifndef FAULT_CALL_SHIM_H
#define FAULT_CALL_SHIM_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What the test and the program share; test_calls.py has the same places. */
struct shim_page {
	uint32_t armed;	 /* bits: SHIM_CALLS, SHIM_ALLOCATIONS */
	uint32_t n;	 /* this one fails, counted from 1 */
	uint32_t pick;	 /* with which of its errors */
	uint32_t wraps;	 /* a pick beyond the last error is the first again */
	uint32_t count;	 /* of the calls since it was armed */
	int32_t hit;	 /* errno; -1: fewer octets; 0: none yet, or no such error */
	char name[40];	 /* of the call that has the number n */
	uint64_t caller; /* of an allocation: where in the program, or in a library */
};

enum { SHIM_CALLS = 1, SHIM_ALLOCATIONS = 2 };

/* Counts it. True: it fails, errno is set. */
bool shim_fails(const char *name, const int *errors, size_t n);
/* The same where fewer octets may pass, which comes after all errors. */
enum shim_verdict { SHIM_PASS, SHIM_FAIL, SHIM_SHORT };
enum shim_verdict shim_octets(
	const char *name, const int *errors, size_t n, bool may_be_short);
bool shim_starves(const char *name, const void *caller);

/* Streams may give and take less than asked; message channels never do. */
void shim_is_stream(int fd, bool is);
bool shim_is_stream_now(int fd);

/* The real one, looked for once. */
#define SHIM_CALLER __builtin_extract_return_addr(__builtin_return_address(0))

#define SHIM_NEXT(name)                                                                  \
	({                                                                               \
		static void *next_;                                                      \
		if (!next_)                                                              \
			next_ = dlsym(RTLD_NEXT, #name);                                 \
		(__typeof__(&name))next_;                                                \
	})

#define CALL(type, name, params, args, ...)                                              \
	type name params                                                                 \
	{                                                                                \
		static const int errors[] = {__VA_ARGS__};                               \
		if (shim_fails(#name, errors, ARRAY_SIZE(errors)))                       \
			return -1;                                                       \
		return SHIM_NEXT(name) args;                                             \
	}

/* n in args is how many octets were asked for. */
#define OCTETS(type, name, params, args, may_be_short, ...)                              \
	type name params                                                                 \
	{                                                                                \
		static const int errors[] = {__VA_ARGS__};                               \
		switch (shim_octets(#name, errors, ARRAY_SIZE(errors), may_be_short)) {  \
		case SHIM_FAIL: return -1;                                               \
		case SHIM_SHORT: n = n > 1 ? n / 2 : n; break;                           \
		case SHIM_PASS: break;                                                   \
		}                                                                        \
		return SHIM_NEXT(name) args;                                             \
	}

#endif
