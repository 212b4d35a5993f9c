/* The order of rule 7, several targets, the journal's failures, and the replay. */
#include "fetch_help.h"
#include "scratch.h"

#include "fetch/target.h"

static void
one_maildir(void **state)
{
	struct bench b;
	struct letter first, second, *both[] = {&first, &second};
	struct known_table known;

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	OK(deliver_replay(b.deliver, b.why, sizeof(b.why)));
	letter_make(&b, &first, "u1", VIEW("A: 1\r\n\r\none\r\n"));
	letter_make(&b, &second, "u2", VIEW("A: 2\r\n\r\ntwo\r\n"));
	assert_int_equal(count_files(b.root, "mail/tmp"), 2);
	OK(deliver_commit(b.deliver, both, 2));
	assert_int_equal(first.fate, LETTER_DELIVERED);
	assert_int_equal(second.fate, LETTER_DELIVERED);
	assert_int_equal(first.fd, -1);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	assert_int_equal(count_files(b.root, "mail/new"), 2);
	OK(state_load(b.state, b.r.row, &known));
	assert_int_equal(known.n, 2);
	assert_int_equal(known_find(&known, VIEW("u1"))->stage, KNOWN_SYNCED);
	known_free(&known);
	/* Fetched once more, whyever: known. */
	letter_make(&b, &first, "u1", VIEW("A: 1\r\n\r\none\r\n"));
	OK(commit_one(&b, &first));
	assert_int_equal(first.fate, LETTER_KNOWN);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	assert_int_equal(count_files(b.root, "mail/new"), 2);
	/* The uid is another message's now: never taken for delivered. */
	for (int i = 0; i < 2; i++) {
		letter_make(&b, &first, "u1", VIEW("B: 3\r\n\r\nthree\r\n"));
		OK(commit_one(&b, &first));
		assert_int_not_equal(first.fate, LETTER_KNOWN);
	}
	assert_int_equal(first.fate, LETTER_DELIVERED);
	assert_int_equal(count_files(b.root, "mail/new"), 3);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	bench_end(&b);
}

/* Synced before its commit, beside another batch: what failed is told of that letter. */
static void
synced_ahead(void **state)
{
	struct bench b;
	struct letter letters[40], *come[40];
	struct together *together = NULL;
	char uids[40][4];

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	OK(deliver_replay(b.deliver, b.why, sizeof(b.why)));
	OK(together_new(&together));
	for (size_t i = 0; i < 40; i++) {
		(void)snprintf(uids[i], sizeof(uids[i]), "u%zu", i);
		letter_make(&b, &letters[i], uids[i], VIEW("A: 1\r\n\r\none\r\n"));
		come[i] = &letters[i];
	}
	int fd = letters[7].fd;
	letters[7].fd = -1; /* cannot be synced */
	deliver_sync(b.deliver, together, come, 40);
	letters[7].fd = fd;
	for (size_t i = 0; i < 40; i++) {
		assert_true(letters[i].was_synced);
		assert_int_equal(letters[i].sync_error, i == 7 ? -EBADF : 0);
		assert_int_equal(letters[i].above_error, 0);
	}
	letters[9].above_error = -EIO; /* as if tmp/ could not be synced for this one */
	OK(deliver_commit(b.deliver, come, 40));
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(letters[i].fate,
			i == 7 || i == 9 ? LETTER_TEMPORARY : LETTER_DELIVERED);
	assert_non_null(strstr(letters[7].why, "the message cannot be synced"));
	assert_non_null(strstr(letters[9].why, "tmp/ cannot be synced"));
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	assert_int_equal(count_files(b.root, "mail/new"), 38);
	together_free(&together);
	bench_end(&b);
}

