#include "runner.h"

#include <stdlib.h>
#include <string.h>

/* ---- words ------------------------------------------------------------------ */

static bool
next_line(struct reader *r)
{
	ssize_t n = getline(&r->line, &r->cap, r->file);

	if (n < 0)
		return false;
	if (n > 0 && r->line[n - 1] == '\n')
		r->line[n - 1] = '\0';
	r->at++;
	return true;
}

/* The rest of the line behind `word`, or NULL. */
static const char *
after(const char *line, const char *word)
{
	size_t n = strlen(word);

	return strncmp(line, word, n) == 0 ? line + n : NULL;
}

/* ---- the head: options, users, messages --------------------------------------- */

/* Their names in the configuration, in the order of enum mechanism. */
static const char *const mechanism_names[MECHANISMS_END] = {
	[MECHANISM_PASS] = "USER",
	[MECHANISM_PLAIN] = "PLAIN",
	[MECHANISM_LOGIN] = "LOGIN",
	[MECHANISM_CRAM_MD5] = "CRAM-MD5",
	[MECHANISM_SCRAM_SHA_1] = "SCRAM-SHA-1",
	[MECHANISM_SCRAM_SHA_1_PLUS] = "SCRAM-SHA-1-PLUS",
	[MECHANISM_SCRAM_SHA_256] = "SCRAM-SHA-256",
	[MECHANISM_SCRAM_SHA_256_PLUS] = "SCRAM-SHA-256-PLUS",
	[MECHANISM_EXTERNAL] = "EXTERNAL",
	[MECHANISM_GSSAPI] = "GSSAPI",
	[MECHANISM_OAUTHBEARER] = "OAUTHBEARER",
	[MECHANISM_XOAUTH2] = "XOAUTH2",
	[MECHANISM_APOP] = "APOP",
};

static void
read_mechanisms(struct reader *r, const char *s)
{
	uint32_t bits = 0;

	while (*(s += strspn(s, " "))) {
		size_t n = strcspn(s, " ");
		int m = 0;
		for (int i = 1; i < MECHANISMS_END; i++)
			if (mechanism_names[i] && strlen(mechanism_names[i]) == n &&
				strncmp(mechanism_names[i], s, n) == 0)
				m = i;
		if (m == 0)
			fail(r->t->path, r->at, "no such mechanism: %s", s);
		bits |= UINT32_C(1) << m;
		s += n;
	}
	r->t->peer.mechanisms = bits;
}

static void
read_option(struct reader *r, const char *s)
{
	struct session_options *o = &r->t->options;
	const char *v;

	if ((v = after(s, "last=")))
		o->wire.last = strcmp(v, "yes") == 0;
	else if ((v = after(s, "max_bad_commands=")))
		o->wire.max_bad_commands = (uint32_t)reader_number(r, v);
	else if ((v = after(s, "max_login_failures=")))
		o->max_login_failures = (uint32_t)reader_number(r, v);
	else if ((v = after(s, "login_failure_delay=")))
		r->t->failure_delay_ms =
			(uint32_t)reader_number(r, v) * (strstr(v, "ms") ? 1 : 1000);
	else if ((v = after(s, "expire_of_user="))) {
		o->wire.expire_differs = true;
		r->t->expire_of_user = (uint32_t)reader_number(r, v);
	} else if ((v = after(s, "login_delay_of_user="))) {
		o->wire.login_delay_differs = true;
		r->t->login_delay_of_user = (uint32_t)reader_number(r, v);
	} else if ((v = after(s, "utf8=")))
		o->wire.utf8 = strcmp(v, "yes") == 0;
	else if ((v = after(s, "language=")))
		o->wire.language = strcmp(v, "de") == 0 ? POP3_GERMAN : POP3_ENGLISH;
	else if ((v = after(s, "mechanisms=")))
		read_mechanisms(r, v);
	else if ((v = after(s, "expire=")))
		o->wire.expire_days = strcmp(v, "never") == 0
			? POP3_EXPIRE_NEVER
			: (uint32_t)reader_number(r, v);
	else if ((v = after(s, "login_delay=")))
		o->wire.login_delay_s = (uint32_t)reader_number(r, v);
	else
		fail(r->t->path, r->at, "unknown option: %s", s);
}

