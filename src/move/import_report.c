#include "move/import_report.h"

#include "move/import_source.h"
#include "move/show.h"

#include <string.h>

#define UIDL_SHOWN 300
#define JSON_MAX   (6 * FOREIGN_UIDL_MAX + 2)

static bool
is_fault(enum import_fate f)
{
	return f == IMPORT_NO_MATCH || f == IMPORT_UNCLEAR || f == IMPORT_ILLEGAL ||
		f == IMPORT_DUPLICATE || f == IMPORT_CONFLICT;
}

/* ---- for people
 * ---------------------------------------------------------------------------- */

static void
say_rows(const struct import *im, const struct import_report *r, FILE *to)
{
	uint32_t shown = 0, left = 0;

	for (uint32_t i = 0; i < im->rows_n; i++) {
		const struct import_row *row = &im->rows[i];
		uint8_t storage[UIDL_SHOWN + 8];
		struct buf b = buf_over(storage, sizeof(storage));

		if (!is_fault((enum import_fate)row->fate))
			continue;
		if (shown++ >= IMPORT_SHOWN_MAX) {
			left++;
			continue;
		}
		show_printable(&b, row->uidl, UIDL_SHOWN);
		(void)fprintf(to, "%s: %u: UIDL %.*s: %s\n", r->label, row->line,
			(int)b.n, (const char *)b.p,
			import_fate_why((enum import_fate)row->fate));
	}
	if (left > 0)
		(void)fprintf(to, "%s: and %u more\n", r->label, left);
}

static void
say_bad(const struct import_report *r, FILE *to)
{
	const char *line = r->bad;

	while (line && *line) {
		const char *end = strchr(line, '\n');
		size_t n = end ? (size_t)(end - line) : strlen(line);
		(void)fprintf(to, "%s: %.*s\n", r->label, (int)n, line);
		line += end ? n + 1 : n;
	}
}

static void
say_summary(const struct import *im, const struct import_report *r, FILE *to)
{
	(void)fprintf(to, "%s: %simported %u of %u", r->label,
		r->dry_run ? "would have " : "", im->counts[IMPORT_TAKEN], im->rows_n);
	for (int f = IMPORT_KEPT; f < IMPORT_FATE_COUNT; f++)
		if (f <= IMPORT_NO_MATCH || im->counts[f] > 0)
			(void)fprintf(to, ", %s %u",
				import_fate_word((enum import_fate)f), im->counts[f]);
	if (im->renamed > 0)
		(void)fprintf(to, ", renamed %u", im->renamed);
	(void)fprintf(to, ", not in the list %u\n", im->strangers);
	if (im->longs > 0)
		(void)fprintf(to,
			"%s: %u UIDLs have more than 70 octets (RFC 1939 s.7); they are "
			"kept, for the clients know them\n",
			r->label, im->longs);
}

/* ---- for programs
 * ---------------------------------------------------------------------------- */

static void
put_json(FILE *to, struct view v)
{
	uint8_t storage[JSON_MAX];
	struct buf b = buf_over(storage, sizeof(storage));

	if (v.n > FOREIGN_UIDL_MAX)
		v.n = FOREIGN_UIDL_MAX;
	show_json(&b, v);
	(void)fwrite(b.p, 1, b.n, to);
}

static void
json_rows(const struct import *im, FILE *to)
{
	uint32_t shown = 0;

	(void)fputs(", \"faults\": [", to);
	for (uint32_t i = 0; i < im->rows_n && shown < 10 * IMPORT_SHOWN_MAX; i++) {
		const struct import_row *row = &im->rows[i];
		if (!is_fault((enum import_fate)row->fate))
			continue;
		(void)fprintf(to, "%s{\"line\": %u, \"what\": ", shown++ > 0 ? ", " : "",
			row->line);
		put_json(to, show_view(import_fate_word((enum import_fate)row->fate)));
		(void)fputs(", \"uidl\": ", to);
		put_json(to, row->uidl);
		(void)fputc('}', to);
	}
	(void)fputs("]", to);
}

static void
json_bad(const struct import_report *r, FILE *to)
{
	const char *line = r->bad;
	bool first = true;

	(void)fputs(", \"unreadable lines\": [", to);
	while (line && *line) {
		const char *end = strchr(line, '\n');
		size_t n = end ? (size_t)(end - line) : strlen(line);
		if (!first)
			(void)fputs(", ", to);
		first = false;
		put_json(to, (struct view){(const uint8_t *)line, n});
		line += end ? n + 1 : n;
	}
	(void)fputs("]", to);
}

static void
say_json(const struct import *im, const struct import_report *r, FILE *to)
{
	(void)fputs("{\"maildrop\": ", to);
	put_json(to, show_view(r->label));
	(void)fprintf(to, ", \"dry run\": %s, \"rows\": %u",
		r->dry_run ? "true" : "false", im->rows_n);
	for (int f = IMPORT_TAKEN; f < IMPORT_FATE_COUNT; f++)
		(void)fprintf(to, ", \"%s\": %u", import_fate_word((enum import_fate)f),
			im->counts[f]);
	(void)fprintf(to, ", \"renamed\": %u, \"not in the list\": %u, \"long\": %u",
		im->renamed, im->strangers, im->longs);
	json_rows(im, to);
	json_bad(r, to);
	(void)fputs("}\n", to);
}

void
import_report(
	const struct import *im, const struct import_report *r, FILE *out, FILE *reasons)
{
	if (r->json) {
		say_json(im, r, out);
		return;
	}
	say_bad(r, reasons);
	say_rows(im, r, reasons);
	say_summary(im, r, out);
}
