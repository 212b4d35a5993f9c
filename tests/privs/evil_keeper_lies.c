#include "evil_keeper.h"
#include "ipc/permit.h"
#include "ipc/slice.h"
#include "ipc/snapshot.h"
#include "os/sealed.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MESSAGE_OCTETS 100 /* of each message, as the usual snapshot says */
#define SEALS	       (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* The first MESSAGE_OCTETS of it are a whole message. */
static const uint8_t text[4096] = "Subject: evil\r\n\r\n"
				  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";

static void
cut(int fd, off_t size)
{
	if (ftruncate(fd, size) < 0)
		_exit(74);
}

/* ---- snapshots ----------------------------------------------------------------------
 */

static void
send_snapshot(int fd, struct view octets, uint32_t count, uint64_t sum)
{
	int memory = sealed_new("snapshot", octets);
	EVIL(m, snapshot,
		{.rights = RIGHT_READ | RIGHT_DELETE, .count = count, .octets = sum});

	(void)evil_send(fd, &m, &memory, 1);
	(void)close(memory);
}

/* Two messages of these sizes, as if all were well. */
static struct buf
two_messages(uint8_t *storage, size_t cap, uint64_t first, uint64_t second)
{
	struct buf b = buf_over(storage, cap);

	buf_put_u64(&b, SNAPSHOT_MAGIC);
	buf_put_u32(&b, SNAPSHOT_VERSION);
	buf_put_u32(&b, 2);
	buf_put_u64(&b, first + second);
	buf_put_u64(&b, 6);
	for (uint32_t i = 0; i < 2; i++) {
		buf_put_u64(&b, i ? second : first);
		buf_put_u32(&b, 3 * i);
		buf_put_u16(&b, 3);
		buf_put_u16(&b, 0);
	}
	buf_put(&b, "aaabbb", 6);
	return b;
}

void
keeper_snapshot(int fd)
{
	uint8_t storage[512];
	struct buf b =
		two_messages(storage, sizeof(storage), MESSAGE_OCTETS, MESSAGE_OCTETS);

	send_snapshot(fd, buf_view(&b), 2, 2 * MESSAGE_OCTETS);
}

static void
snapshot_twice(int fd)
{
	keeper_snapshot(fd);
	keeper_snapshot(fd);
}

static void
refuse(int fd)
{
	EVIL(m, refused, {.code = REFUSAL_TEMPORARY});

	(void)evil_send(fd, &m, NULL, 0);
}

static void
snapshot_then_refused(int fd)
{
	keeper_snapshot(fd);
	refuse(fd);
}

static void
refused_then_snapshot(int fd)
{
	refuse(fd);
	keeper_snapshot(fd);
}

/* The message says other figures than the table. */
static void
snapshot_count(int fd)
{
	uint8_t storage[512];
	struct buf b =
		two_messages(storage, sizeof(storage), MESSAGE_OCTETS, MESSAGE_OCTETS);

	send_snapshot(fd, buf_view(&b), 5, 2 * MESSAGE_OCTETS);
}

static void
snapshot_sum(int fd)
{
	uint8_t storage[512];
	struct buf b =
		two_messages(storage, sizeof(storage), MESSAGE_OCTETS, MESSAGE_OCTETS);

	send_snapshot(fd, buf_view(&b), 2, 12345);
}

static void
snapshot_nothing(int fd)
{
	send_snapshot(fd, (struct view){text, 0}, 2, 2 * MESSAGE_OCTETS);
}

static void
snapshot_cut(int fd)
{
	uint8_t storage[512];
	struct buf b =
		two_messages(storage, sizeof(storage), MESSAGE_OCTETS, MESSAGE_OCTETS);
	struct view v = buf_view(&b);

	v.n = SNAPSHOT_HEADER + SNAPSHOT_ROW + 3;
	send_snapshot(fd, v, 2, 2 * MESSAGE_OCTETS);
}

static void
snapshot_wraps(int fd)
{
	uint8_t storage[512];
	struct buf b = two_messages(
		storage, sizeof(storage), UINT64_C(1) << 63, UINT64_C(1) << 63);

	send_snapshot(fd, buf_view(&b), 2, 0);
}

/* A TiB of nothing behind a table that is good: whoever reads it all, or maps it locked,
 * has lost. */
