/* The real restante-keeper and the sessions of readers. */
#include "keeper_desk.h"

#include "base/cursor.h"

#include <sys/resource.h>

static void
a_whole_session(void **state)
{
	struct desk *d = desk_open(&usual);
	struct view payload;
	struct msg_slices slices;
	struct slice row;
	char text[16] = {0};
	(void)state;

	put(d->o, "new/1.a", "a\r\n");
	put(d->o, "new/2.b", "bb\n");
	put(d->o, "new/3.c", "c\n");
	int fd = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 3);
	assert_int_equal(unlinkat(d->o->top, "new/3.c", 0), 0);
	want(fd, (uint32_t[]){2, 3, 1}, 3);
	uint32_t expected[] = {2, 3, 1};
	for (size_t got = 0; got < 3;) {
		assert_int_equal(receive(fd, &payload), MSG_SLICES);
		assert_true(msg_slices_get(&slices, payload));
		struct cursor c = cursor_over(slices.rows);
		for (size_t at = 0; slice_get(&row, &c); got++) {
			assert_int_equal(row.msgno, expected[got]);
			assert_int_equal(row.kind == SLICE_GONE, row.msgno == 3);
			if (row.kind != SLICE_FILE && row.kind != SLICE_SEALED)
				continue;
			int file = received_take(&in, at++);
			if (row.kind == SLICE_FILE)
				assert_int_equal(
					slice_file_check(file, 0, row.length), 0);
			assert_int_equal(pread(file, text, sizeof(text), 0), 3);
			assert_int_equal(write(file, "x", 1), -1);
			assert_int_equal(row.wire, row.msgno == 1 ? 3 : 4);
			assert_int_equal(row.as_is, row.msgno == 1);
			(void)close(file);
		}
		assert_true(cursor_at_end(&c));
	}
	verdict(fd, 1, 1, "\x05", 1);
	struct msg_done m = done(fd);
	assert_int_equal(m.outcome, VERDICT_DONE);
	assert_int_equal(m.removed, 2);
	assert_false(there(d->o, "new/1.a"));
	assert_true(there(d->o, "new/2.b"));
	assert_int_equal(counter(d, STAT_DELETED), 2);
	(void)close(fd);
	desk_close(d);
}

static void
pieces_come_sealed(void **state)
{
	struct desk *d = desk_open(&usual);
	uint8_t storage[64];
	struct view payload;
	struct msg_fetched got;
	const uint8_t *map;
	size_t n;
	(void)state;

	put(d->o, "new/1.a", "0123456789");
	int fd = attach(d, RIGHT_READ);
	assert_int_equal(snapshot_count(fd), 1);
	for (uint64_t offset = 4; offset < 12; offset += 4) {
		struct buf b = buf_over(storage, sizeof(storage));
		struct msg_fetch m = {.msgno = 1, .offset = offset, .length = 3};
		msg_fetch_put(&m, &b);
		send_to(fd, &b, -1);
		assert_int_equal(receive(fd, &payload), MSG_FETCHED);
		assert_true(msg_fetched_get(&got, payload));
		assert_int_equal(got.offset, offset);
		assert_int_equal(got.error, offset == 8);
		assert_int_equal(in.nfds, offset == 4);
		if (got.error)
			continue;
		assert_int_equal(sealed_map(in.fds[0], 3, &map, &n), 0);
		assert_memory_equal(map, "456", 3);
		assert_int_equal(munmap((void *)(uintptr_t)map, n), 0);
	}
	(void)close(fd);
	desk_close(d);
}

