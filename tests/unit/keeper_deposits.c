/* The real restante-keeper and mail that comes in. */
#include "keeper_desk.h"

#define LETTER "Subject: a\r\n\r\nbody\r\n"

static int
sealed_letter(void)
{
	int fd = sealed_new("letter", VIEW(LETTER));

	assert_true(fd >= 0);
	return fd;
}

static void
deposit(int fd, int take_letter, uint64_t length)
{
	uint8_t storage[4096];
	struct buf b = buf_over(storage, sizeof(storage));
	struct msg_deposit m = {.length = length,
		.sender = VIEW("s@example.org"),
		.recipient = VIEW("r@example.org")};

	msg_deposit_put(&m, &b);
	send_to(fd, &b, take_letter);
}

/* 0: ended without an answer. */
static uint8_t
outcome(int fd)
{
	struct view payload;
	struct msg_deposited m;
	uint16_t number = receive(fd, &payload);

	if (number == 0)
		return 0;
	assert_int_equal(number, MSG_DEPOSITED);
	assert_true(msg_deposited_get(&m, payload));
	assert_int_equal(receive(fd, &payload), 0);
	return m.outcome;
}

static size_t
files_in(const struct desk *d, const char *path)
{
	int fd = openat(d->o->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	size_t n = 0;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static void
a_message_comes_in(void **state)
{
	struct msg_keeper_setup setup = usual;
	(void)state;

	setup.hostname = VIEW("post/office:1");
	setup.folders = VIEW("Junk\0Spam\0");
	struct desk *d = desk_open(&setup);
	/* Into a maildrop that does not exist yet, twice below the root. */
	for (int i = 0; i < 2; i++) {
		int fd = attach_as(d, "users/anna/Maildir", "anna", RIGHT_DELIVER);
		deposit(fd, sealed_letter(), strlen(LETTER));
		assert_int_equal(outcome(fd), DEPOSIT_DONE);
		(void)close(fd);
	}
	assert_int_equal(files_in(d, "users/anna/Maildir/new"), 2);
	assert_int_equal(files_in(d, "users/anna/Maildir/tmp"), 0);
	assert_int_equal(counter(d, STAT_DEPOSITS), 2);
	assert_int_equal(counter(d, STAT_DEPOSIT_OCTETS), 2 * strlen(LETTER));
	assert_int_equal(counter(d, STAT_DEPOSIT_GROUPS), 2);
	/* And a reader finds it, with the size that its name says. */
	int fd = attach_as(d, "users/anna/Maildir", "anna", ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 2);
	assert_int_equal(counter(d, STAT_SIZED), 0);
	(void)close(fd);
	desk_close(d);
}

static void
a_session_does_not_hinder_it(void **state)
{
	(void)state;

	attach_connections = 1;
	attach_delay_s = 3600;
	struct desk *d = desk_open(&usual);
	/* Deliveries that are begun count for no limit of the user. */
	int waiting = attach(d, RIGHT_DELIVER), second = attach(d, RIGHT_DELIVER);
	int reader = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(reader), 0);
	deposit(waiting, sealed_letter(), strlen(LETTER));
	assert_int_equal(outcome(waiting), DEPOSIT_DONE);
	deposit(second, sealed_letter(), strlen(LETTER));
	assert_int_equal(outcome(second), DEPOSIT_DONE);
	(void)close(waiting);
	(void)close(second);
	/* The session goes on as it was. */
	verdict(reader, 1, 1, "", 0);
	assert_int_equal(done(reader).outcome, VERDICT_DONE);
	(void)close(reader);
	assert_int_equal(files_in(d, "Maildir/new"), 2);
	desk_close(d);
	attach_connections = attach_delay_s = 0;
}

/* The MTA was told that it is not stored, and will come again. */
static void
nobody_waits_for_it_any_more(void **state)
{
	(void)state;

	struct desk *d = desk_open(&usual);
	int gone = attach(d, RIGHT_DELIVER), fd = attach(d, RIGHT_DELIVER);
	/* Who came behind it is done: the keeper waits for it, and is not at it just now.
	 */
	deposit(fd, sealed_letter(), strlen(LETTER));
	assert_int_equal(outcome(fd), DEPOSIT_DONE);
	(void)close(fd);
	desk_stop_keeper(d);
	deposit(gone, sealed_letter(), strlen(LETTER));
	(void)close(gone);
	assert_int_equal(kill(d->keeper, SIGCONT), 0);
	/* Others that come behind it, so that it has had its turn. */
	for (int i = 0; i < 3; i++) {
		fd = attach(d, RIGHT_DELIVER);
		deposit(fd, sealed_letter(), strlen(LETTER));
		assert_int_equal(outcome(fd), DEPOSIT_DONE);
		(void)close(fd);
	}
	assert_int_equal(files_in(d, "Maildir/new"), 4);
	assert_int_equal(counter(d, STAT_DEPOSITS), 4);
	desk_close(d);
}

static void
many_share_their_syncs(void **state)
{
	enum { MANY = 200 };
	static int fds[MANY];
	struct desk *d = desk_open(&usual);
	(void)state;

	for (int i = 0; i < MANY; i++)
		fds[i] = attach(d, RIGHT_DELIVER);
	for (int i = 0; i < MANY; i++)
		deposit(fds[i], sealed_letter(), strlen(LETTER));
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(outcome(fds[i]), DEPOSIT_DONE);
		(void)close(fds[i]);
	}
	assert_int_equal(files_in(d, "Maildir/new"), MANY);
	assert_int_equal(files_in(d, "Maildir/tmp"), 0);
	assert_int_equal(counter(d, STAT_DEPOSITS), MANY);
	assert_true(counter(d, STAT_DEPOSIT_GROUPS) >= MANY / 32);
	assert_true(counter(d, STAT_DEPOSIT_GROUPS) <= MANY);
	desk_close(d);
}