static void
snapshot_huge(int fd)
{
	uint8_t storage[512];
	struct buf b =
		two_messages(storage, sizeof(storage), MESSAGE_OCTETS, MESSAGE_OCTETS);
	int memory = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EVIL(m, snapshot,
		{.rights = RIGHT_READ, .count = 2, .octets = 2 * MESSAGE_OCTETS});

	if (write(memory, b.p, b.n) < 0 || ftruncate(memory, INT64_C(1) << 40) < 0 ||
		fcntl(memory, F_ADD_SEALS, SEALS) < 0)
		_exit(74);
	(void)evil_send(fd, &m, &memory, 1);
	(void)close(memory);
}

/* The table of four million messages, none of which has a UIDL. */
static void
snapshot_millions(int fd)
{
	int memory = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	EVIL(m, snapshot, {.rights = RIGHT_READ, .count = SNAPSHOT_MESSAGES_MAX});

	buf_put_u64(&b, SNAPSHOT_MAGIC);
	buf_put_u32(&b, SNAPSHOT_VERSION);
	buf_put_u32(&b, SNAPSHOT_MESSAGES_MAX);
	buf_put_u64(&b, 0);
	buf_put_u64(&b, 0);
	if (write(memory, b.p, b.n) < 0 ||
		ftruncate(memory,
			SNAPSHOT_HEADER + (off_t)SNAPSHOT_ROW * SNAPSHOT_MESSAGES_MAX) <
			0 ||
		fcntl(memory, F_ADD_SEALS, SEALS) < 0)
		_exit(74);
	(void)evil_send(fd, &m, &memory, 1);
	(void)close(memory);
}

/* ---- snapshots that come in the message itself ---- */

static void
send_small(int fd, struct view table)
{
	EVIL(m, snapshot_small, {.rights = RIGHT_READ | RIGHT_DELETE, .table = table});

	(void)evil_send(fd, &m, NULL, 0);
}

static void
small_garbage(int fd)
{
	send_small(fd, (struct view){text, 300});
}

static void
small_empty(int fd)
{
	send_small(fd, (struct view){text, 0});
}

static void
small_cut(int fd)
{
	uint8_t storage[512];
	struct buf b =
		two_messages(storage, sizeof(storage), MESSAGE_OCTETS, MESSAGE_OCTETS);

	send_small(fd, (struct view){storage, b.n - 2});
}

static void
small_tail(int fd)
{
	uint8_t storage[512];
	struct buf b =
		two_messages(storage, sizeof(storage), MESSAGE_OCTETS, MESSAGE_OCTETS);

	send_small(fd, (struct view){storage, b.n + 100});
}

static void
small_wraps(int fd)
{
	uint8_t storage[512];
	struct buf b = two_messages(
		storage, sizeof(storage), UINT64_C(1) << 63, UINT64_C(1) << 63);

	send_small(fd, buf_view(&b));
}

static void
small_twice(int fd)
{
	uint8_t storage[512];
	struct buf b =
		two_messages(storage, sizeof(storage), MESSAGE_OCTETS, MESSAGE_OCTETS);

	send_small(fd, buf_view(&b));
	send_small(fd, buf_view(&b));
	keeper_snapshot(fd);
}

/* ---- what was not asked for
 * ------------------------------------------------------------ */

static int
message_memory(size_t n)
{
	return sealed_new("message", (struct view){text, n});
}

static void
send_slice(int fd, struct slice row, int file)
{
	uint8_t storage[64];
	struct buf rows = buf_over(storage, sizeof(storage));

	slice_put(&row, &rows);
	EVIL(m, slices, {.rows = buf_view(&rows)});
	(void)evil_send(fd, &m, &file, file >= 0);
}

static const struct slice whole = {.msgno = 1,
	.kind = SLICE_SEALED,
	.length = MESSAGE_OCTETS,
	.wire = MESSAGE_OCTETS};

static void
slices_unasked(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);

	keeper_snapshot(fd);
	send_slice(fd, whole, memory);
	(void)close(memory);
}

static void
slices_flood(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);

	keeper_snapshot(fd);
	for (unsigned i = 0; i < 5000; i++)
		send_slice(fd, whole, memory);
	(void)close(memory);
}

static void
send_fetched(int fd, struct msg_fetched m, int memory)
{
	uint8_t storage[256];
	struct buf out = buf_over(storage, sizeof(storage));

	msg_fetched_put(&m, &out);
	(void)evil_send(fd, &out, &memory, memory >= 0);
}