static void
one_session_a_maildrop(void **state)
{
	struct desk *d = desk_open(&usual);
	struct view payload;
	struct msg_refused m;
	(void)state;

	put(d->o, "new/1.a", "a\n");
	int first = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(first), 1);
	int second = attach(d, ALL_RIGHTS);
	assert_int_equal(receive(second, &payload), MSG_REFUSED);
	assert_true(msg_refused_get(&m, payload));
	assert_int_equal(m.code, REFUSAL_IN_USE);
	assert_memory_equal(m.holder.p, "0123456789abcdef", 16);
	assert_true(m.since > 0);
	assert_int_equal(receive(second, &payload), 0);
	(void)close(second);
	/* A front that closed is followed by the next login at once, every time. */
	for (int i = 0; i < 300; i++) {
		(void)close(first);
		first = attach(d, ALL_RIGHTS);
		assert_int_equal(snapshot_count(first), 1);
	}
	/* And after a verdict too. */
	for (int i = 0; i < 100; i++) {
		verdict(first, 1, 1, "", 0);
		int next = -1;
		assert_int_equal(receive(first, &payload), MSG_DONE);
		next = attach(d, ALL_RIGHTS);
		assert_int_equal(snapshot_count(next), 1);
		(void)close(first);
		first = next;
	}
	(void)close(first);
	desk_close(d);
}

static void
another_process_holds_it(void **state)
{
	struct desk *d = desk_open(&usual);
	struct lock_holder me = {.since = 77}, other;
	struct view payload;
	struct msg_refused m;
	(void)state;

	assert_int_equal(ops->lock(d->o->store, &me, &other), 0);
	int fd = attach(d, ALL_RIGHTS);
	assert_int_equal(receive(fd, &payload), MSG_REFUSED);
	assert_true(msg_refused_get(&m, payload));
	assert_int_equal(m.code, REFUSAL_IN_USE);
	assert_int_equal(m.since, 77);
	(void)close(fd);
	/* One that is about to go is waited for a moment; on a busy machine we may be too
	 * late to go within it. */
	uint16_t got = MSG_REFUSED;
	for (int i = 0; i < 20 && got == MSG_REFUSED; i++) {
		if (i > 0)
			assert_int_equal(ops->lock(d->o->store, &me, &other), 0);
		fd = attach(d, ALL_RIGHTS);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int early = poll(&p, 1, 30);
		ops->unlock(d->o->store);
		got = receive(fd, &payload);
		assert_true(early == 0 || got == MSG_REFUSED);
		(void)close(fd);
	}
	assert_int_equal(got, MSG_SNAPSHOT_SMALL);
	desk_close(d);
}

static void
verdicts_are_bounded(void **state)
{
	struct desk *d = desk_open(&usual);
	struct view payload;
	(void)state;

	put(d->o, "new/1.a", "a\n");
	put(d->o, "new/2.b", "b\n");
	/* A permit without the right to delete. */
	int fd = attach(d, RIGHT_READ);
	assert_int_equal(snapshot_count(fd), 2);
	verdict(fd, 1, 1, "\x03", 1);
	assert_int_equal(done(fd).outcome, VERDICT_DENIED);
	(void)close(fd);
	/* A verdict that is not finished deletes nothing. */
	fd = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 2);
	verdict(fd, 1, 0, "\x03", 1);
	(void)close(fd);
	/* A lock that was taken away. */
	fd = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 2);
	assert_int_equal(unlinkat(d->o->top, "restante-lock", 0), 0);
	verdict(fd, 1, 1, "\x03", 1);
	assert_int_equal(done(fd).outcome, VERDICT_LOST_LOCK);
	(void)close(fd);
	/* Numbers that do not exist. */
	static const struct {
		uint32_t first;
		const char *marks;
	} bad[] = {{0, "\x02"}, {1, "\x04"}, {2, "\x02"}, {UINT32_MAX, "\x01"}};
	for (size_t i = 0; i < 4; i++) {
		fd = attach(d, ALL_RIGHTS);
		assert_int_equal(snapshot_count(fd), 2);
		verdict(fd, bad[i].first, 1, bad[i].marks, 1);
		assert_int_equal(receive(fd, &payload), 0);
		(void)close(fd);
	}
	assert_int_equal(counter(d, STAT_PROTOCOL_FAULTS), 4);
	assert_true(there(d->o, "new/1.a"));
	assert_true(there(d->o, "new/2.b"));
	desk_close(d);
}