enum { TOGETHER = 40 };

/* Messages that are whole in their sockets before the keeper has read ATTACH. */
static void
wake_to_deposits(struct desk *d)
{
	int fds[TOGETHER];

	for (int i = 0; i < TOGETHER; i++)
		fds[i] = attach(d, RIGHT_DELIVER);
	desk_stop_keeper(d);
	for (int i = 0; i < TOGETHER; i++)
		deposit(fds[i], sealed_letter(), strlen(LETTER));
	assert_int_equal(kill(d->keeper, SIGCONT), 0);
	for (int i = 0; i < TOGETHER; i++) {
		assert_int_equal(outcome(fds[i]), DEPOSIT_DONE);
		(void)close(fds[i]);
	}
}

static void
a_keeper_that_slept_takes_them_together(void **state)
{
	enum { ROUNDS = 50 };
	struct desk *d = desk_open(&usual);
	uint64_t deposits = 0;
	(void)state;

	/* A busy machine may run who stores before who reads, each time. */
	do {
		wake_to_deposits(d);
		deposits += TOGETHER;
	} while (counter(d, STAT_DEPOSIT_GROUPS) == deposits &&
		deposits < ROUNDS * TOGETHER);
	assert_true(counter(d, STAT_DEPOSIT_GROUPS) < deposits);
	assert_int_equal(counter(d, STAT_DEPOSITS), deposits);
	desk_close(d);
}

static int
plain_file(const struct desk *d, int flags)
{
	int fd = openat(
		d->o->root, "spool", O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, LETTER, strlen(LETTER)), 0);
	assert_int_equal(close(fd), 0);
	fd = openat(d->o->root, "spool", flags | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void
descriptors_are_checked(void **state)
{
	struct desk *d = desk_open(&usual);
	uint64_t n = strlen(LETTER);
	int pipes[2];
	(void)state;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	int open_memory = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(fd_write_all(open_memory, LETTER, n), 0);
	const struct {
		int fd;
		uint64_t length;
		uint8_t outcome; /* 0: a fault that ends the session */
	} rows[] = {
		{sealed_letter(), n, DEPOSIT_DONE}, {sealed_letter(), 0, DEPOSIT_DONE},
		{plain_file(d, O_RDONLY), n, DEPOSIT_DONE},
		{plain_file(d, O_RDONLY), n + 1, 0}, {plain_file(d, O_RDWR), n, 0},
		{plain_file(d, O_WRONLY), n, 0}, {plain_file(d, O_PATH), n, 0},
		{sealed_letter(), n + 1, 0}, {sealed_letter(), UINT64_MAX, 0},
		{open_memory, n, 0}, {pipes[0], 0, 0},
		{openat(d->o->root, ".", O_RDONLY | O_CLOEXEC), 0, 0},
		{-1, 0, 0}, /* none */
	};
	uint64_t faults = 0, good = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = attach(d, RIGHT_DELIVER);
		deposit(fd, rows[i].fd, rows[i].length);
		assert_int_equal(outcome(fd), rows[i].outcome);
		(void)close(fd);
		faults += rows[i].outcome == 0;
		good += rows[i].outcome == DEPOSIT_DONE;
	}
	assert_int_equal(counter(d, STAT_PROTOCOL_FAULTS), faults);
	assert_int_equal(files_in(d, "Maildir/new"), good);
	assert_int_equal(files_in(d, "Maildir/tmp"), 0);
	(void)close(pipes[1]);
	desk_close(d);
}

