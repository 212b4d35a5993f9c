#include "ctl/sandbox_office.h"

#include <stdarg.h>
#include <stdio.h>

int
office_say(int status, const char *format, ...)
{
	va_list ap;
	char line[2048];

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	fprintf(stderr, "restante sandbox: %s\n", line);
	return status;
}
