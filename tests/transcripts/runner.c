#include "runner.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* How the client's octets are cut: one write of those of the file, at one place. */
struct cut {
	enum { CUT_NOWHERE, CUT_EVERYWHERE, CUT_ONCE, CUT_JOINED } how;
	size_t write; /* CUT_ONCE: the write and the place in it */
	size_t place;
};

struct play {
	const struct transcript *t;
	struct world *w;
	struct cut cut;
	size_t writes;
	size_t taken;	   /* octets of got that steps have claimed */
	size_t reply_from; /* where the reply to the last write began */
};

static const char *
cut_name(const struct cut *c, char text[64])
{
	switch (c->how) {
	case CUT_NOWHERE: return "each write whole";
	case CUT_EVERYWHERE: return "octet by octet";
	case CUT_JOINED: return "all in one write";
	case CUT_ONCE: break;
	}
	snprintf(text, 64, "write %zu cut at %zu", c->write + 1, c->place);
	return text;
}

[[gnu::noreturn]] static void
fail_at(const struct play *p, const struct step *s, const char *what, struct view got)
{
	char text[64];

	fail(p->t->path, s->line, "%s (%s)\n  wanted: %.*s\n  got:    %.*s", what,
		cut_name(&p->cut, text), (int)s->octets.n, (const char *)s->octets.p,
		(int)got.n, (const char *)got.p);
}

static struct view
rest(const struct play *p)
{
	return (struct view){p->w->got.p + p->taken, p->w->got.n - p->taken};
}

static bool
glob(struct view pattern, struct view text)
{
	const uint8_t *star = NULL;
	size_t i = 0, at = 0, mark = 0;

	while (at < text.n) {
		if (i < pattern.n && pattern.p[i] == '*') {
			star = pattern.p + i++;
			mark = at;
		} else if (i < pattern.n && pattern.p[i] == text.p[at]) {
			i++, at++;
		} else if (star) {
			i = (size_t)(star - pattern.p) + 1;
			at = ++mark;
		} else {
			return false;
		}
	}
	while (i < pattern.n && pattern.p[i] == '*')
		i++;
	return i == pattern.n;
}

static void
send_step(struct play *p, const struct step *s)
{
	struct view v = text_view(&s->octets);

	if (p->cut.how == CUT_EVERYWHERE) {
		for (size_t i = 0; i < v.n; i++)
			world_send(p->w, (struct view){v.p + i, 1});
	} else if (p->cut.how == CUT_ONCE && p->cut.write == p->writes) {
		world_send(p->w, (struct view){v.p, p->cut.place});
		world_send(p->w, (struct view){v.p + p->cut.place, v.n - p->cut.place});
	} else {
		world_send(p->w, v);
	}
	p->writes++;
}

static void
line_step(struct play *p, const struct step *s)
{
	struct view got = rest(p);
	const uint8_t *lf = got.n > 0 ? memchr(got.p, '\n', got.n) : NULL;

	if (!lf || lf == got.p || lf[-1] != '\r')
		fail_at(p, s, "no line came", got);
	struct view line = {got.p, (size_t)(lf - got.p) - 1};
	struct view want = text_view(&s->octets);
	bool same = line.n == want.n && memcmp(line.p, want.p, want.n) == 0;
	if (s->kind == STEP_LINE ? !same : !glob(want, line))
		fail_at(p, s, "another line came", line);
	p->taken += line.n + 2;
}

static void
body_step(struct play *p, const struct step *s)
{
	struct text want = {0};
	struct view got = rest(p);

	world_travel(&p->t->messages[s->arg - 1], s->lines, &want);
	if (got.n < want.n || (want.n > 0 && memcmp(got.p, want.p, want.n) != 0))
		fail_at(p, s, "not the message", got);
	p->taken += want.n;
	text_clear(&want);
}

static void
left_step(const struct play *p, const struct step *s)
{
	struct text names = {0};

	text_add(&names, "", 0);
	for (size_t i = 0; i < p->t->messages_n; i++) {
		if (p->w->messages[i].gone)
			continue;
		text_add(&names, p->t->messages[i].name, strlen(p->t->messages[i].name));
		text_add(&names, "\n", 1);
	}
	if (names.n != s->octets.n || memcmp(names.p, s->octets.p, names.n) != 0)
		fail_at(p, s, "other messages are left", text_view(&names));
	text_clear(&names);
}

static void
hang_up(struct play *p, const struct step *s)
{
	if (rest(p).n > 0)
		fail_at(p, s, "more came than was wanted", rest(p));
	world_hang_up(p->w);
}

static void
one_step(struct play *p, const struct step *s)
{
	switch (s->kind) {
	case STEP_SEND:
		if (rest(p).n > 0)
			fail_at(p, s, "more came than was wanted", rest(p));
		p->reply_from = p->w->got.n;
		send_step(p, s);
		break;
	case STEP_LINE:
	case STEP_GLOB: line_step(p, s); break;
	case STEP_BODY: body_step(p, s); break;
	case STEP_CLOSE:
		if (p->w->open || rest(p).n > 0)
			fail_at(p, s, "the connection is not closed", rest(p));
		break;
	case STEP_TLS: world_tls(p->w, s->arg); break;
	case STEP_AGAIN:
		hang_up(p, s);
		world_connect(p->w);
		break;
	case STEP_EVENT: world_event(p->w, s); break;
	case STEP_LEFT: left_step(p, s); break;
	case STEP_UIDLS: break; /* snapshot_check of the world has seen to it */
	}
}