static void
two_descriptors_are_a_fault(void **state)
{
	struct desk *d = desk_open(&usual);
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	struct msg_deposit m = {.length = 1};
	int both[2] = {sealed_letter(), sealed_letter()};
	(void)state;

	msg_deposit_put(&m, &b);
	int fd = attach(d, RIGHT_DELIVER);
	assert_int_equal(channel_send(fd, buf_view(&b), both, 2), 0);
	assert_int_equal(outcome(fd), 0);
	(void)close(fd);
	(void)close(both[0]);
	(void)close(both[1]);
	assert_int_equal(counter(d, STAT_PROTOCOL_FAULTS), 1);
	desk_close(d);
}

static void
rights_do_not_mix(void **state)
{
	struct desk *d = desk_open(&usual);
	struct view payload;
	(void)state;

	put(d->o, "new/1.a", "a\n");
	/* Who delivers does not read, and the other way round. */
	for (uint8_t more = 1; more < 4; more++) {
		int fd = attach(d, (uint8_t)(RIGHT_DELIVER | more));
		assert_int_equal(refusal(fd), REFUSAL_PERMANENT);
		(void)close(fd);
	}
	int fd = attach(d, RIGHT_DELIVER);
	want(fd, (uint32_t[]){1}, 1);
	assert_int_equal(outcome(fd), 0);
	(void)close(fd);
	fd = attach(d, RIGHT_DELIVER);
	verdict(fd, 1, 1, "\x01", 1);
	assert_int_equal(outcome(fd), 0);
	(void)close(fd);
	fd = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 1);
	deposit(fd, sealed_letter(), 1);
	assert_int_equal(receive(fd, &payload), 0);
	(void)close(fd);
	assert_int_equal(counter(d, STAT_PROTOCOL_FAULTS), 3);
	assert_int_equal(counter(d, STAT_DEPOSITS), 0);
	assert_int_equal(files_in(d, "Maildir/new"), 1);
	desk_close(d);
}

/* However many bring mail, who reads finds a place. */
static void
deliveries_leave_room(void **state)
{
	enum { MANY = 49 };
	static int fds[MANY];
	struct msg_keeper_setup few = usual;
	few.sessions_max = 64;
	struct desk *d = desk_open(&few);
	(void)state;

	for (int i = 0; i < MANY; i++)
		fds[i] = attach(d, RIGHT_DELIVER);
	assert_int_equal(refusal(fds[MANY - 1]), REFUSAL_TEMPORARY);
	int reader = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(reader), 0);
	(void)close(reader);
	deposit(fds[0], sealed_letter(), strlen(LETTER));
	assert_int_equal(outcome(fds[0]), DEPOSIT_DONE);
	/* Its place is free again. */
	int next = attach(d, RIGHT_DELIVER);
	deposit(next, sealed_letter(), strlen(LETTER));
	assert_int_equal(outcome(next), DEPOSIT_DONE);
	(void)close(next);
	for (int i = 0; i < MANY; i++)
		(void)close(fds[i]);
	desk_close(d);
}

static void
what_cannot_be_stored_is_said(void **state)
{
	struct desk *d = desk_open(&usual);
	(void)state;

	/* A way out, a file in the way, and a maildrop that may not be written. */
	assert_int_equal(symlinkat("/tmp", d->o->root, "link"), 0);
	put(d->o, "file", "x");
	assert_int_equal(mkdirat(d->o->root, "closed", 0500), 0);
	static const char *const paths[] = {
		"link/Maildir", "../Maildir", "Maildir/file/Maildir", "closed/Maildir"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int fd = attach_as(d, paths[i], "u", RIGHT_DELIVER);
		deposit(fd, sealed_letter(), 1);
		assert_int_equal(outcome(fd), DEPOSIT_CLOSED);
		(void)close(fd);
	}
	assert_int_equal(counter(d, STAT_DEPOSITS), 0);
	desk_close(d);
}

/* The octets of a message that FETCH gives, from there on. */
static void
fetch_is(int fd, uint32_t msgno, uint64_t offset, const char *text)
{
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	struct msg_fetch m = {
		.msgno = msgno, .offset = offset, .length = (uint32_t)strlen(text)};
	struct msg_fetched got;
	struct view payload;
	const uint8_t *map;
	size_t n;

	msg_fetch_put(&m, &b);
	send_to(fd, &b, -1);
	assert_int_equal(receive(fd, &payload), MSG_FETCHED);
	assert_true(msg_fetched_get(&got, payload));
	assert_false(got.error);
	assert_int_equal(sealed_map(in.fds[0], 1 << 20, &map, &n), 0);
	assert_memory_equal(map, text, strlen(text));
	assert_int_equal(munmap((void *)(uintptr_t)map, n), 0);
}

