#include "deliver/deliver_one.h"

#include <stdarg.h>
#include <stdio.h>

int
deliver_fail(int status, const char *code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fprintf(stderr, "%s restante deliver: ", code);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	return status;
}
