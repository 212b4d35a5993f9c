#include "smtp_server.h"

#include "fetch/target.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#define LETTERS SERVER_MESSAGES

struct world {
	struct server s;
	struct fetch_account a;
	struct fetch_target_spec spec;
	struct target *t;
	const struct target_ops *ops;
	char where[64], text[80], why[240];
	struct letter *letters[LETTERS];
	char names[LETTERS][LETTER_NAME_MAX], ids[LETTERS][TRACE_ID_MAX];
	size_t n;
};

static void
start(struct world *w, enum fetch_target_kind kind)
{
	server_start(&w->s);
	w->ops = kind == FETCH_LMTP ? &target_lmtp : &target_smtp;
	(void)snprintf(w->where, sizeof(w->where), "127.0.0.1:%u", w->s.port);
	(void)snprintf(w->text, sizeof(w->text), "smtp:%s", w->where);
	w->spec = (struct fetch_target_spec){kind, w->where, w->text};
	w->a.name = "work";
	w->a.user = "anna@example.org";
	w->a.smtp_tls = FETCH_TLS_STLS;
	w->a.smtp_password.fd = -1;
	if (!w->a.timeout_ms)
		w->a.timeout_ms = 20000;
	struct target_context c = {.account = &w->a, .spec = &w->spec};
	if (w->ops->open(&c, &w->t, w->why, sizeof(w->why)) != 0)
		fail_msg("%s", w->why);
}

static void
add(struct world *w, const void *octets, size_t n, uint64_t wire)
{
	struct letter *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->fd = memfd_create("letter", MFD_CLOEXEC);
	assert_true(l->fd >= 0);
	assert_int_equal(pwrite(l->fd, octets, n, 0), n);
	l->stored = n;
	l->wire = wire;
	(void)snprintf(w->ids[w->n], TRACE_ID_MAX, "%040zx", w->n + 1);
	w->letters[w->n++] = l;
}

static void
add_text(struct world *w, const char *text)
{
	add(w, text, strlen(text), strlen(text));
}

static void
hand_over(struct world *w)
{
	w->ops->hand_over(w->t, w->letters, w->names, w->ids, w->n);
}

static void
finish(struct world *w)
{
	w->ops->close(&w->t);
	assert_null(w->t);
	server_stop(&w->s);
}

static void
done(struct world *w)
{
	server_free(&w->s);
	for (size_t i = 0; i < w->n; i++) {
		close(w->letters[i]->fd);
		free(w->letters[i]);
	}
	free(w);
}

static struct world *
world(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	return w;
}

static void
assert_fate(const struct world *w, size_t i, enum letter_fate fate, const char *why)
{
	const struct letter *l = w->letters[i];

	if (l->fate != fate || !strstr(l->why, why))
		fail_msg("letter %zu: fate %d, not %d: %s", i, (int)l->fate, (int)fate,
			l->why);
}

static void
assert_body(const struct world *w, size_t i, const char *id, const char *text)
{
	char expected[2048];
	int n = id ? snprintf(expected, sizeof(expected), "X-Restante-Trace: %s\r\n%s",
			     id, text)
		   : snprintf(expected, sizeof(expected), "%s", text);

	assert_int_equal(w->s.body_n[i], n);
	assert_memory_equal(w->s.bodies[i], expected, (size_t)n);
}