static void
a_fault_ends_that_session_only(void **state)
{
	struct desk *d = desk_open(&usual);
	struct view payload;
	uint8_t storage[64];
	(void)state;

	put(d->o, "new/1.a", "a\n");
	int other = attach_as(d, "Elsewhere", "v", ALL_RIGHTS);
	assert_int_equal(snapshot_count(other), 0);
	/* Every number without its fields. */
	for (uint16_t number = 0; number < 0x60; number++) {
		int fd = attach(d, ALL_RIGHTS);
		assert_int_equal(snapshot_count(fd), 1);
		struct buf b = buf_over(storage, sizeof(storage));
		buf_put_u16(&b, number);
		send_to(fd, &b, -1);
		assert_int_equal(receive(fd, &payload), 0);
		(void)close(fd);
	}
	/* Wants beyond the maildrop, none at all, and a piece beyond every limit. */
	for (int i = 0; i < 4; i++) {
		int fd = attach(d, ALL_RIGHTS);
		struct msg_fetch m = {.msgno = 1, .length = 1048577};
		struct buf b = buf_over(storage, sizeof(storage));
		assert_int_equal(snapshot_count(fd), 1);
		msg_fetch_put(&m, &b);
		if (i < 3)
			want(fd, (uint32_t[]){(uint32_t)i * 2}, i < 2);
		else
			send_to(fd, &b, -1);
		assert_int_equal(receive(fd, &payload), 0);
		(void)close(fd);
	}
	assert_int_equal(counter(d, STAT_PROTOCOL_FAULTS), 0x60 + 4);
	verdict(other, 1, 1, "", 0);
	assert_int_equal(done(other).outcome, VERDICT_DONE);
	(void)close(other);
	desk_close(d);
}

static void
a_front_that_never_reads_holds_only_itself(void **state)
{
	struct desk *d = desk_open(&usual);
	uint8_t storage[256], list[128];
	struct buf b = buf_over(storage, sizeof(storage)),
		   l = buf_over(list, sizeof(list));
	char path[32];
	(void)state;

	for (int i = 1; i <= 32; i++) {
		(void)snprintf(path, sizeof(path), "new/%d.a", i);
		put(d->o, path, "a\n");
		buf_put_u32(&l, (uint32_t)i);
	}
	struct msg_want m = {.msgnos = buf_view(&l)};
	msg_want_put(&m, &b);
	int deaf = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(deaf), 32);
	/* Until its own side is full: what it asked and does not take is bounded. */
	int sent = 0;
	while (channel_send(deaf, buf_view(&b), NULL, 0) == 0)
		sent++;
	assert_true(sent > 0);
	int other = attach_as(d, "Elsewhere", "v", ALL_RIGHTS);
	assert_int_equal(snapshot_count(other), 0);
	(void)close(other);
	/* It reads at last, and is served. */
	struct view payload;
	assert_int_equal(receive(deaf, &payload), MSG_SLICES);
	(void)close(deaf);
	desk_close(d);
}

static void
an_idle_holder_yields(void **state)
{
	struct msg_keeper_setup setup = usual;
	struct view payload;
	struct msg_yield yield;
	(void)state;

	setup.lock_takeover_s = 30;
	struct desk *d = desk_open(&setup);
	int first = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(first), 0);
	int second = attach(d, ALL_RIGHTS);
	assert_int_equal(receive(first, &payload), MSG_YIELD);
	assert_true(msg_yield_get(&yield, payload));
	assert_int_equal(yield.idle_s, 30);
	(void)close(first);
	assert_int_equal(snapshot_count(second), 0);
	/* One that does not go keeps the maildrop. */
	int third = attach(d, ALL_RIGHTS);
	assert_int_equal(receive(second, &payload), MSG_YIELD);
	assert_int_equal(refusal(third), REFUSAL_IN_USE);
	(void)close(third);
	(void)close(second);
	desk_close(d);
}