static void
read_link(struct reader *r, const char *s)
{
	struct session_peer *p = &r->t->peer;

	p->tls = strcmp(s, "tls") == 0;
	p->tls_available = strcmp(s, "no-tls") != 0;
	p->plaintext = strcmp(s, "tls-needed") != 0;
	p->kpop = strcmp(s, "kpop") == 0;
	p->xclient = strcmp(s, "xclient") == 0;
	if (!p->tls && p->tls_available && p->plaintext && !p->kpop && !p->xclient &&
		strcmp(s, "plain") != 0)
		fail(r->t->path, r->at, "no such link: %s", s);
}

/* What TLS brings along: words of binding and certificate. */
static void
read_brings(struct transcript *t, const char *s)
{
	t->binding = strstr(s, "binding");
	t->certificate = strstr(s, "certificate");
}

/* auth hear OCTETS, hear nothing, say OCTETS, yes, no */
static void
read_talk(struct reader *r, const char *s)
{
	struct transcript *t = r->t;
	const char *v;

	if (t->talk_n == TALK_MAX)
		fail(t->path, r->at, "too long a talk");
	struct talk *talk = &t->talk[t->talk_n++];
	text_add(&talk->octets, "", 0);
	if (strcmp(s, "hear nothing") == 0) {
		talk->kind = TALK_HEAR_NOTHING;
	} else if ((v = after(s, "hear ")) || (v = strcmp(s, "hear") == 0 ? "" : NULL)) {
		talk->kind = TALK_HEAR;
		reader_unescape(r, v, &talk->octets);
	} else if ((v = after(s, "say ")) || (v = strcmp(s, "say") == 0 ? "" : NULL)) {
		talk->kind = TALK_SAY;
		reader_unescape(r, v, &talk->octets);
	} else if (strcmp(s, "yes") == 0 || strcmp(s, "no") == 0) {
		talk->kind = s[0] == 'y' ? TALK_YES : TALK_NO;
	} else {
		fail(t->path, r->at, "what does auth do? %s", s);
	}
}

static void
read_user(struct reader *r, const char *s)
{
	struct transcript *t = r->t;
	const char *sp = strchr(s, ' ');
	struct text name = {0}, password = {0};

	if (!sp || t->users_n == USERS_MAX)
		fail(t->path, r->at, "user NAME PASSWORD, at most %d", USERS_MAX);
	text_add(&name, s, (size_t)(sp - s));
	reader_unescape(r, sp + 1, &password);
	/* A name may have escapes too, for blanks. */
	struct text plain = {0};
	reader_unescape(r, (char *)name.p, &plain);
	text_clear(&name);
	t->users[t->users_n++] = (struct user){(char *)plain.p, (char *)password.p};
}

/* size=N: so many octets on the wire, stored with CRLF. */
static void
fill(struct text *m, size_t size, size_t number_of)
{
	char head[64];
	static const char xs[] =
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

	int n = snprintf(head, sizeof(head), "Subject: message %zu\r\n\r\n", number_of);
	text_add(m, head, (size_t)n);
	while (m->n < size) {
		size_t k = size - m->n < 62 ? size - m->n : 62;
		if (size - m->n - k == 1)
			k--;
		CHECK(k >= 2);
		text_add(m, xs, k - 2);
		text_add(m, "\r\n", 2);
	}
	CHECK(m->n == size);
}

static void
read_text(struct reader *r, struct text *m)
{
	while (next_line(r)) {
		const char *s = r->line + strspn(r->line, " "), *v;
		if (strcmp(s, "end") == 0)
			return;
		if ((v = after(s, "text ")))
			reader_unescape(r, v, m);
		else if ((v = after(s, "repeat "))) {
			const char *what = strchr(v, ' ');
			for (unsigned long long n = reader_number(r, v); what && n > 0;
				n--)
				reader_unescape(r, what + 1, m);
		} else {
			fail(r->t->path, r->at, "text, repeat or end, not %s", s);
		}
	}
	fail(r->t->path, r->at, "message without end");
}