static void
fetched_unasked(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);

	keeper_snapshot(fd);
	send_fetched(
		fd, (struct msg_fetched){.msgno = 1, .length = MESSAGE_OCTETS}, memory);
	(void)close(memory);
}

static void
done(int fd, uint8_t outcome, uint32_t removed, uint32_t remain)
{
	EVIL(m, done, {.outcome = outcome, .removed = removed, .remain = remain});

	(void)evil_send(fd, &m, NULL, 0);
}

static void
done_unasked(int fd)
{
	keeper_snapshot(fd);
	done(fd, VERDICT_DONE, 2, 0);
}

static void
yield_flood(int fd)
{
	keeper_snapshot(fd);
	EVIL(m, yield, {.idle_s = 0});
	for (unsigned i = 0; i < 5000; i++)
		(void)evil_send(fd, &m, NULL, 0);
}

/* Words of the monitor and of auth, on the channel of a session. */
static void
words_of_others(int fd)
{
	EVIL(attach, attach, {.session = 1, .rights = 0xff, .maildrop = VIEW("bert")});
	EVIL(failed, login_failed, {.session = 1});
	EVIL(ready, ready, {.cage = 0});

	keeper_snapshot(fd);
	(void)evil_send(fd, &attach, NULL, 0);
	(void)evil_send(fd, &failed, NULL, 0);
	(void)evil_send(fd, &ready, NULL, 0);
}

/* ---- slices
 * ---------------------------------------------------------------------------- */

static void
slice_twice(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);

	send_slice(fd, whole, memory);
	send_slice(fd, whole, memory);
	(void)close(memory);
}

/* Nothing is wrong with these two: so that the others are known to fail for their lie. */
static void
slice_honest(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);

	send_slice(fd, whole, memory);
	(void)close(memory);
}

static void
sealed_short(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS / 2);

	send_slice(fd, whole, memory);
	(void)close(memory);
}

static void
sealed_unsealed(int fd)
{
	int memory = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (write(memory, text, MESSAGE_OCTETS) < 0)
		_exit(74);
	send_slice(fd, whole, memory);
	(void)close(memory);
}

/* Sealed against all but writing. */
static void
sealed_half(int fd)
{
	int memory = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (write(memory, text, MESSAGE_OCTETS) < 0 ||
		fcntl(memory, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		_exit(74);
	send_slice(fd, whole, memory);
	(void)close(memory);
}

static void
sealed_file(int fd)
{
	int file = openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);

	send_slice(fd, whole, file);
	(void)close(file);
}

static void
sealed_offset(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);
	struct slice row = whole;

	row.offset = MESSAGE_OCTETS - 10;
	send_slice(fd, row, memory);
	(void)close(memory);
}

/* Other octets than LIST has said: the client must not get them as whole. */
static void
slice_smaller(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);
	struct slice row = whole;

	row.length = row.wire = 10;
	send_slice(fd, row, memory);
	(void)close(memory);
}

static void
slice_rows_cut(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);
	uint8_t storage[64];
	struct buf rows = buf_over(storage, sizeof(storage));

	slice_put(&whole, &rows);
	EVIL(m, slices, {.rows = {storage, rows.n - 7}});
	(void)evil_send(fd, &m, &memory, 1);
	(void)close(memory);
}

static void
slice_rows_none(int fd)
{
	int memory = message_memory(MESSAGE_OCTETS);
	EVIL(m, slices, {.rows = VIEW("")});

	(void)evil_send(fd, &m, &memory, 1);
	(void)close(memory);
}

/* A batch in which all rows are the same message, and share a descriptor. */
static void
slice_overlapping(int fd)
{
	uint8_t storage[SLICES_BATCH_MAX * SLICE_ROW_OCTETS];
	struct buf rows = buf_over(storage, sizeof(storage));
	int memory = message_memory(MESSAGE_OCTETS);

	for (unsigned i = 0; i < SLICES_BATCH_MAX; i++)
		slice_put(&whole, &rows);
	EVIL(m, slices, {.rows = buf_view(&rows)});
	(void)evil_send(fd, &m, &memory, 1);
	(void)close(memory);
}