static void
play(const struct transcript *t, struct world *w, struct cut cut)
{
	struct play p = {.t = t, .w = w, .cut = cut};

	world_init(w, t);
	for (size_t i = 0; i < t->steps_n; i++)
		one_step(&p, &t->steps[i]);
	const struct step *last = &t->steps[t->steps_n - 1];
	if (rest(&p).n > 0)
		fail_at(&p, last, "more came than was wanted", rest(&p));
	bool closes = false;
	for (size_t i = 0; i < t->steps_n; i++)
		closes = t->steps[i].kind == STEP_CLOSE ||
			(closes && t->steps[i].kind != STEP_AGAIN);
	if (!closes && !w->open)
		fail_at(&p, last, "the connection was closed", rest(&p));
	world_done(w);
}

/*
 * All octets that may be sent without waiting in one write: up to the next step that is
 * neither theirs nor an answer's.
 */
static void
join(const struct transcript *t, struct transcript *ret)
{
	struct step *first = NULL;

	*ret = *t;
	for (size_t i = 0; i < t->steps_n; i++) {
		struct step *s = &ret->steps[i];
		bool barrier = s->kind == STEP_TLS || s->kind == STEP_AGAIN ||
			s->kind == STEP_EVENT || s->kind == STEP_LEFT ||
			s->kind == STEP_CLOSE;
		struct view v = text_view(&t->steps[i].octets);
		s->octets = (struct text){0};
		text_add(&s->octets, v.p, v.n);
		if (barrier)
			first = NULL;
		if (s->kind != STEP_SEND)
			continue;
		if (first) {
			text_add(&first->octets, v.p, v.n);
			s->octets.n = 0;
		} else {
			first = s;
		}
	}
}

static void
play_joined(const struct transcript *t, struct world *w)
{
	static struct transcript joined;
	struct step kept[STEPS_MAX];
	size_t n = 0;

	join(t, &joined);
	for (size_t i = 0; i < joined.steps_n; i++) {
		if (joined.steps[i].kind == STEP_SEND && joined.steps[i].octets.n == 0)
			text_clear(&joined.steps[i].octets);
		else
			kept[n++] = joined.steps[i];
	}
	memcpy(joined.steps, kept, n * sizeof(kept[0]));
	joined.steps_n = n;
	play(&joined, w, (struct cut){.how = CUT_JOINED});
	for (size_t i = 0; i < n; i++)
		text_clear(&joined.steps[i].octets);
}

static size_t
play_all(const struct transcript *t, struct world *w)
{
	size_t plays = 2, writes = 0;

	play(t, w, (struct cut){.how = CUT_NOWHERE});
	play(t, w, (struct cut){.how = CUT_EVERYWHERE});
	for (size_t i = 0; i < t->steps_n; i++) {
		if (t->steps[i].kind != STEP_SEND)
			continue;
		for (size_t at = 1; at < t->steps[i].octets.n; at++, plays++)
			play(t, w, (struct cut){CUT_ONCE, writes, at});
		writes++;
	}
	play_joined(t, w);
	return plays + 1;
}

static int
is_transcript(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 2 && strcmp(d->d_name + n - 2, ".t") == 0;
}

static void
play_file(const char *path, int number, struct world *w)
{
	static struct transcript t;
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	transcript_read(&t, path);
	if (t.socket_only)
		printf("ok %d - %s, read only: it is for sockets\n", number, name);
	else
		printf("ok %d - %s, %zu times\n", number, name, play_all(&t, w));
	fflush(stdout);
	transcript_free(&t);
}

/* Points on the wire, each with a transcript of its own. */
#define POINTS 58

static bool
every_point_is_there(struct dirent **found, int n)
{
	bool there[POINTS + 1] = {true};

	for (int i = 0; i < n; i++) {
		int point = 0;
		const char *s = found[i]->d_name;
		for (; *s >= '0' && *s <= '9'; s++)
			point = point * 10 + (*s - '0');
		if (s == found[i]->d_name + 3 && point <= POINTS)
			there[point] = true;
	}
	for (int i = 1; i <= POINTS; i++) {
		if (!there[i])
			fprintf(stderr, "point %03d has no transcript\n", i);
		there[0] = there[0] && there[i];
	}
	return there[0];
}

/* Files, or the directory that holds them. */
int
main(int argc, char **argv)
{
	struct world *w = malloc(sizeof(*w));
	struct dirent **found = NULL;
	int n = argc == 2 ? scandir(argv[1], &found, is_transcript, alphasort) : -1;

	CHECK(w);
	printf("1..%d\n", n > 0 ? n : argc - 1);
	if (n > 0 && !every_point_is_there(found, n))
		return 1;
	for (int i = 0; i < n; i++) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/%s", argv[1], found[i]->d_name);
		play_file(path, i + 1, w);
		free(found[i]);
	}
	for (int i = 1; i < argc && n <= 0; i++)
		play_file(argv[i], i, w);
	free(found);
	free(w);
	return argc < 2;
}