static void
limits_of_a_user(void **state)
{
	(void)state;

	attach_connections = 2;
	attach_delay_s = 3600;
	struct desk *d = desk_open(&usual);
	int a = attach_as(d, "A", "u", ALL_RIGHTS);
	assert_int_equal(snapshot_count(a), 0);
	int b = attach_as(d, "B", "u", ALL_RIGHTS);
	assert_int_equal(snapshot_count(b), 0);
	int c = attach_as(d, "C", "u", ALL_RIGHTS);
	assert_int_equal(refusal(c), REFUSAL_CONNECTIONS);
	(void)close(c);
	c = attach_as(d, "C", "v", ALL_RIGHTS);
	assert_int_equal(snapshot_count(c), 0);
	(void)close(c);
	(void)close(b);
	b = attach_as(d, "B", "w", ALL_RIGHTS);
	assert_int_equal(refusal(b), REFUSAL_LOGIN_DELAY);
	(void)close(b);
	(void)close(a);
	desk_close(d);
	attach_connections = attach_delay_s = 0;
}

static void
errors_are_refusals(void **state)
{
	struct desk *d = desk_open(&usual);
	(void)state;

	assert_int_equal(symlinkat("/etc", d->o->root, "link"), 0);
	int fd = attach_as(d, "link", "u", ALL_RIGHTS);
	assert_int_equal(refusal(fd), REFUSAL_PERMANENT);
	(void)close(fd);
	fd = attach_as(d, "../../etc", "u", ALL_RIGHTS);
	assert_int_equal(refusal(fd), REFUSAL_PERMANENT);
	(void)close(fd);
	desk_close(d);
}

/* It may have been idle before they came, too, where that took us long. */
static void
idle_after(struct desk *d, uint64_t attached)
{
	struct msg_keeper_idle m;
	struct view payload;

	do {
		assert_int_equal(receive(d->monitor, &payload), MSG_KEEPER_IDLE);
		assert_true(msg_keeper_idle_get(&m, payload));
	} while (m.attached < attached);
	assert_int_equal(m.attached, attached);
}

static void
an_idle_keeper_says_so(void **state)
{
	struct msg_keeper_setup setup = usual;
	(void)state;

	setup.idle_s = 1;
	struct desk *d = desk_open(&setup);
	put(d->o, "new/1.a", "a\n");
	int fd = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 1);
	(void)close(fd);
	idle_after(d, 1);
	assert_true(there(d->o, "restante-index"));
	/* It can be used again, and says it again. */
	fd = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 1);
	(void)close(fd);
	idle_after(d, 2);
	desk_close(d);
}

/* Who is refused at once has no session whose end would make it look again. */
static void
an_idle_keeper_that_refuses_says_so_again(void **state)
{
	struct msg_keeper_setup setup = usual;
	struct msg_keeper_idle m;
	struct view payload;
	(void)state;

	setup.idle_s = 1;
	struct desk *d = desk_open(&setup);
	assert_int_equal(receive(d->monitor, &payload), MSG_KEEPER_IDLE);
	int fd = attach(d, RIGHT_DELIVER | RIGHT_READ);
	assert_int_equal(refusal(fd), REFUSAL_PERMANENT);
	(void)close(fd);
	assert_int_equal(receive(d->monitor, &payload), MSG_KEEPER_IDLE);
	assert_true(msg_keeper_idle_get(&m, payload));
	assert_int_equal(m.attached, 1);
	desk_close(d);
}

/* After a reload: it does not wait for keeper_idle, only for the session that it has. */
static void
a_retired_keeper_says_so_at_once(void **state)
{
	uint8_t storage[16];
	struct buf b = buf_over(storage, sizeof(storage));
	struct desk *d = desk_open(&usual);
	struct msg_keeper_idle m;
	struct view payload;
	(void)state;

	assert_true(usual.idle_s >= 60);
	put(d->o, "new/1.a", "a\n");
	int fd = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 1);
	msg_keeper_retire_put(&(struct msg_keeper_retire){0}, &b);
	assert_int_equal(channel_send(d->monitor, buf_view(&b), NULL, 0), 0);
	/* Whoever holds the maildrop is not disturbed. */
	int other = attach(d, ALL_RIGHTS);
	assert_int_equal(receive(other, &payload), MSG_REFUSED);
	(void)close(other);
	(void)close(fd);
	assert_int_equal(receive(d->monitor, &payload), MSG_KEEPER_IDLE);
	assert_true(msg_keeper_idle_get(&m, payload));
	assert_int_equal(m.attached, 2);
	assert_true(there(d->o, "restante-index"));
	desk_close(d);
}