/* message [size=N | claims=N] [flags=S] [name=NAME], then its text unless a size is
 * given. */
static void
read_message(struct reader *r, const char *s)
{
	struct transcript *t = r->t;
	struct message *m = &t->messages[t->messages_n++];
	const char *size = strstr(s, "size="), *name = strstr(s, "name=");
	const char *claims = strstr(s, "claims="), *utf8 = strstr(s, "utf8=");
	struct text file = {0};
	char buffer[64];

	if (t->messages_n > MESSAGES_MAX)
		fail(t->path, r->at, "too many messages");
	snprintf(buffer, sizeof(buffer), "17000000%02zu.M%zuP1.transcript", t->messages_n,
		t->messages_n);
	reader_unescape(r, name ? name + 5 : buffer, &file);
	m->name = (char *)file.p;
	m->seen = strstr(s, "flags=S");
	m->utf8 = utf8 ? reader_number(r, utf8 + 5) : 0;
	if (claims)
		m->claims = reader_number(r, claims + 7);
	else if (size)
		fill(&m->octets, (size_t)reader_number(r, size + 5), t->messages_n);
	else
		read_text(r, &m->octets);
	if (!m->octets.p)
		text_add(&m->octets, "", 0);
}

/* ---- the steps ---------------------------------------------------------------- */

static struct step *
add_step(struct reader *r, enum step_kind kind)
{
	struct transcript *t = r->t;

	if (t->steps_n == STEPS_MAX)
		fail(t->path, r->at, "too many steps");
	struct step *s = &t->steps[t->steps_n++];
	*s = (struct step){.kind = kind, .line = r->at, .lines = -1};
	text_add(&s->octets, "", 0);
	return s;
}

/* C lines that follow one another are one write. */
static void
add_send(struct reader *r, const char *s, bool whole)
{
	struct transcript *t = r->t;
	struct step *last = t->steps_n > 0 ? &t->steps[t->steps_n - 1] : NULL;

	if (!last || last->kind != STEP_SEND)
		last = add_step(r, STEP_SEND);
	reader_unescape(r, s, &last->octets);
	if (whole)
		text_add(&last->octets, "\r\n", 2);
}

/* login [NAME PASSWORD]: greeting, USER and PASS. */
static void
add_login(struct reader *r, const struct user *u)
{
	static const char any[] = "+OK*";

	text_add(&add_step(r, STEP_GLOB)->octets, any, 4);
	add_send(r, "USER ", false);
	text_add(&r->t->steps[r->t->steps_n - 1].octets, u->name, strlen(u->name));
	add_send(r, "", true);
	text_add(&add_step(r, STEP_GLOB)->octets, any, 4);
	add_send(r, "PASS ", false);
	text_add(
		&r->t->steps[r->t->steps_n - 1].octets, u->password, strlen(u->password));
	add_send(r, "", true);
	text_add(&add_step(r, STEP_GLOB)->octets, any, 4);
}

static void
add_body(struct reader *r, const char *s)
{
	struct step *step = add_step(r, STEP_BODY);
	const char *top = strstr(s, " top ");

	step->arg = (unsigned)reader_number(r, s);
	if (top)
		step->lines = (long long)reader_number(r, top + 5);
	if (step->arg < 1 || step->arg > r->t->messages_n)
		fail(r->t->path, r->at, "no such message: %s", s);
}

static void
add_left(struct reader *r, const char *s)
{
	struct step *step = add_step(r, STEP_LEFT);

	while (*(s += strspn(s, " "))) {
		unsigned long long n = reader_number(r, s);
		s += strspn(s, "0123456789");
		if (n < 1 || n > r->t->messages_n)
			fail(r->t->path, r->at, "no such message: %llu", n);
		const char *name = r->t->messages[n - 1].name;
		text_add(&step->octets, name, strlen(name));
		text_add(&step->octets, "\n", 1);
	}
}

