/* An mbox as qpopper, mailutils, Dovecot and UW left it; popa3d's digests are those that
 * popa3d 1.0.3 gave for these messages. */
#include "move_foreign_help.h"

#include "store/mbox_scan.h"

static void
check(enum foreign_mbox form, const char *format, const char *text, const char *want)
{
	char storage[4096];
	struct said s = said_into(storage, sizeof(storage));
	struct foreign_options o = {{(const uint8_t *)format, strlen(format)}, test_md5};

	foreign_mbox_read(
		(struct view){(const uint8_t *)text, strlen(text)}, form, &o, &s.sink);
	assert_said(&s, want);
}

static const char popa3d[] = "From a@b Mon Jan  1 00:00:00 2024\n"
			     "Return-Path: <rp@x>\n"
			     "Received: from one by two\n\tid 123; Mon, 1 Jan 2024\n"
			     "Received: from zero by one; x\n"
			     "Date: Mon, 1 Jan 2024 00:00:00 +0000\n"
			     "Delivered-To: anna@x\nFrom: a@b\nMessage-ID: <1@x>\n"
			     "Subject: 1\n\nbody 1\n\n"
			     "From a@b Mon Jan  1 00:00:01 2024\n"
			     "Date: Mon, 1 Jan 2024 00:00:00 +0000\n"
			     "X-Delivery-ID: foo\nFrom: a@b\nMessage-ID: <2@x>\n"
			     "X-UIDL: abc\"def\nSubject: 2\n\nbody 2\n\n"
			     "From a@b Mon Jan  1 00:00:02 2024\n"
			     "From: a@b\nSubject: 3\n\nbody 3\n";

static const char popa3d_folded[] =
	"From a@b Mon Jan  1 00:00:00 2024\n"
	"Date: Mon, 1 Jan 2024\n\t00:00:00 +0000\nMESSAGE-ID: <1@x>\n"
	"received: from one by two\n\tid 123; Mon, 1 Jan 2024\n more\n"
	"Received: from zero by one; x\nDate: Tue\nMessage-Id: <9@x>\n"
	"Delivered-To: anna@x\n folded\nDelivered-To: anna@y\nX-Delivery-Id: q\n\nbody "
	"1\n\n"
	"From a@b Mon Jan  1 00:00:01 2024\n"
	"Received : odd\nMessage-ID:\n <2@x>\nSubject: 2\n\nReceived: in body\nbody 2\n";

static void
computed(void **state)
{
	(void)state;
	/* The sizes are what popa3d's LIST said. */
	check(FOREIGN_MBOX_POPA3D, "", popa3d,
		"-/0/217/=e6789ea90ead252e*;-/1/127/=cdfbb0624d1e7411*;"
		"-/2/33/=d98c1dd404b2008f*;");
	check(FOREIGN_MBOX_POPA3D, "", popa3d_folded,
		"-/0/261/=49392d9c55097b5e*;-/1/78/=c6b5c4ccdebbf082*;");
}

static void
fields(void **state)
{
	static const char text[] =
		"From a b\nX-IMAPbase:           1700000000                    4\n"
		"x-uid: 3  \nX-UIDL:  !q'1 \r\nX-UIDL: later\n\nX-UIDL: body\n\n"
		"From b 10:00\nX-UID: 4\nX-UIDL: two\n\nb\n\n"
		"From c 10:01\nSubject: x\n\n";

	(void)state;
	check(FOREIGN_MBOX_XUIDL, "", text, "-/0/114/=!q'1*;-/1/28/=two*;!15;");
	check(FOREIGN_MBOX_UID, "%08Xv%08Xu", text,
		"3/0/114/=6553f10000000003*;4/1/28/=6553f10000000004*;!15;");
	check(FOREIGN_MBOX_UID, "%f%u", text, "!1;!9;!15;");
	check(FOREIGN_MBOX_UID, "%v.%u", "From a\nX-UID: 3\n\n", "!1;");
}

/* The first message of UW is none. */
static void
internal(void **state)
{
	(void)state;
	check(FOREIGN_MBOX_UID, "%v.%u",
		"From MAILER-DAEMON x\nSubject: DON'T DELETE THIS MESSAGE\n"
		"X-IMAP: 1700000000 0000000005\n\ntext\n\n"
		"From a 10:00\nX-UID: 2\n\nb\n",
		"2/1/15/=1700000000.2*;");
}

