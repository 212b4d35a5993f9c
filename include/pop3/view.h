/*
 * view.h: borrowed bytes.
 *
 * A view is a pointer and a length, passed by value. It owns nothing, is not
 * terminated by NUL and may hold any octet. It lives as long as the buffer it
 * was made from; each function that gives one says how long that is.
 */
#ifndef POP3_VIEW_H
#define POP3_VIEW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define POP3_C_BEGIN extern "C" {
#define POP3_C_END   }
#else
#define POP3_C_BEGIN
#define POP3_C_END
#endif

struct view {
	const uint8_t *p;
	size_t n;
};

/* A view of a string literal, without its NUL. */
#ifdef __cplusplus
#define VIEW(literal) (view{(const uint8_t *)"" literal, sizeof(literal) - 1})
#else
#define VIEW(literal) ((struct view){(const uint8_t *)"" literal, sizeof(literal) - 1})
#endif

#endif
