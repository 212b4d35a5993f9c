/* An mbox as qpopper, mailutils, Dovecot and UW left it; popa3d's digests are those that
 * popa3d 1.0.3 gave for these messages. */
#include "move_foreign_help.h"

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
		"From b c\nX-UID: 4\nX-UIDL: two\n\nb\n\n"
		"From c d\nSubject: x\n\n";

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
		"From a b\nX-UID: 2\n\nb\n",
		"2/1/15/=1700000000.2*;");
}

static void
edges(void **state)
{
	(void)state;
	check(FOREIGN_MBOX_XUIDL, "", "", "");
	check(FOREIGN_MBOX_XUIDL, "", "Subject: x\n\n", "!1;");
	check(FOREIGN_MBOX_XUIDL, "", "From a", "!1;");
	check(FOREIGN_MBOX_XUIDL, "", "From a\nFrom b\nX-UIDL: x", "!1;-/1/11/=x*;");
	/* Not behind an empty line: text. */
	check(FOREIGN_MBOX_XUIDL, "", "From a\nX-UIDL: x\n\nhello\nFrom b\nX-UIDL: y\n",
		"-/0/39/=x*;");
	check(FOREIGN_MBOX_POPA3D, "", "From a\n\nFrom b\n\n\n",
		"-/0/2/=d98c1dd404b2008f*;-/1/2/=d98c1dd404b2008f*;");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(computed),
		cmocka_unit_test(fields),
		cmocka_unit_test(internal),
		cmocka_unit_test(edges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