/* The second target fails: the first has it once, the second gets it at the next try. */
static void
second_target(void **state)
{
	struct bench b;
	struct letter l;
	char id[TRACE_ID_MAX];

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_target(&b, FETCH_LMTP, "socket");
	bench_target(&b, FETCH_MAILDIR, "copy");
	bench_target(&b, FETCH_MBOX, "box");
	bench_start(&b);
	static const enum letter_fate bad[] = {LETTER_TEMPORARY, LETTER_UNKNOWN};
	for (size_t i = 0; i < 2; i++) {
		script.fate = bad[i];
		letter_make(&b, &l, "u1", VIEW("A: 1\r\n\r\none\r\n"));
		OK(commit_one(&b, &l));
		assert_int_equal(l.fate, bad[i]);
		assert_int_equal(count_files(b.root, "mail/new"), 1);
		assert_int_equal(count_files(b.root, "copy/new"), 1);
		assert_int_equal(count_files(b.root, "mail/tmp"), 0);
		assert_int_equal(count_files(b.root, "copy/tmp"), 0);
		assert_int_equal(script.calls, i + 1);
		if (i == 0)
			memcpy(id, script.trace_id, sizeof(id));
		assert_string_equal(id, script.trace_id);
		assert_int_equal(strlen(id), 40);
	}
	script.fate = LETTER_DELIVERED;
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n\r\none\r\n"));
	OK(commit_one(&b, &l));
	assert_int_equal(l.fate, LETTER_DELIVERED);
	assert_int_equal(script.calls, 3);
	assert_string_equal(id, script.trace_id);
	assert_int_equal(script.seen_n, 10);
	assert_memory_equal(script.seen, "A: 1\n\none\n", 10);
	assert_int_equal(count_files(b.root, "mail/new"), 1);
	assert_int_equal(count_files(b.root, "copy/new"), 1);
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n\r\none\r\n"));
	OK(commit_one(&b, &l));
	assert_int_equal(l.fate, LETTER_KNOWN);
	assert_int_equal(script.calls, 3);
	bench_end(&b);
}

/* What a target will never take keeps its file, for the quarantine. */
static void
refused(void **state)
{
	struct bench b;
	struct letter l;
	char path[300];

	(void)state;
	bench_make(&b, scratch());
	b.a.trace = FETCH_TRACE_NO;
	bench_target(&b, FETCH_SMTP, "host");
	bench_start(&b);
	script.fate = LETTER_REFUSED;
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n\r\n.one"));
	OK(commit_one(&b, &l));
	assert_int_equal(l.fate, LETTER_REFUSED);
	assert_string_equal(script.trace_id, "");
	assert_int_equal(count_files(b.root, "state/spool"), 1);
	OK(spool_quarantine(b.spool, &l, "550 no", path, sizeof(path)));
	assert_file(path, VIEW("A: 1\r\n\r\n.one"));
	assert_int_equal(count_files(b.root, "state/spool"), 0);
	/* With a Maildir before it, the file has gone there already. */
	bench_stop(&b);
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	letter_make(&b, &l, "u2", VIEW("A: 2\r\n"));
	OK(commit_one(&b, &l));
	assert_int_equal(l.fate, LETTER_REFUSED);
	assert_int_equal(count_files(b.root, "mail/new"), 1);
	OK(spool_quarantine(b.spool, &l, "550 no", path, sizeof(path)));
	assert_file(path, VIEW("A: 2\n"));
	bench_end(&b);
}

/* Stages of the journal, made by hand: what a killed run leaves. */
enum cut {
	CUT_BEFORE_INTENDED,
	CUT_INTENDED,
	CUT_RENAMED,
	CUT_SEEN, /* and a reader moved it to cur/ */
	CUT_LOST, /* neither in tmp/ nor in new/: its rename and it were lost */
	CUT_TORN, /* in tmp/, shorter than journalled */
	CUTS,
};

static void
replay_at(enum cut cut, bool asked)
{
	struct bench b;
	struct letter l, *lp = &l;
	char names[1][LETTER_NAME_MAX], from[500], to[500];

	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n\r\none\r\n"));
	OK(target_trace_id(&b.a, &l, l.trace_id));
	(void)snprintf(
		names[0], sizeof(names[0]), "1720000000.R%.32s.h,S=10,W=13", l.trace_id);
	l.names = names;
	l.wanted = 1;
	if (cut != CUT_BEFORE_INTENDED)
		OK(state_intend(b.state, b.r.row, &lp, 1, &b.a));
	(void)snprintf(from, sizeof(from), "%s/mail/tmp/%s", b.root, l.tmp);
	(void)snprintf(to, sizeof(to), "%s/mail/%s/%s%s", b.root,
		cut == CUT_SEEN ? "cur" : "new", names[0], cut == CUT_SEEN ? ":2,S" : "");
	if (cut == CUT_RENAMED || cut == CUT_SEEN)
		assert_int_equal(rename(from, to), 0);
	else if (cut == CUT_LOST)
		assert_int_equal(unlink(from), 0);
	else if (cut == CUT_TORN)
		assert_int_equal(truncate(from, 3), 0);
	fd_close(&l.fd);
	bench_stop(&b);
	bench_start(&b);
	bool there = cut == CUT_INTENDED || cut == CUT_RENAMED || cut == CUT_SEEN;
	if (asked) {
		OK(deliver_replay(b.deliver, b.why, sizeof(b.why)));
		assert_int_equal(count_files(b.root, "mail/tmp"), 0);
		assert_int_equal(
			count_files(b.root, "mail/new") + count_files(b.root, "mail/cur"),
			there);
		OK(state_want(b.state, b.r.row, &(struct letter *){&l}, 1, &b.a));
		assert_int_equal(l.wanted == 0, there);
	}
	/* And the next session fetches it again, or not: there once in any case. */
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n\r\none\r\n"));
	OK(commit_one(&b, &l));
	assert_int_equal(l.fate, there ? LETTER_KNOWN : LETTER_DELIVERED);
	assert_int_equal(
		count_files(b.root, "mail/new") + count_files(b.root, "mail/cur"), 1);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	bench_end(&b);
}

