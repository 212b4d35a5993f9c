#include "move/compare_report.h"

#include "move/show.h"

#include <inttypes.h>
#include <string.h>

/* A UIDL of a whole row, every octet as %XX or \u00XX. */
#define UIDL_SHOWN_MAX 1024
#define SHOWN_OCTETS   (6 * UIDL_SHOWN_MAX + 64)

static void
tell(struct compare_sink *s, enum difference what, const struct compare_message *old,
	const struct compare_message *new)
{
	compare_report_tell((struct compare_report *)(void *)s, what, old, new, NULL);
}

void
compare_report_init(struct compare_report *r, FILE *out, const char *who, bool json)
{
	*r = (struct compare_report){
		.sink = {tell}, .out = out, .who = who, .json = json};
}

static struct view
shortened(struct view v)
{
	if (v.n > UIDL_SHOWN_MAX)
		v.n = UIDL_SHOWN_MAX;
	return v;
}

/* Names come from a file, UIDLs from servers: neither gets onto a terminal as it is. */
static void
put_text(struct compare_report *r, struct view v, bool word)
{
	uint8_t storage[SHOWN_OCTETS];
	struct buf b = buf_over(storage, sizeof(storage));

	if (word && v.n > 0)
		show_word(&b, shortened(v));
	else
		show_printable(&b, v, UIDL_SHOWN_MAX);
	(void)fwrite(b.p, 1, b.n, r->out);
}

static void
put_json(struct compare_report *r, struct view v)
{
	uint8_t storage[SHOWN_OCTETS];
	struct buf b = buf_over(storage, sizeof(storage));

	show_json(&b, shortened(v));
	(void)fwrite(b.p, 1, b.n, r->out);
}

static void
put_side(struct compare_report *r, const char *side, const struct compare_message *m)
{
	fprintf(r->out, "%s %" PRIu32 " (", side, m->number);
	put_text(r, m->uidl.p ? m->uidl : show_view("no UIDL"), m->uidl.p != NULL);
	fprintf(r->out, ", %" PRIu64 " octets)", m->size);
}

static void
put_side_json(struct compare_report *r, const char *side, const struct compare_message *m)
{
	fprintf(r->out, ",\"%s\":{\"number\":%" PRIu32 ",\"size\":%" PRIu64, side,
		m->number, m->size);
	if (m->uidl.p) {
		fputs(",\"uidl\":", r->out);
		put_json(r, m->uidl);
	}
	fputc('}', r->out);
}

static void
print_json(struct compare_report *r, enum difference what, bool safe,
	const struct compare_message *old, const struct compare_message *new,
	const char *words)
{
	fputs("{\"user\":", r->out);
	put_json(r, show_view(r->who));
	fprintf(r->out, ",\"difference\":\"%s\",\"safe\":%s", difference_word(what),
		safe ? "true" : "false");
	if (old)
		put_side_json(r, "old", old);
	if (new)
		put_side_json(r, "new", new);
	if (words) {
		fputs(",\"about\":", r->out);
		put_json(r, show_view(words));
	}
	fprintf(r->out, ",\"text\":\"%s\"}\n", difference_text(what));
}

static void
print_text(struct compare_report *r, enum difference what, bool safe,
	const struct compare_message *old, const struct compare_message *new,
	const char *words)
{
	put_text(r, show_view(r->who), false);
	fprintf(r->out, ": %s%s: ", difference_word(what), safe ? " (harmless)" : "");
	if (old)
		put_side(r, "OLD", old);
	if (old && new)
		fputs(", ", r->out);
	if (new)
		put_side(r, "NEW", new);
	if (words)
		put_text(r, show_view(words), false);
	fprintf(r->out, ": %s\n", difference_text(what));
}

void
compare_report_tell(struct compare_report *r, enum difference what,
	const struct compare_message *old, const struct compare_message *new,
	const char *words)
{
	bool safe = difference_is_safe(what) || (r->ignore && r->ignore[what]);

	r->counts[what]++;
	if (safe)
		r->told++;
	else
		r->serious++;
	if (safe && r->quiet)
		return;
	if (r->lines_max > 0 && r->counts[what] > r->lines_max)
		return;
	(r->json ? print_json : print_text)(r, what, safe, old, new, words);
}

/* ---- the end ---- */

static void
end_json(struct compare_report *r, const struct compare_pair *p, uint64_t digests)
{
	const char *comma = "";

	fputs("{\"user\":", r->out);
	put_json(r, show_view(r->who));
	fprintf(r->out,
		",\"result\":\"%s\",\"old_messages\":%" PRIu32
		",\"new_messages\":%" PRIu32 ",\"headers\":%" PRIu64 ",\"differences\":{",
		r->serious == 0 ? "safe" : "not safe", p->old.n, p->new.n, digests);
	for (size_t i = 0; i < DIFFERENCES; i++) {
		if (r->counts[i] == 0)
			continue;
		fprintf(r->out, "%s\"%s\":%" PRIu64, comma,
			difference_word((enum difference)i), r->counts[i]);
		comma = ",";
	}
	fputs("}}\n", r->out);
}

void
compare_report_end(struct compare_report *r, const struct compare_pair *p,
	uint64_t old_digests, uint64_t new_digests)
{
	uint64_t digests = old_digests < new_digests ? old_digests : new_digests;

	if (r->json) {
		end_json(r, p, digests);
		return;
	}
	put_text(r, show_view(r->who), false);
	fprintf(r->out,
		": %s: %" PRIu32 " messages on OLD, %" PRIu32 " on NEW, %" PRIu64
		" compared by header; differences: %" PRIu64 " serious, %" PRIu64
		" harmless\n",
		r->serious == 0 ? "safe" : "not safe", p->old.n, p->new.n, digests,
		r->serious, r->told);
}

void
compare_report_failed(struct compare_report *r, const char *why)
{
	if (r->json) {
		fputs("{\"user\":", r->out);
		put_json(r, show_view(r->who));
		fputs(",\"result\":\"not asked\",\"why\":", r->out);
		put_json(r, show_view(why));
		fputs("}\n", r->out);
		return;
	}
	put_text(r, show_view(r->who), false);
	fprintf(r->out, ": could not be asked: %s\n", why);
}

bool
compare_ignore_read(const char *text, bool ignore[DIFFERENCES], char *why, size_t why_n)
{
	while (*text) {
		size_t n = strcspn(text, ","), i = 0;

		while (i < DIFFERENCES &&
			(strlen(difference_word((enum difference)i)) != n ||
				strncmp(difference_word((enum difference)i), text, n) !=
					0))
			i++;
		if (i == DIFFERENCES) {
			(void)snprintf(why, why_n,
				"there is no difference '%.*s'; restante-compare(1) "
				"lists "
				"them",
				(int)(n < 40 ? n : 40), text);
			return false;
		}
		ignore[i] = true;
		text += n + (text[n] == ',');
	}
	return true;
}
