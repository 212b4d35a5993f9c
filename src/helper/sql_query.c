/* The parameters of a query: found as SQL reads it, outside of texts and comments. */
#include "base/ascii.h"
#include "helper/sql.h"

#include <string.h>

/* Behind the text, the quoted name or the comment that begins here; p if none does. */
static const char *
skip_quoted(const char *p)
{
	const char *end;

	if (*p == '\'' || *p == '"') {
		/* A doubled quote is the end of one and the start of the next. */
		end = strchr(p + 1, *p);
		return end ? end + 1 : p + strlen(p);
	}
	if (strncmp(p, "--", 2) == 0)
		return p + strcspn(p, "\n");
	if (strncmp(p, "/*", 2) == 0) {
		end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	return p;
}

const char *
sql_query_read(const char *query, bool ret_uses[SQL_PARAMETERS])
{
	memset(ret_uses, 0, SQL_PARAMETERS * sizeof(*ret_uses));
	for (const char *p = query; *p;) {
		const char *behind = skip_quoted(p);
		if (behind != p) {
			p = behind;
			continue;
		}
		if (*p == '?')
			return "sql_query: write $1, not ?, for the name";
		if (*p == '$' && !ascii_is_digit((uint8_t)p[1]))
			return "sql_query: a $ must be followed by 1, 2 or 3";
		if (*p == '$') {
			int n = p[1] - '1';
			if (n < 0 || n >= SQL_PARAMETERS || ascii_is_digit((uint8_t)p[2]))
				return "sql_query: there are $1 (the name), $2 (the part "
				       "before the @) and $3 (the part behind it), no "
				       "others";
			ret_uses[n] = true;
		}
		p++;
	}
	/* One that finds the same for everybody would let everybody in as the same. */
	if (!ret_uses[0] && !ret_uses[1])
		return "sql_query uses neither $1 (the name) nor $2: every name would "
		       "find "
		       "the same user";
	return NULL;
}
