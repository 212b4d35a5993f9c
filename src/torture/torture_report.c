#include "torture/torture_report.h"

#include <stdio.h>

static const char *const words[] = {"ok", "FAIL", "warn", "skip"};
static const char *const results[] = {"ok", "failed", "warning", "skipped"};
static const char *const weights[] = {"must", "should", "robust"};

/* The server's words are anything: only ASCII is shown as it is. */
static void
put_json(const char *name, const char *text)
{
	printf("\"%s\":\"", name);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (*p < 0x20 || *p > 0x7E)
			printf("\\u%04x", *p);
		else
			putchar(*p);
	}
	putchar('"');
}

static void
put_shown(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		putchar(*p < 0x20 || *p > 0x7E ? '?' : *p);
}

static void
put_case_json(const struct torture_case *c)
{
	putchar('{');
	put_json("case", c->id);
	putchar(',');
	put_json("clause", c->clause);
	putchar(',');
	put_json("weight", weights[c->weight]);
	putchar(',');
	put_json("expected", c->expects);
}

void
report_row(const struct torture *all, const struct torture_case *c)
{
	if (all->options.json) {
		put_case_json(c);
		printf("}\n");
		return;
	}
	printf("%-6s  %-26s %-22s %s\n", weights[c->weight], c->id, c->clause,
		c->expects);
}

void
report_case(const struct torture *all, const struct torture_case *c, enum verdict v,
	const char *why, uint64_t ms)
{
	if (all->options.json) {
		put_case_json(c);
		putchar(',');
		put_json("result", results[v]);
		if (why[0]) {
			putchar(',');
			put_json("why", why);
		}
		printf(",\"ms\":%llu}\n", (unsigned long long)ms);
	} else if (!all->options.quiet || v == VERDICT_FAIL || v == VERDICT_WARN) {
		printf("%-4s  %-26s %-22s %s\n", words[v], c->id, c->clause, c->expects);
		if (why[0]) {
			printf("      %-26s ", "");
			put_shown(why);
			putchar('\n');
		}
	}
	(void)fflush(stdout);
}

void
report_end(const struct torture *all, const uint32_t counts[VERDICTS], uint64_t ms)
{
	uint32_t n = 0;

	for (int i = 0; i < VERDICTS; i++)
		n += counts[i];
	if (all->options.json)
		printf("{\"cases\":%u,\"ok\":%u,\"failed\":%u,\"warnings\":%u,"
		       "\"skipped\":%u,\"ms\":%llu}\n",
			n, counts[VERDICT_OK], counts[VERDICT_FAIL], counts[VERDICT_WARN],
			counts[VERDICT_SKIP], (unsigned long long)ms);
	else
		printf("%u cases: %u ok, %u failed, %u warnings, %u skipped, %llu.%llu "
		       "s\n",
			n, counts[VERDICT_OK], counts[VERDICT_FAIL], counts[VERDICT_WARN],
			counts[VERDICT_SKIP], (unsigned long long)(ms / 1000),
			(unsigned long long)(ms % 1000 / 100));
	(void)fflush(stdout);
}