/* A file that is whole when it is passed, and nothing a moment later. */
static void
slice_shrinks(int fd)
{
	int file = openat(AT_FDCWD, "/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	char path[64] = "/proc/self/fd/";
	struct buf name = buf_over((uint8_t *)path + 14, sizeof(path) - 15);

	if (file < 0 || write(file, text, MESSAGE_OCTETS) < 0)
		_exit(74);
	buf_put_dec(&name, (uint64_t)file);
	int readable = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	struct slice row = whole;
	row.kind = SLICE_FILE;
	cut(file, MESSAGE_OCTETS - 1);
	send_slice(fd, row, readable);
	cut(file, 0);
	(void)close(file);
	(void)close(readable);
}

/* ---- pieces
 * ---------------------------------------------------------------------------- */

static void
in_pieces(int fd)
{
	struct slice row = whole;

	row.kind = SLICE_PIECES;
	send_slice(fd, row, -1);
}

static void
answer_fetch(int fd, const struct msg_fetch *asked, uint32_t msgno, uint64_t offset,
	uint32_t length, size_t octets)
{
	int memory = message_memory(octets);

	(void)asked;
	send_fetched(fd,
		(struct msg_fetched){.msgno = msgno, .offset = offset, .length = length},
		memory);
	(void)close(memory);
}

static void
fetched_honest(int fd, const struct msg_fetch *a)
{
	answer_fetch(fd, a, a->msgno, a->offset, a->length, a->length);
}

static void
fetched_other(int fd, const struct msg_fetch *a)
{
	answer_fetch(fd, a, 2, a->offset, a->length, a->length);
}

static void
fetched_elsewhere(int fd, const struct msg_fetch *a)
{
	answer_fetch(fd, a, a->msgno, a->offset + 1, a->length, a->length);
}

static void
fetched_longer(int fd, const struct msg_fetch *a)
{
	answer_fetch(fd, a, a->msgno, a->offset, UINT32_MAX, 4096);
}

static void
fetched_short(int fd, const struct msg_fetch *a)
{
	answer_fetch(fd, a, a->msgno, a->offset, a->length, a->length / 2);
}

static void
fetched_unsealed(int fd, const struct msg_fetch *a)
{
	int memory = memfd_create("piece", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (write(memory, text, a->length) < 0)
		_exit(74);
	send_fetched(fd,
		(struct msg_fetched){
			.msgno = a->msgno, .offset = a->offset, .length = a->length},
		memory);
	(void)close(memory);
}

static void
fetched_bare(int fd, const struct msg_fetch *a)
{
	send_fetched(fd,
		(struct msg_fetched){
			.msgno = a->msgno, .offset = a->offset, .length = a->length},
		-1);
}

static void
fetched_error(int fd, const struct msg_fetch *a)
{
	send_fetched(fd,
		(struct msg_fetched){
			.msgno = a->msgno, .offset = a->offset, .error = 200},
		-1);
}

static void
fetched_twice(int fd, const struct msg_fetch *a)
{
	answer_fetch(fd, a, a->msgno, a->offset, a->length, a->length);
	answer_fetch(fd, a, a->msgno, a->offset, a->length, a->length);
}

/* ---- verdicts
 * -------------------------------------------------------------------------- */

static void
done_partial(int fd)
{
	done(fd, VERDICT_PARTIAL, 0, 0);
}

static void
done_twice(int fd)
{
	done(fd, VERDICT_PARTIAL, 0, 1);
	done(fd, VERDICT_DONE, 1, 0);
}

static void
done_is_snapshot(int fd)
{
	keeper_snapshot(fd);
}

/* ---- to the monitor and the log
 * --------------------------------------------------------- */

static void
monitor_idle(int fd)
{
	EVIL(m, keeper_idle, {.attached = UINT64_MAX});

	for (unsigned i = 0; i < 1000; i++)
		(void)evil_send(FD_MONITOR, &m, NULL, 0);
	keeper_snapshot(fd);
}

static void
monitor_grant(int fd)
{
	EVIL(m, grant,
		{.front = 1,
			.session = 1,
			.uid = 5001,
			.gid = 5001,
			.rights = 0xff,
			.store = STORE_MAILDIR,
			.maildrop = VIEW("/tmp")});

	(void)evil_send(FD_MONITOR, &m, NULL, 0);
	keeper_snapshot(fd);
}

static void
monitor_control(int fd)
{
	EVIL(m, control, {.command = 1});

	(void)evil_send(FD_MONITOR, &m, NULL, 0);
	keeper_snapshot(fd);
}

static void
monitor_garbage(int fd)
{
	(void)channel_send(FD_MONITOR, (struct view){text, 777}, &fd, 1);
	keeper_snapshot(fd);
}

static void
log_forged(int fd)
{
	static const uint8_t pairs[] = "\4user\x1d\0x\nevent=login program=x \x1b[31m";
	EVIL(m, log_record,
		{.level = 3,
			.event = VIEW("forged"),
			.pairs = {pairs, sizeof(pairs) - 1}});

	(void)evil_send(FD_LOG, &m, NULL, 0);
	keeper_snapshot(fd);
}

static const struct keeper_lie lies[] = {
	{.name = "snapshot_twice", .begin = snapshot_twice},
	{.name = "snapshot_then_refused", .begin = snapshot_then_refused},
	{.name = "refused_then_snapshot", .begin = refused_then_snapshot},
	{.name = "snapshot_count", .begin = snapshot_count},
	{.name = "snapshot_sum", .begin = snapshot_sum},
	{.name = "snapshot_nothing", .begin = snapshot_nothing},
	{.name = "snapshot_cut", .begin = snapshot_cut},
	{.name = "snapshot_wraps", .begin = snapshot_wraps},
	{.name = "snapshot_huge", .begin = snapshot_huge},
	{.name = "snapshot_millions", .begin = snapshot_millions},
	{.name = "small_garbage", .begin = small_garbage},
	{.name = "small_empty", .begin = small_empty},
	{.name = "small_cut", .begin = small_cut},
	{.name = "small_tail", .begin = small_tail},
	{.name = "small_wraps", .begin = small_wraps},
	{.name = "small_twice", .begin = small_twice},
	{.name = "slices_unasked", .begin = slices_unasked},
	{.name = "slices_flood", .begin = slices_flood},
	{.name = "fetched_unasked", .begin = fetched_unasked},
	{.name = "done_unasked", .begin = done_unasked},
	{.name = "yield_flood", .begin = yield_flood},
	{.name = "words_of_others", .begin = words_of_others},
	{.name = "slice_honest", .want = slice_honest},
	{.name = "fetched_honest", .want = in_pieces, .fetch = fetched_honest},
	{.name = "slice_twice", .want = slice_twice},
	{.name = "sealed_short", .want = sealed_short},
	{.name = "sealed_unsealed", .want = sealed_unsealed},
	{.name = "sealed_half", .want = sealed_half},
	{.name = "sealed_file", .want = sealed_file},
	{.name = "sealed_offset", .want = sealed_offset},
	{.name = "slice_smaller", .want = slice_smaller},
	{.name = "slice_rows_cut", .want = slice_rows_cut},
	{.name = "slice_rows_none", .want = slice_rows_none},
	{.name = "slice_overlapping", .want = slice_overlapping},
	{.name = "slice_shrinks", .want = slice_shrinks},
	{.name = "fetched_other", .want = in_pieces, .fetch = fetched_other},
	{.name = "fetched_elsewhere", .want = in_pieces, .fetch = fetched_elsewhere},
	{.name = "fetched_longer", .want = in_pieces, .fetch = fetched_longer},
	{.name = "fetched_short", .want = in_pieces, .fetch = fetched_short},
	{.name = "fetched_unsealed", .want = in_pieces, .fetch = fetched_unsealed},
	{.name = "fetched_bare", .want = in_pieces, .fetch = fetched_bare},
	{.name = "fetched_error", .want = in_pieces, .fetch = fetched_error},
	{.name = "fetched_twice", .want = in_pieces, .fetch = fetched_twice},
	{.name = "done_partial", .verdict = done_partial},
	{.name = "done_twice", .verdict = done_twice},
	{.name = "done_is_snapshot", .verdict = done_is_snapshot},
	{.name = "monitor_idle", .begin = monitor_idle},
	{.name = "monitor_grant", .begin = monitor_grant},
	{.name = "monitor_control", .begin = monitor_control},
	{.name = "monitor_garbage", .begin = monitor_garbage},
	{.name = "log_forged", .begin = log_forged},
};

const struct keeper_lie *
keeper_lie_of(const char *name)
{
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		if (strcmp(lies[i].name, name) == 0)
			return &lies[i];
	return NULL;
}