static void
replay_of_each_stage(void **state)
{
	(void)state;
	for (enum cut cut = 0; cut < CUTS; cut++)
		replay_at(cut, true);
	/* A commit settles the journal first even where nobody asked for a replay. */
	replay_at(CUT_INTENDED, false);
	replay_at(CUT_RENAMED, false);
}

static void
litter(void **state)
{
	struct bench b, other;
	struct letter l, mine;
	char path[300];

	(void)state;
	bench_make(&b, scratch());
	bench_make(&other, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_target(&b, FETCH_MAILDIR, "copy");
	bench_start(&b);
	/* Another state, with the same account, delivers to the same Maildir right now.
	 */
	bench_target(&other, FETCH_MAILDIR, "x");
	free(other.where[0]);
	other.where[0] = strdup(b.where[0]);
	other.a.targets[0].where = other.where[0];
	bench_start(&other);
	letter_make(&other, &l, "u1", VIEW("theirs\r\n"));
	letter_make(&b, &mine, "u2", VIEW("ours\r\n"));
	(void)snprintf(path, sizeof(path), "%s/mail/tmp/1720000000.M1P2.host", b.root);
	put_file(path, VIEW("another program's"));
	(void)snprintf(
		path, sizeof(path), "%s/copy/tmp/%s77.1.x", b.root, spool_mark(b.spool));
	put_file(path, VIEW("ours"));
	assert_int_equal(count_files(b.root, "mail/tmp"), 3);
	fd_close(&mine.fd);
	OK(deliver_replay(b.deliver, b.why, sizeof(b.why)));
	assert_int_equal(count_files(b.root, "mail/tmp"), 2);
	assert_int_equal(count_files(b.root, "copy/tmp"), 0);
	OK(commit_one(&other, &l));
	assert_int_equal(l.fate, LETTER_DELIVERED);
	bench_end(&b);
	bench_end(&other);
}

/* The state is gone, or an old one is back: what is in the Maildir is not doubled. */
static void
state_lost(void **state)
{
	struct bench b;
	struct letter l;
	char from[500], to[500];

	(void)state;
	bench_make(&b, scratch());
	bench_target(&b, FETCH_MAILDIR, "mail");
	bench_start(&b);
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n"));
	OK(commit_one(&b, &l));
	only_file(b.root, "mail/new", from, sizeof(from));
	(void)snprintf(
		to, sizeof(to), "%s/mail/cur/%s:2,S", b.root, strrchr(from, '/') + 1);
	assert_int_equal(rename(from, to), 0);
	bench_stop(&b);
	(void)snprintf(b.state_dir, sizeof(b.state_dir), "%.80s/other", b.root);
	bench_start(&b);
	OK(deliver_replay(b.deliver, b.why, sizeof(b.why)));
	letter_make(&b, &l, "u1", VIEW("A: 1\r\n"));
	OK(commit_one(&b, &l));
	assert_int_equal(l.fate, LETTER_KNOWN);
	/* The same words under another uid are another message. */
	letter_make(&b, &l, "u2", VIEW("A: 1\r\n"));
	OK(commit_one(&b, &l));
	assert_int_equal(l.fate, LETTER_DELIVERED);
	assert_int_equal(count_files(b.root, "mail/new"), 1);
	assert_int_equal(count_files(b.root, "mail/cur"), 1);
	assert_int_equal(count_files(b.root, "mail/tmp"), 0);
	bench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_maildir),
		cmocka_unit_test(synced_ahead),
		cmocka_unit_test(second_target),
		cmocka_unit_test(refused),
		cmocka_unit_test(replay_of_each_stage),
		cmocka_unit_test(litter),
		cmocka_unit_test(state_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