static void
a_batch_goes_ahead(void **state)
{
	struct world *w = world();

	(void)state;
	for (int i = 0; i < 3; i++)
		w->s.acts[i].trick = i < 2 ? EXPECT_AHEAD : PLAY_FAIR;
	start(w, FETCH_SMTP);
	add_text(w, "Subject: a\r\n\r\n.\r\n..x\r\nno end");
	add_text(w, "Subject: lf\n\n.one\ntwo\n");
	add_text(w, "");
	hand_over(w);
	for (size_t i = 0; i < 3; i++)
		assert_fate(w, i, LETTER_DELIVERED, "");
	finish(w);
	assert_int_equal(w->s.ahead, 2);
	assert_int_equal(w->s.connections, 1);
	assert_body(w, 0, w->ids[0], "Subject: a\r\n\r\n.\r\n..x\r\nno end\r\n");
	assert_body(w, 1, w->ids[1], "Subject: lf\r\n\r\n.one\r\ntwo\r\n");
	assert_body(w, 2, w->ids[2], "");
	assert_non_null(strstr(w->s.log,
		"MAIL FROM:<> ENVID=0000000000000000000000000000000000000001\n"
		"RCPT TO:<anna@example.org>\nDATA\nMAIL"));
	assert_non_null(strstr(w->s.log, "DATA\nQUIT\n"));
	done(w);
}

/* A Maildir has the file too, with LF: CR LF is then no line end but CR in a line. */
static void
lf_files_come_out_as_they_came_in(void **state)
{
	struct world *w = world();
	char block[33000];

	(void)state;
	w->a.targets_n = 1;
	w->a.targets[0].kind = FETCH_MAILDIR;
	start(w, FETCH_LMTP);
	add_text(w, "\n.a\r\n\r\n\r\r\nb\r");
	/* CR and LF on the two sides of a block's edge. */
	memset(block, 'x', sizeof(block));
	for (size_t i = 900; i < 33000; i += 900)
		block[i] = '\n';
	memcpy(block + 32 * 1024 - 1, "\r\n", 2);
	add(w, block, sizeof(block), sizeof(block));
	memset(w->ids, 0, sizeof(w->ids));
	hand_over(w);
	assert_fate(w, 0, LETTER_DELIVERED, "");
	assert_fate(w, 1, LETTER_DELIVERED, "");
	finish(w);
	assert_body(w, 0, NULL, "\r\n.a\r\r\n\r\r\n\r\r\r\nb\r\r\n");
	assert_int_equal(w->s.body_n[1], 33000 + 36 + 1 + 2);
	assert_non_null(memmem(w->s.bodies[1], w->s.body_n[1], "x\r\r\nx", 5));
	done(w);
}

static void
without_pipelining_one_by_one(void **state)
{
	struct world *w = world();

	(void)state;
	w->s.extensions = "250-SIZE 1000\r\n250-8BITMIME\r\n";
	w->a.sender = "me@example.org";
	w->a.recipient = "bob";
	start(w, FETCH_SMTP);
	add_text(w, "one\r\n");
	add(w, "two\r\n", 5, 2000);
	add_text(w, "three\r\n");
	memset(w->ids, 0, sizeof(w->ids));
	hand_over(w);
	assert_fate(w, 0, LETTER_DELIVERED, "");
	assert_fate(w, 1, LETTER_REFUSED, "more than 1000 octets");
	assert_fate(w, 2, LETTER_DELIVERED, "");
	finish(w);
	assert_body(w, 0, NULL, "one\r\n");
	assert_body(w, 1, NULL, "three\r\n");
	assert_non_null(strstr(w->s.log,
		"MAIL FROM:<me@example.org> SIZE=5 BODY=8BITMIME\nRCPT TO:<bob>\n"));
	done(w);
}