static void
many_maildrops_at_once(void **state)
{
	struct desk *d = desk_open(&usual);
	static int fds[600];
	struct view payload;
	char path[32];
	(void)state;

	/* More than are kept at hand. */
	for (int i = 0; i < 600; i++) {
		(void)snprintf(path, sizeof(path), "box%d", i);
		fds[i] = attach_as(d, path, path, ALL_RIGHTS);
		assert_int_equal(snapshot_count(fds[i]), 0);
	}
	for (int i = 0; i < 600; i++)
		(void)close(fds[i]);
	/* And all at the same moment, each twice: one of the two is told to wait. */
	for (int i = 0; i < 600; i++) {
		(void)snprintf(path, sizeof(path), "box%d", i / 2);
		fds[i] = attach_as(d, path, path, ALL_RIGHTS);
	}
	for (int i = 0; i < 600; i += 2) {
		uint16_t a = receive(fds[i], &payload), b = receive(fds[i + 1], &payload);
		assert_int_equal(a, MSG_SNAPSHOT_SMALL);
		assert_int_equal(b, MSG_REFUSED);
		(void)close(fds[i]);
		(void)close(fds[i + 1]);
	}
	desk_close(d);
}

/* How many places of ended sessions the keeper tells next; each is one of ours, once. */
static uint32_t
told_of(struct desk *d, bool seen[], uint32_t most)
{
	struct msg_keeper_left left;
	struct view payload;
	uint32_t n = 0;

	assert_int_equal(receive(d->monitor, &payload), MSG_KEEPER_LEFT);
	assert_true(msg_keeper_left_get(&left, payload));
	assert_int_equal(left.places.n % 4, 0);
	for (struct cursor c = cursor_over(left.places); c.n > 0; n++) {
		uint32_t place = cursor_u32(&c);
		assert_in_range(place, 1, most);
		assert_false(seen[place]);
		seen[place] = true;
	}
	return n;
}

/* With one session a user: what is over counts no more, freed or not. */
static void
who_comes_again_at_once_is_the_only_one(void **state)
{
	struct msg_keeper_setup many = usual;
	struct view payload;
	(void)state;

	many.threads = 8;
	attach_connections = 1;
	struct desk *d = desk_open(&many);
	put(d->o, "new/1.a", "a\n");
	for (int i = 0; i < 600; i++) {
		int first = attach(d, ALL_RIGHTS);
		assert_int_equal(snapshot_count(first), 1);
		int second = -1;
		if (i % 3 == 1) {
			second = attach(d, ALL_RIGHTS);
			assert_int_equal(refusal(second), REFUSAL_IN_USE);
		} else if (i % 3 == 2) {
			verdict(first, 1, 1, "", 0);
			assert_int_equal(receive(first, &payload), MSG_DONE);
		}
		(void)close(first);
		if (second >= 0)
			(void)close(second);
	}
	desk_close(d);
	attach_connections = 0;
}

/* However a session ends: by its front, by a refusal, or for want of a place. */
static void
the_monitor_is_told_of_ends(void **state)
{
	enum { MANY = 48 };
	struct msg_keeper_setup few = usual;
	bool seen[MANY + 1] = {false};
	int fds[MANY];
	(void)state;

	few.sessions_max = 32;
	struct desk *d = desk_open(&few);
	put(d->o, "new/1.a", "a\n");
	for (int i = 0; i < MANY; i++) {
		attach_place = (uint32_t)i + 1;
		fds[i] = attach(d, ALL_RIGHTS);
	}
	attach_place = 0;
	/* One has the maildrop, a few are refused for that, the others for their number.
	 */
	assert_int_equal(snapshot_count(fds[0]), 1);
	for (int i = 1; i < MANY; i++)
		(void)refusal(fds[i]);
	for (int i = 0; i < MANY; i++)
		(void)close(fds[i]);
	for (uint32_t n = 0; n < MANY;)
		n += told_of(d, seen, MANY);
	desk_close(d);
}