static void
slice_is(int fd, uint32_t msgno, uint8_t kind, const char *start)
{
	struct view payload;
	struct msg_slices slices;
	struct slice row;
	char text[64] = {0};

	want(fd, &msgno, 1);
	assert_int_equal(receive(fd, &payload), MSG_SLICES);
	assert_true(msg_slices_get(&slices, payload));
	struct cursor c = cursor_over(slices.rows);
	assert_true(slice_get(&row, &c));
	assert_int_equal(row.kind, kind);
	assert_int_equal(in.nfds, kind == SLICE_SEALED);
	if (kind != SLICE_SEALED)
		return;
	uint64_t size;
	assert_int_equal(sealed_check(in.fds[0], &size), 0);
	assert_true(pread(in.fds[0], text, strlen(start), 0) > 0);
	assert_string_equal(text, start);
}

/* Others write into an mbox: a front gets copies of it, and nothing else. */
static void
an_mbox_is_served_too(void **state)
{
	struct desk *d = desk_open(&usual);
	size_t large = (1 << 20) + 100;
	AUTO_FREE uint8_t *octets = malloc(large);
	(void)state;

	assert_non_null(octets);
	memset(octets, 'x', large);
	memcpy(octets, "Subject: L\n\n", 12);
	memcpy(octets + large - 5, "last\n", 5);
	for (int i = 0; i < 2; i++) {
		int fd = attach_kind(d, "mail/anna", "anna", RIGHT_DELIVER, STORE_MBOX);
		if (i == 0)
			deposit(fd, sealed_letter(), strlen(LETTER));
		else
			deposit(fd, sealed_new("l", (struct view){octets, large}), large);
		assert_int_equal(outcome(fd), DEPOSIT_DONE);
		(void)close(fd);
	}
	int fd = attach_kind(d, "mail/anna", "anna", ALL_RIGHTS, STORE_MBOX);
	assert_int_equal(snapshot_count(fd), 2);
	slice_is(fd, 1, SLICE_SEALED, "Return-Path: <s@example.org>\n");
	slice_is(fd, 2, SLICE_PIECES, "");
	uint64_t head =
		strlen("Return-Path: <s@example.org>\nDelivered-To: r@example.org\n");
	fetch_is(fd, 1, head, "Subject: a\n\nbody\n");
	fetch_is(fd, 2, head, "Subject: L\n\nxxx");
	fetch_is(fd, 2, head + large - 5, "last\n");
	verdict(fd, 1, 1, "\x01", 1);
	assert_int_equal(done(fd).outcome, VERDICT_DONE);
	(void)close(fd);
	fd = attach_kind(d, "mail/anna", "anna", ALL_RIGHTS, STORE_MBOX);
	assert_int_equal(snapshot_count(fd), 1);
	fetch_is(fd, 1, head, "Subject: L\n\nxxx");
	(void)close(fd);
	desk_close(d);
}

/* Who goes away before its answer has delivered all the same, or nothing at all. */
static void
a_peer_that_left_harms_nobody(void **state)
{
	struct desk *d = desk_open(&usual);
	(void)state;

	for (int i = 0; i < 20; i++) {
		int fd = attach(d, RIGHT_DELIVER);
		if (i % 2)
			deposit(fd, sealed_letter(), strlen(LETTER));
		(void)close(fd);
	}
	int fd = attach(d, RIGHT_DELIVER);
	deposit(fd, sealed_letter(), strlen(LETTER));
	assert_int_equal(outcome(fd), DEPOSIT_DONE);
	(void)close(fd);
	assert_true(counter(d, STAT_DEPOSITS) >= 1);
	assert_int_equal(files_in(d, "Maildir/new"), counter(d, STAT_DEPOSITS));
	desk_close(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_comes_in),
		cmocka_unit_test(a_session_does_not_hinder_it),
		cmocka_unit_test(many_share_their_syncs),
		cmocka_unit_test(a_keeper_that_slept_takes_them_together),
		cmocka_unit_test(descriptors_are_checked),
		cmocka_unit_test(two_descriptors_are_a_fault),
		cmocka_unit_test(rights_do_not_mix),
		cmocka_unit_test(deliveries_leave_room),
		cmocka_unit_test(what_cannot_be_stored_is_said),
		cmocka_unit_test(an_mbox_is_served_too),
		cmocka_unit_test(nobody_waits_for_it_any_more),
		cmocka_unit_test(a_peer_that_left_harms_nobody),
	};
	if (!desk_ready())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
