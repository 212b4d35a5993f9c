#include "control/core.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "control/control_who.h"

#include <string.h>

static uint64_t
saturating_add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- slots -------------------------------------------------------------------- */

/* Names go into labels and JSON as they are. */
static bool
program_is_plain(struct view name)
{
	if (name.n == 0 || name.n > CORE_PROGRAM_OCTETS_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t octet = name.p[i];

		if (!(octet >= 'a' && octet <= 'z') && !ascii_is_digit(octet) &&
			octet != '-')
			return false;
	}
	return true;
}

static bool
slot_is_of(const struct core_slot *slot, struct view program)
{
	return strlen(slot->program) == program.n &&
		memcmp(slot->program, program.p, program.n) == 0;
}

static size_t
programs_known(const struct core *c, struct view but)
{
	size_t n = 0;

	for (size_t i = 0; i < c->slots_n; i++) {
		const struct core_slot *slot = &c->slots[i];
		bool first = true;

		for (size_t j = 0; j < i && first; j++)
			first = strcmp(c->slots[j].program, slot->program) != 0;
		n += first && !slot_is_of(slot, but);
	}
	return n;
}

static struct core_slot *
slot_for(struct core *c, struct view program, uint32_t index)
{
	uint32_t capped = index < CORE_INDEXES_MAX ? index : CORE_INDEXES_MAX - 1;

	for (size_t i = 0; i < c->slots_n; i++)
		if (c->slots[i].index == capped && slot_is_of(&c->slots[i], program))
			return &c->slots[i];
	if (programs_known(c, program) >= CORE_PROGRAMS_MAX)
		return NULL;

	CHECK(c->slots_n < CORE_SLOTS_MAX);
	struct core_slot *slot = &c->slots[c->slots_n++];
	*slot = (struct core_slot){.index = capped};
	memcpy(slot->program, program.p, program.n);
	return slot;
}

/* ---- sources ------------------------------------------------------------------ */

enum core_added
core_add(struct core *c, struct view program, struct core_source *s)
{
	CHECK(s->page != NULL);
	if (!program_is_plain(program))
		return CORE_BAD_NAME;

	s->slot = slot_for(c, program, s->index);
	if (!s->slot)
		return CORE_TOO_MANY_PROGRAMS;
	memset(s->seen, 0, sizeof(s->seen));
	s->next = c->sources;
	c->sources = s;
	return CORE_ADDED;
}

static void
source_refresh(struct core_source *s)
{
	for (size_t i = 0; i < STAT_COUNT; i++) {
		uint64_t now = __atomic_load_n(&s->page[i], __ATOMIC_RELAXED);

		if (stat_rows[i].kind == STAT_GAUGE || now > s->seen[i])
			s->seen[i] = now;
	}
}

void
core_refresh(struct core *c)
{
	for (size_t i = 0; i < c->slots_n; i++)
		memset(c->slots[i].live, 0, sizeof(c->slots[i].live));
	for (struct core_source *s = c->sources; s; s = s->next) {
		source_refresh(s);
		for (size_t i = 0; i < STAT_COUNT; i++)
			s->slot->live[i] = saturating_add(s->slot->live[i], s->seen[i]);
	}
}

struct core_source *
core_remove(struct core *c, uint32_t pid)
{
	struct core_source **at = &c->sources;

	while (*at && (*at)->pid != pid)
		at = &(*at)->next;

	struct core_source *s = *at;
	if (!s)
		return NULL;
	source_refresh(s);
	for (size_t i = 0; i < STAT_COUNT; i++)
		if (stat_rows[i].kind == STAT_COUNTER)
			s->slot->gone[i] = saturating_add(s->slot->gone[i], s->seen[i]);
	*at = s->next;
	s->next = NULL;
	s->slot = NULL;
	return s;
}

uint64_t
core_slot_value(const struct core_slot *slot, enum stat_id id)
{
	return saturating_add(slot->gone[id], slot->live[id]);
}

uint64_t
core_total(const struct core *c, enum stat_id id)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->slots_n; i++)
		sum = saturating_add(sum, core_slot_value(&c->slots[i], id));
	return sum;
}

/* ---- requests ------------------------------------------------------------------ */