static void
limit_descriptors(pid_t pid, rlim_t n)
{
	struct rlimit r;

	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &r), 0);
	r.rlim_cur = n;
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &r, NULL), 0);
}

/* In how many messages the rows of a WANT come. */
static size_t
rows_of(int fd, size_t n, size_t *ret_unreadable)
{
	struct msg_slices slices;
	struct view payload;
	struct slice row;
	size_t got = 0, batches = 0;

	*ret_unreadable = 0;
	for (; got < n; batches++) {
		assert_int_equal(receive(fd, &payload), MSG_SLICES);
		assert_true(msg_slices_get(&slices, payload));
		struct cursor c = cursor_over(slices.rows);
		while (slice_get(&row, &c)) {
			got++;
			*ret_unreadable += row.kind == SLICE_UNREADABLE;
		}
	}
	return batches;
}

/* Who comes is refused by the end of the channel, and whoever is there goes on. */
static void
a_keeper_without_a_descriptor_lives_on(void **state)
{
	struct desk *d = desk_open(&usual);
	bool seen[2] = {false};
	struct view payload;
	size_t unreadable = 3;
	struct rlimit before;
	(void)state;

	put(d->o, "new/1.a", "a\n");
	put(d->o, "new/2.b", "b\n");
	put(d->o, "new/3.c", "c\n");
	int fd = attach(d, ALL_RIGHTS);
	assert_int_equal(snapshot_count(fd), 3);
	assert_int_equal(prlimit(d->keeper, RLIMIT_NOFILE, NULL, &before), 0);
	limit_descriptors(d->keeper, 1);
	attach_place = 1;
	int other = attach_as(d, "Other", "u", ALL_RIGHTS);
	assert_int_equal(receive(other, &payload), 0);
	assert_int_equal(told_of(d, seen, 1), 1);
	(void)close(other);
	attach_place = 0;
	/* With the first place that is free each message is there, one at a time. */
	for (rlim_t n = 2; unreadable > 0; n++) {
		limit_descriptors(d->keeper, n);
		want(fd, (uint32_t[]){1, 2, 3}, 3);
		size_t batches = rows_of(fd, 3, &unreadable);
		assert_true(unreadable == 3 || (unreadable == 0 && batches > 1));
	}
	limit_descriptors(d->keeper, before.rlim_cur);
	want(fd, (uint32_t[]){1, 2, 3}, 3);
	(void)rows_of(fd, 3, &unreadable);
	assert_int_equal(unreadable, 0);
	other = attach_as(d, "Other", "u", ALL_RIGHTS);
	assert_int_equal(snapshot_count(other), 0);
	(void)close(other);
	(void)close(fd);
	desk_close(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_session),
		cmocka_unit_test(pieces_come_sealed),
		cmocka_unit_test(one_session_a_maildrop),
		cmocka_unit_test(another_process_holds_it),
		cmocka_unit_test(verdicts_are_bounded),
		cmocka_unit_test(a_fault_ends_that_session_only),
		cmocka_unit_test(a_front_that_never_reads_holds_only_itself),
		cmocka_unit_test(an_idle_holder_yields),
		cmocka_unit_test(limits_of_a_user),
		cmocka_unit_test(who_comes_again_at_once_is_the_only_one),
		cmocka_unit_test(errors_are_refusals),
		cmocka_unit_test(an_idle_keeper_says_so),
		cmocka_unit_test(an_idle_keeper_that_refuses_says_so_again),
		cmocka_unit_test(a_retired_keeper_says_so_at_once),
		cmocka_unit_test(the_monitor_is_told_of_ends),
		cmocka_unit_test(a_keeper_without_a_descriptor_lives_on),
		cmocka_unit_test(many_maildrops_at_once),
	};
	if (!desk_ready())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