static bool
read_step(struct reader *r)
{
	const char *s = r->line, *v;

	if ((v = after(s, "C: ")) || (v = strcmp(s, "C:") == 0 ? s + 2 : NULL))
		add_send(r, v, true);
	else if ((v = after(s, "C- ")))
		add_send(r, v, false);
	else if ((v = after(s, "S: ")) || (v = strcmp(s, "S:") == 0 ? s + 2 : NULL))
		reader_unescape(r, v, &add_step(r, STEP_LINE)->octets);
	else if ((v = after(s, "S~ ")))
		reader_unescape(r, v, &add_step(r, STEP_GLOB)->octets);
	else if ((v = after(s, "S= ")))
		add_body(r, v);
	else if (strcmp(s, "login") == 0 && r->t->users_n > 0)
		add_login(r, &r->t->users[0]);
	else if (strcmp(s, "greeting") == 0)
		text_add(&add_step(r, STEP_GLOB)->octets, "+OK*", 4);
	else if (strcmp(s, "close") == 0)
		add_step(r, STEP_CLOSE);
	else if (strcmp(s, "again") == 0)
		add_step(r, STEP_AGAIN);
	else if (!after(s, "tls brings ") && (v = after(s, "tls")))
		add_step(r, STEP_TLS)->arg = strcmp(v, " garbage") == 0;
	else if ((v = after(s, "left:")))
		add_left(r, v);
	else if (strcmp(s, "check uidls") == 0)
		add_step(r, STEP_UIDLS);
	else
		return false;
	return true;
}

static bool
read_event(struct reader *r)
{
	if (r->line[0] != '@')
		return false;
	struct step *step = add_step(r, STEP_EVENT);
	const char *name = r->line + 1, *sp = strchr(name, ' ');
	text_add(&step->octets, name, sp ? (size_t)(sp - name) : strlen(name));
	if (sp)
		step->arg = (unsigned)reader_number(r, sp + 1);
	if (step->arg > r->t->messages_n)
		fail(r->t->path, r->at, "no such message: %s", r->line);
	return true;
}

static void
read_head(struct reader *r)
{
	const char *s = r->line, *v;

	if ((v = after(s, "set ")))
		read_option(r, v);
	else if ((v = after(s, "link ")))
		read_link(r, v);
	else if ((v = after(s, "user ")))
		read_user(r, v);
	else if ((v = after(s, "auth ")))
		read_talk(r, v);
	else if ((v = after(s, "tls brings ")))
		read_brings(r->t, v);
	else if ((v = after(s, "message")))
		read_message(r, v);
	else if (after(s, "socket-only: "))
		r->t->socket_only = true;
	else if (!after(s, "bare-only: ") && !after(s, "odd "))
		fail(r->t->path, r->at, "what is this? %s", s);
}

void
transcript_read(struct transcript *t, const char *path)
{
	struct reader r = {.t = t, .file = fopen(path, "re")};

	if (!r.file)
		fail(path, 0, "cannot be opened");
	*t = (struct transcript){.path = path};
	t->failure_delay_ms = 500;
	t->peer = (struct session_peer){.tls_available = true,
		.plaintext = true,
		.mechanisms = 1 << MECHANISM_PASS | 1 << MECHANISM_PLAIN};
	t->options =
		(struct session_options){.wire = {.hostname = VIEW("post.example"),
						 .implementation = VIEW("Restante-test"),
						 .expire_days = POP3_EXPIRE_NEVER,
						 .utf8 = true,
						 .max_bad_commands = 20},
			.idle_timeout_s = 600,
			.login_timeout_s = 120,
			.max_login_failures = 3};
	while (next_line(&r)) {
		if (r.line[0] == '\0' || r.line[0] == '#')
			continue;
		if (!read_step(&r) && !read_event(&r))
			read_head(&r);
	}
	free(r.line);
	fclose(r.file);
	if (t->steps_n == 0)
		fail(path, r.at, "no steps");
}

void
transcript_free(struct transcript *t)
{
	for (size_t i = 0; i < t->users_n; i++) {
		free(t->users[i].name);
		free(t->users[i].password);
	}
	for (size_t i = 0; i < t->messages_n; i++) {
		free(t->messages[i].name);
		text_clear(&t->messages[i].octets);
	}
	for (size_t i = 0; i < t->steps_n; i++)
		text_clear(&t->steps[i].octets);
	for (size_t i = 0; i < t->talk_n; i++)
		text_clear(&t->talk[i].octets);
}
