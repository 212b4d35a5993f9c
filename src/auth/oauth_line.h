/*
 * oauth_line.h: the one message of OAUTHBEARER (RFC 7628 s.3.1) and of XOAUTH2. Pure.
 *
 *     n,a=user,^Ahost=mail.example.org^Aport=995^Aauth=Bearer TOKEN^A^A
 *     user=NAME^Aauth=Bearer TOKEN^A^A
 */
#ifndef AUTH_OAUTH_LINE_H
#define AUTH_OAUTH_LINE_H

#include "pop3/view.h"

#include <stdbool.h>

#define OAUTH_LINE_MAX 12288

/* Borrowed. name: who the client claims to be, as written (=2C and =3D in OAUTHBEARER).
 */
struct oauth_line {
	struct view name; /* empty: nobody was claimed; never so in XOAUTH2 */
	struct view token;
};

/* NULL, or what is wrong with it (static text). */
[[nodiscard]] const char *oauth_bearer_read(struct view message, struct oauth_line *ret);
[[nodiscard]] const char *oauth_xoauth2_read(struct view message, struct oauth_line *ret);

#endif