static void
edges(void **state)
{
	(void)state;
	check(FOREIGN_MBOX_XUIDL, "", "", "");
	check(FOREIGN_MBOX_XUIDL, "", "Subject: x\n\n", "!1;");
	check(FOREIGN_MBOX_XUIDL, "", "From a", "!1;");
	check(FOREIGN_MBOX_XUIDL, "", "From a\nFrom b\nX-UIDL: x", "-/0/19/=x*;");
	/* Not behind an empty line, or without a time: text. */
	check(FOREIGN_MBOX_XUIDL, "",
		"From a\nX-UIDL: x\n\nhello\nFrom b 10:00\nX-UIDL: y\n", "-/0/45/=x*;");
	check(FOREIGN_MBOX_XUIDL, "",
		"From a\nX-UIDL: x\n\nhello\n\nFrom here on\nX-UIDL: y\n", "-/0/47/=x*;");
	/* A last line of one octet is not empty. */
	check(FOREIGN_MBOX_XUIDL, "", "From a\nX-UIDL: x\n\nb", "-/0/16/=x*;");
	check(FOREIGN_MBOX_POPA3D, "", "From a\n\nFrom b 1:00\n\n\n",
		"-/0/2/=d98c1dd404b2008f*;-/1/2/=d98c1dd404b2008f*;");
}

/* ---- the store finds the same messages ---- */

#define MESSAGES_MAX 64

struct lines {
	struct foreign_sink sink; /* first */
	uint32_t n, at[MESSAGES_MAX];
};

static void
take_row(struct foreign_sink *s, const struct foreign_row *r)
{
	struct lines *l = (struct lines *)(void *)s;

	assert_true(l->n < MESSAGES_MAX);
	l->at[l->n++] = r->line;
}

static void
take_bad(struct foreign_sink *s, uint32_t line, const char *why)
{
	(void)s;
	(void)why;
	assert_int_equal(line, 1);
}

static uint32_t
stored(struct view text, uint32_t at[MESSAGES_MAX])
{
	XXH3_state_t *hash = XXH3_createState();
	struct mbox_scan s;
	struct mbox_found found;
	uint32_t n = 0;
	size_t taken;

	assert_non_null(hash);
	mbox_scan_begin(&s, hash, 0, 0);
	for (struct view v = text;;) {
		enum mbox_step step = mbox_scan_step(&s, v, true, &taken, &found);
		v = (struct view){v.p + taken, v.n - taken};
		if (step == MBOX_END || step == MBOX_BAD)
			break;
		if (step != MBOX_MESSAGE)
			continue;
		assert_true(n < MESSAGES_MAX);
		at[n] = 1;
		for (uint64_t i = 0; i < found.start; i++)
			at[n] += text.p[i] == '\n';
		n++;
	}
	(void)XXH3_freeState(hash);
	return n;
}

static void
put_piece(struct buf *b, uint32_t which)
{
	static const char *const pieces[] = {"From a 10:00\n", "From a\n", "\n", "\n",
		"\r\n", "x", "A: b\n", ">From b 1:00\n", "From", "From ", "\r",
		"From  Jan 1 24:00\n", "From a 1:00 x\r\n"};

	if (which < sizeof(pieces) / sizeof(pieces[0])) {
		buf_put_str(b, pieces[which]);
		return;
	}
	/* Of 998 octets and more; more than 1000 are too many. */
	buf_put_str(b, "From a 10:00");
	for (uint32_t i = 11 + 13; i < 1008 + which; i++)
		buf_put_str(b, "x");
	buf_put_str(b, "\n");
}

static void
as_the_store(void **state)
{
	static uint8_t storage[65536];
	uint32_t seed = 1, several = 0;

	(void)state;
	for (uint32_t round = 0; round < 100000; round++) {
		struct buf b = buf_over(storage, sizeof(storage));
		struct foreign_options o = {VIEW(""), test_md5};
		struct lines l = {.sink = {take_row, take_bad}};
		uint32_t want[MESSAGES_MAX];
		uint32_t n = 1 + (seed >> 8) % 12;

		for (uint32_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			put_piece(&b, (seed >> 8) % (round % 100 == 0 ? 18 : 13));
		}
		foreign_mbox_read(buf_view(&b), FOREIGN_MBOX_POPA3D, &o, &l.sink);
		assert_int_equal(l.n, stored(buf_view(&b), want));
		for (uint32_t i = 0; i < l.n; i++)
			assert_int_equal(l.at[i], want[i]);
		several += l.n > 1;
	}
	assert_true(several > 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(computed),
		cmocka_unit_test(fields),
		cmocka_unit_test(internal),
		cmocka_unit_test(edges),
		cmocka_unit_test(as_the_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