static void
refusals_have_their_fates(void **state)
{
	struct world *w = world();

	(void)state;
	w->s.acts[0].rcpt = "550 5.1.1 no \033[2Jsuch user\r\n";
	w->s.acts[0].data = "554 5.5.1 no recipients\r\n";
	w->s.acts[1].body = "552-5.2.2 over\r\n552 5.2.2 quota\r\n";
	w->s.acts[2].body = "451 4.3.0 later\r\n";
	w->s.acts[3].mail = "550 5.7.1 not you\r\n";
	w->s.acts[3].rcpt = w->s.acts[3].data = "503 5.5.1 MAIL first\r\n";
	w->s.acts[4].rcpt = "450 4.2.0 greylisted\r\n";
	w->s.acts[4].data = "503 5.5.1 RCPT first\r\n";
	start(w, FETCH_LMTP);
	for (int i = 0; i < 6; i++)
		add_text(w, "x\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_REFUSED, "550 5.1.1 no ?[2Jsuch user");
	assert_fate(w, 1, LETTER_TEMPORARY, "552 5.2.2 over quota");
	assert_fate(w, 2, LETTER_TEMPORARY, "451 4.3.0 later");
	assert_fate(w, 3, LETTER_TEMPORARY, "550 5.7.1 not you");
	assert_fate(w, 4, LETTER_TEMPORARY, "greylisted");
	assert_fate(w, 5, LETTER_DELIVERED, "");
	finish(w);
	assert_int_equal(w->s.connections, 1);
	assert_int_equal(w->s.messages, 3);
	assert_non_null(strstr(w->s.log, "LHLO "));
	assert_non_null(strstr(w->s.log, "RSET\nMAIL"));
	done(w);
}

/* What is known of a message when its connection breaks, and that the next ones come
 * through another one. */
static void
cut_connections(void **state)
{
	struct world *w = world();
	char *big = malloc(16000000);

	(void)state;
	assert_non_null(big);
	memset(big, 'x', 16000000);
	memcpy(big, "a\r\n", 3);
	w->s.acts[0].trick = CUT_AFTER_DOT;
	w->s.acts[1].trick = CUT_AT_MAIL;
	w->s.acts[3].trick = CUT_IN_BODY;
	w->s.acts[4].data = "354 go\r\n250 2.0.0 taken already\r\n";
	w->s.extensions = "250-8BITMIME\r\n";
	start(w, FETCH_SMTP);
	add_text(w, "one\r\n");
	add_text(w, "two\r\n");
	add_text(w, "three\r\n");
	add(w, big, 16000000, 300002);
	add(w, big, 16000000, 300002);
	add_text(w, "six\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_UNKNOWN, "closed the connection");
	assert_fate(w, 1, LETTER_TEMPORARY, "closed the connection");
	assert_fate(w, 2, LETTER_DELIVERED, "");
	assert_fate(w, 3, LETTER_TEMPORARY, "");
	assert_fate(w, 4, LETTER_TEMPORARY, "answers what was not asked");
	assert_fate(w, 5, LETTER_DELIVERED, "");
	finish(w);
	assert_int_equal(w->s.messages, 3);
	assert_body(w, 2, w->ids[5], "six\r\n");
	free(big);
	done(w);
}

static void
a_connection_is_kept_and_renewed(void **state)
{
	struct world *w = world();

	(void)state;
	w->s.acts[1].trick = CUT_AT_MAIL;
	w->s.acts[3].mail = "421 4.3.2 enough\r\n";
	w->s.extensions = "250-8BITMIME\r\n";
	start(w, FETCH_SMTP);
	add_text(w, "one\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_DELIVERED, "");
	/* The old connection breaks at MAIL, the new one serves. */
	hand_over(w);
	assert_fate(w, 0, LETTER_DELIVERED, "");
	hand_over(w);
	assert_fate(w, 0, LETTER_DELIVERED, "");
	finish(w);
	assert_int_equal(w->s.connections, 3);
	assert_int_equal(w->s.messages, 3);
	done(w);
}

static void
a_server_that_always_breaks_is_left(void **state)
{
	struct world *w = world();

	(void)state;
	for (size_t i = 0; i < SERVER_MESSAGES; i++)
		w->s.acts[i].trick = CUT_AT_MAIL;
	start(w, FETCH_SMTP);
	for (int i = 0; i < 6; i++)
		add_text(w, "x\r\n");
	hand_over(w);
	for (size_t i = 0; i < 6; i++)
		assert_fate(w, i, LETTER_TEMPORARY, i < 3 ? "closed" : "not tried");
	finish(w);
	assert_int_equal(w->s.connections, 3);
	done(w);
}

static void
silence_ends(void **state)
{
	struct world *w = world();

	(void)state;
	w->s.acts[0].trick = SILENT_AT_MAIL;
	w->a.timeout_ms = 1000;
	w->s.extensions = "";
	start(w, FETCH_SMTP);
	add_text(w, "x\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_TEMPORARY, "in time");
	finish(w);
	done(w);
}

static void
nobody_is_there(void **state)
{
	struct world *w = world();

	(void)state;
	w->s.greeting = "554 go away\r\n";
	start(w, FETCH_SMTP);
	add_text(w, "x\r\n");
	add_text(w, "y\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_TEMPORARY, "554 go away");
	assert_fate(w, 1, LETTER_TEMPORARY, "554 go away");
	server_stop(&w->s);
	hand_over(w);
	assert_fate(w, 1, LETTER_TEMPORARY, "127.0.0.1");
	w->ops->close(&w->t);
	done(w);
}

static void
plain_text_behind_starttls(void **state)
{
	struct world *w = world();

	(void)state;
	w->s.extensions = "250-STARTTLS\r\n";
	w->s.starttls = "220 go\r\n250 injected\r\n";
	start(w, FETCH_SMTP);
	add_text(w, "x\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_TEMPORARY, "");
	finish(w);
	assert_int_equal(w->s.messages, 0);
	assert_null(strstr(w->s.log, "MAIL"));
	done(w);
}

static void
no_password_without_a_way(void **state)
{
	struct world *w = world();

	(void)state;
	w->a.smtp_user = "anna";
	w->a.smtp_password.text = "secret";
	w->s.extensions = "250-AUTH XYZ\r\n";
	start(w, FETCH_SMTP);
	add_text(w, "x\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_TEMPORARY, "log in");
	finish(w);
	assert_null(strstr(w->s.log, "AUTH"));
	done(w);
}

/* POP3's token is not for others. */
static void
no_token_of_another_server(void **state)
{
	struct world *w = world();

	(void)state;
	w->a.smtp_user = "anna";
	w->a.smtp_tls = FETCH_TLS_NONE;
	w->a.token_command = "echo token";
	w->s.extensions = "250-AUTH OAUTHBEARER XOAUTH2 PLAIN\r\n";
	start(w, FETCH_SMTP);
	add_text(w, "x\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_TEMPORARY, "log in");
	finish(w);
	assert_int_equal(w->s.connections, 1);
	assert_null(strstr(w->s.log, "AUTH"));
	done(w);
}

/* On this machine too somebody must say so; plaintext is about POP3. */
static void
a_password_in_the_clear_only_where_wanted(void **state)
{
	(void)state;
	for (int wanted = 0; wanted < 2; wanted++) {
		struct world *w = world();

		w->a.smtp_user = "anna";
		w->a.smtp_password.text = "secret";
		w->a.plaintext = !wanted;
		w->s.extensions = "250-AUTH LOGIN PLAIN\r\n";
		start(w, FETCH_SMTP);
		if (wanted)
			w->a.smtp_tls = FETCH_TLS_NONE;
		add_text(w, "x\r\n");
		hand_over(w);
		assert_fate(w, 0, LETTER_TEMPORARY,
			wanted ? "refused" : "smtp_tls = none sends it in the clear");
		finish(w);
		assert_int_equal(
			strstr(w->s.log, "AUTH PLAIN AGFubmEAc2VjcmV0") != NULL, wanted);
		assert_int_equal(strstr(w->s.log, "AUTH") != NULL, wanted);
		done(w);
	}
}

#define REFUSED "550 5.1.1 no such user\r\n"

static void
refuse(struct world *w, int from, int to)
{
	for (int i = from; i < to; i++) {
		w->s.acts[i].rcpt = REFUSED;
		w->s.acts[i].data = "503 5.5.1 RCPT first\r\n";
	}
}

static size_t
rcpts(const struct world *w)
{
	size_t n = 0;

	for (const char *p = w->s.log; (p = strstr(p, "RCPT TO")); p++)
		n++;
	return n;
}

static void
a_wrong_recipient_puts_no_mailbox_aside(void **state)
{
	struct world *w = world();

	(void)state;
	refuse(w, 0, 11);
	start(w, FETCH_LMTP);
	for (int i = 0; i < 13; i++)
		add_text(w, "x\r\n");
	hand_over(w);
	for (size_t i = 0; i < 13; i++)
		assert_fate(w, i, LETTER_TEMPORARY, "10 times in a row: 550 5.1.1");
	/* One asks again, and another once the recipient is right. */
	w->n = 2;
	hand_over(w);
	assert_fate(w, 0, LETTER_TEMPORARY, "11 times in a row: 550 5.1.1");
	assert_fate(w, 1, LETTER_TEMPORARY, "11 times in a row: 550 5.1.1");
	hand_over(w);
	assert_fate(w, 0, LETTER_DELIVERED, "");
	assert_fate(w, 1, LETTER_DELIVERED, "");
	finish(w);
	assert_int_equal(rcpts(w), 13);
	assert_int_equal(w->s.connections, 1);
	w->n = 13;
	done(w);
}

static void
a_short_row_of_refusals_is_meant(void **state)
{
	struct world *w = world();

	(void)state;
	refuse(w, 0, 9);
	start(w, FETCH_SMTP);
	for (int i = 0; i < 9; i++)
		add_text(w, "x\r\n");
	hand_over(w);
	for (size_t i = 0; i < 9; i++)
		assert_fate(w, i, LETTER_REFUSED, "550 5.1.1");
	finish(w);
	done(w);
	/* Where it was taken once, ten are no mistake either. */
	w = world();
	refuse(w, 1, 13);
	start(w, FETCH_SMTP);
	for (int i = 0; i < 13; i++)
		add_text(w, "x\r\n");
	hand_over(w);
	assert_fate(w, 0, LETTER_DELIVERED, "");
	for (size_t i = 1; i < 13; i++)
		assert_fate(w, i, LETTER_REFUSED, "550 5.1.1");
	finish(w);
	assert_int_equal(rcpts(w), 13);
	done(w);
}

static void
bad_addresses_are_told_at_once(void **state)
{
	struct fetch_account a = {.name = "x", .user = "anna>\r\nRSET"};
	struct fetch_target_spec spec = {FETCH_LMTP, "/run/x", "lmtp:/run/x"};
	struct target_context c = {.account = &a, .spec = &spec};
	struct target *t = NULL;
	char why[240];

	(void)state;
	assert_int_equal(target_lmtp.open(&c, &t, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "set recipient"));
	a.user = "anna";
	a.sender = "a b";
	assert_int_equal(target_lmtp.open(&c, &t, why, sizeof(why)), -EINVAL);
	spec.where = "nothing";
	assert_int_equal(target_lmtp.open(&c, &t, why, sizeof(why)), -EINVAL);
	assert_null(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_goes_ahead),
		cmocka_unit_test(lf_files_come_out_as_they_came_in),
		cmocka_unit_test(without_pipelining_one_by_one),
		cmocka_unit_test(refusals_have_their_fates),
		cmocka_unit_test(cut_connections),
		cmocka_unit_test(a_connection_is_kept_and_renewed),
		cmocka_unit_test(a_server_that_always_breaks_is_left),
		cmocka_unit_test(silence_ends),
		cmocka_unit_test(nobody_is_there),
		cmocka_unit_test(plain_text_behind_starttls),
		cmocka_unit_test(no_password_without_a_way),
		cmocka_unit_test(no_token_of_another_server),
		cmocka_unit_test(a_password_in_the_clear_only_where_wanted),
		cmocka_unit_test(a_wrong_recipient_puts_no_mailbox_aside),
		cmocka_unit_test(a_short_row_of_refusals_is_meant),
		cmocka_unit_test(bad_addresses_are_told_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