enum core_command
core_command(struct view line, struct view *ret_words)
{
	static const struct {
		struct view text;
		enum core_command command;
	} with_words[] =
		{
			{VIEW("kick "), CORE_COMMAND_KICK},
			{VIEW("why "), CORE_COMMAND_WHY},
		},
	  rows[] = {
		  {VIEW("stat"), CORE_COMMAND_STAT},
		  {VIEW("stat prometheus"), CORE_COMMAND_PROMETHEUS},
		  {VIEW("stat json"), CORE_COMMAND_JSON},
		  {VIEW("processes"), CORE_COMMAND_PROCESSES},
		  {VIEW("reload"), CORE_COMMAND_RELOAD},
		  {VIEW("drain"), CORE_COMMAND_DRAIN},
		  {VIEW("who"), CORE_COMMAND_WHO},
		  {VIEW("who json"), CORE_COMMAND_WHO_JSON},
	  };

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	line = ascii_trim_end(line);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (view_equal(line, rows[i].text))
			return rows[i].command;
	for (size_t i = 0; i < ARRAY_SIZE(with_words); i++) {
		size_t n = with_words[i].text.n;
		if (line.n <= n || memcmp(line.p, with_words[i].text.p, n) != 0)
			continue;
		*ret_words = (struct view){line.p + n, line.n - n};
		return with_words[i].command;
	}
	return CORE_COMMAND_UNKNOWN;
}

/* Up to the next blank, which is taken off too. */
static struct view
next_argument(struct view *words)
{
	struct view one = {words->p, 0};

	while (one.n < words->n && words->p[one.n] != ' ')
		one.n++;
	size_t taken = one.n + (one.n < words->n);
	words->p += taken;
	words->n -= taken;
	return one;
}

bool
core_why_read(struct view words, struct core_why *ret)
{
	struct core_why w = {0};
	struct view kind = next_argument(&words);
	uint64_t n;

	if (view_equal(kind, VIEW("id"))) {
		if (!num_decimal(words, UINT32_MAX, &n))
			return false;
		w.id = (uint32_t)n;
		*ret = w;
		return true;
	}
	if (!view_equal(kind, VIEW("login")) ||
		!who_read_hex(next_argument(&words), w.address, sizeof(w.address)))
		return false;
	struct view tls = next_argument(&words);
	w.tls = view_equal(tls, VIEW("yes"));
	if (!w.tls && !view_equal(tls, VIEW("no")))
		return false;
	if (!num_decimal(next_argument(&words), UINT8_MAX, &n))
		return false;
	w.mechanism = (uint8_t)n;
	w.name = words;
	*ret = w;
	return words.n > 0 && words.n <= 1024;
}

/* The head is over at an empty line; line ends may lack their CR (RFC 1945 appendix B).
 */
static bool
http_head_is_over(struct view r)
{
	for (size_t i = 1; i < r.n; i++) {
		if (r.p[i] != '\n')
			continue;
		if (r.p[i - 1] == '\n')
			return true;
		if (i >= 2 && r.p[i - 1] == '\r' && r.p[i - 2] == '\n')
			return true;
	}
	return false;
}

/* The octets up to the next blank or end of line, taken off the front of *line. */
static struct view
next_word(struct view *line)
{
	struct view word = {line->p, 0};

	while (word.n < line->n && ascii_is_graph(line->p[word.n]))
		word.n++;
	line->p += word.n;
	line->n -= word.n;
	return word;
}

enum core_http
core_http(struct view request)
{
	if (request.n > CORE_REQUEST_OCTETS_MAX)
		return CORE_HTTP_BAD;
	if (!http_head_is_over(request))
		return request.n == CORE_REQUEST_OCTETS_MAX ? CORE_HTTP_BAD
							    : CORE_HTTP_MORE;

	struct view rest = request, method = next_word(&rest);
	if (method.n == 0 || rest.n == 0 || rest.p[0] != ' ')
		return CORE_HTTP_BAD;
	rest.p++;
	rest.n--;

	struct view target = next_word(&rest);
	if (rest.n < 6 || memcmp(rest.p, " HTTP/", 6) != 0)
		return CORE_HTTP_BAD;
	if (!view_equal(method, VIEW("GET")))
		return CORE_HTTP_NOT_FOUND;

	/* A scraper may be set up with parameters; they change nothing. */
	for (size_t i = 0; i < target.n; i++)
		if (target.p[i] == '?')
			target.n = i;
	return view_equal(target, VIEW("/metrics")) ? CORE_HTTP_METRICS
						    : CORE_HTTP_NOT_FOUND;
}
