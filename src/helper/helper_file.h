/*
 * helper_file.h: a password that stands in a file of its own.
 */
#ifndef HELPER_HELPER_FILE_H
#define HELPER_HELPER_FILE_H

#include "helper/helper.h"

#define HELPER_PASSWORD_MAX 1023

/*
 * The only line of the file that this option names into ret, with a NUL behind it; the
 * empty text where the option is empty. NULL, or what is wrong.
 */
const char *helper_password(
	struct helper *h, const char *option, char ret[HELPER_PASSWORD_MAX + 1]);

#endif
