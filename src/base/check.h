/*
 * check.h: what must hold if we made no mistake ourselves.
 *
 * CHECK stays on in production. It is never applied to bytes from outside,
 * which includes every message from another process: those get an outcome.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>
#include <stdint.h>

#define CHECK(cond)   ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))
#define UNREACHABLE() check_failed(__FILE__, __LINE__, "unreachable")
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Traps (SIGILL): a core dump shows the arguments. Makes no system call. */
[[gnu::noreturn]] void check_failed(const char *file, int line, const char *cond);

#endif
