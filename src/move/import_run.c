#include "move/import_run.h"

#include "base/check.h"
#include "ipc/permit.h"
#include "move/import_report.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

static const struct {
	const char *name;
	enum import_kind kind;
} lists[] = {
	{"dovecot-uidlist", IMPORT_DOVECOT},
	{"courierpop3dsizelist", IMPORT_COURIER},
};

int
import_fail(const struct import_drop *d, int code, const char *what, const char *why)
{
	(void)fprintf(stderr, "restante import: %s: %s: %s\n", d->label, what, why);
	return code;
}

int
import_fail_errno(const struct import_drop *d, const char *what, int err)
{
	return import_fail(d, drop_exit_status(err), what, strerrordesc_np(-err));
}

void
import_note_kind(struct import_run *r, enum import_kind kind)
{
	r->names |=
		kind == IMPORT_DOVECOT || kind == IMPORT_COURIER || kind == IMPORT_CYRUS;
	r->marks |= kind == IMPORT_CYRUS || kind == IMPORT_MBOX || kind == IMPORT_LIVE;
}

/* ---- sources that are named: opened before the mail's owner is taken on, read after it
 * ------ */

static int
open_sources(struct drop_work *w, const struct import_drop *d)
{
	struct import_run *r = (struct import_run *)(void *)w;

	/* Also after its user was changed: nobody may look into this process. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return EX_OSERR;
	r->bad = open_memstream(&r->bad_text, &r->bad_n);
	if (!r->bad)
		return EX_OSERR;
	for (size_t i = 0; i < r->w->sources_n; i++) {
		int code = import_open(r, d, r->w->sources[i], &r->opened[i]);
		if (code != EX_OK)
			return code;
	}
	return EX_OK;
}

static int
read_sources(struct import_run *r, const struct import_drop *d, int top)
{
	for (size_t i = 0; i < r->w->sources_n; i++) {
		uint32_t first = r->im.rows_n;
		bool beside = false;
		int code =
			import_read(r, d, r->w->sources[i], &r->opened[i], top, &beside);
		fd_close(&r->opened[i].fd);
		import_rows_came(&r->im, first, i, beside);
		if (code != EX_OK)
			return code;
	}
	return EX_OK;
}

/* ---- the list in the maildrop, and the live server
 * ------------------------------------------ */

static int
read_list(struct import_run *r, const struct import_drop *d, int fd, size_t which)
{
	int e = import_source_read(&r->im, fd, lists[which].kind, r->w, r->bad, r->why);

	import_note_kind(r, lists[which].kind);
	import_rows_came(&r->im, 0, 0, true);
	return e < 0 ? import_fail(d, drop_exit_status(e), lists[which].name, r->why)
		     : EX_OK;
}

static const char mbox_has_none[] = "an mbox has no list beside it: name SOURCE, or "
				    "--from; UIDLs in X-UIDL fields hold "
				    "without an import";
static const char maildir_has_none[] =
	"there is no dovecot-uidlist or courierpop3dsizelist in it; name SOURCE, or "
	"--from";

/* Of many maildrops one without a list is left as it is. */
static int
no_list(const struct import_run *r, const struct import_drop *d, const char *why)
{
	if (!r->many)
		return import_fail(d, EX_NOINPUT, d->path, why);
	(void)fprintf(
		stderr, "restante import: %s: no list of another server\n", d->label);
	return EX_OK;
}

static int
find_list(struct import_run *r, const struct import_drop *d, int dir)
{
	size_t found = ARRAY_SIZE(lists);
	AUTO_FD fd = -1;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (r->w->list != IMPORT_NONE && r->w->list != lists[i].kind)
			continue;
		int one = openat(dir, lists[i].name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (one < 0 && errno != ENOENT)
			return import_fail_errno(d, lists[i].name, -errno);
		if (one >= 0 && found < ARRAY_SIZE(lists)) {
			(void)close(one);
			return import_fail(d, EX_DATAERR, d->path,
				"it holds the lists of Dovecot and of Courier; name the "
				"one that clients know: --list dovecot, or courier");
		}
		if (one >= 0) {
			found = i;
			fd = one;
		}
	}
	if (found < ARRAY_SIZE(lists))
		return read_list(r, d, fd, found);
	return no_list(r, d, maildir_has_none);
}

static const char *
password_of(const struct import_run *r, const char *user)
{
	if (r->w->password)
		return r->w->password;
	for (size_t i = 0; r->users && i < r->users->n; i++)
		if (strcmp(r->users->list[i].name, user) == 0)
			return r->users->list[i].password;
	return NULL;
}

static int
ask_server(struct import_run *r, const struct import_drop *d)
{
	const char *user = r->w->live.url.user[0] ? r->w->live.url.user : d->user;
	const char *password = user ? password_of(r, user) : NULL;

	if (!user)
		return import_fail(
			d, EX_USAGE, r->w->from, "as which user? pop3s://USER@HOST");
	if (!password)
		return import_fail(
			d, EX_NOUSER, user, "no password is known for this user");
	import_note_kind(r, IMPORT_LIVE);
	int e = import_live_read(&r->im, r->w, user, password, r->why);
	if (e == 0)
		return EX_OK;
	return import_fail(d, live_exit_status(e), r->w->from,
		r->why[0] ? r->why : strerrordesc_np(-e));
}

static int
read_rest(struct import_run *r, const struct import_drop *d, const struct drop_opened *o)
{
	if (r->w->from)
		return EX_OK; /* it was asked before the maildrop was locked */
	if (r->w->sources_n > 0)
		return read_sources(r, d, o->dir);
	return d->kind == STORE_MBOX ? no_list(r, d, mbox_has_none)
				     : find_list(r, d, o->dir);
}

/* ---- finding and writing
 * --------------------------------------------------------------------- */

/* pop3_reuse_xuidl: the field of the message goes before the format. */
static void
take_xuidls(struct import *im)
{
	for (uint32_t i = 0; i < im->rows_n; i++) {
		struct import_row *row = &im->rows[i];
		if (row->message == 0 || row->saved)
			continue;
		const struct import_message *m = &im->messages[row->message - 1];
		if (m->xuidl.p)
			row->uidl = m->xuidl;
	}
}

static int
find_all(struct import_run *r, const struct import_drop *d, const struct drop_opened *o)
{
	struct import *im = &r->im;
	bool mbox = d->kind == STORE_MBOX;
	int e = mbox ? import_mbox_read(im, o->mailbox.fd)
		     : import_maildir_read(im, o->dir);

	/* Where headers can be compared, names are only for what they leave open. */
	if (e == 0 && r->marks && !mbox)
		e = import_maildir_marks(im, o->dir, true);
	if (e == 0 && r->marks)
		e = import_match_marks(im);
	if (e == 0 && r->names)
		e = import_match_names(im);
	if (e == 0 && r->w->reuse_xuidl && !mbox)
		e = import_maildir_marks(im, o->dir, true);
	if (e == 0 && r->w->reuse_xuidl)
		take_xuidls(im);
	if (e == 0 && r->w->rename)
		e = import_rename(im);
	if (e == 0)
		e = import_match_end(im);
	if (e == 0)
		e = import_check_uidls(im);
	return e == 0 ? import_places(im) : e;
}

static int
write_all(struct import_run *r, const struct import_drop *d, const struct drop_opened *o)
{
	int e = import_write(&r->im, o->dir, o->log, r->w->dry_run);

	if (e == -EBADMSG)
		return import_fail(d, EX_DATAERR, d->log_path,
			"it is damaged; see restante check --repair");
	if (e == -EPROTONOSUPPORT)
		return import_fail(
			d, EX_CONFIG, d->log_path, "a newer restante wrote it");
	return e < 0 ? import_fail_errno(d, d->log_path, e) : EX_OK;
}

/* A list of other files than those that lie there, as after a copy that renamed them. */
static bool
is_of_others(const struct import *im)
{
	return im->counts[IMPORT_GONE] > 0 && im->strangers >= im->counts[IMPORT_GONE] &&
		im->counts[IMPORT_TAKEN] + im->counts[IMPORT_KEPT] == 0;
}

static int
verdict(const struct import *im, const struct import_drop *d)
{
	if (is_of_others(im))
		return import_fail(d, EX_DATAERR, d->path,
			"none of the files that the list names is there, but others are: "
			"were they renamed?");
	return im->counts[IMPORT_NO_MATCH] + im->counts[IMPORT_UNCLEAR] +
				im->counts[IMPORT_ILLEGAL] +
				im->counts[IMPORT_DUPLICATE] +
				im->counts[IMPORT_CONFLICT] +
				im->counts[IMPORT_UNREADABLE] >
			0
		? EX_DATAERR
		: EX_OK;
}

static int
run_opened(struct import_run *r, struct import_drop *d, const struct drop_opened *o)
{
	struct import_report report = {
		.label = d->label, .dry_run = r->w->dry_run, .json = r->w->json};
	int code = read_rest(r, d, o);

	if (code != EX_OK)
		return code;
	int e = find_all(r, d, o);
	if (e < 0)
		return import_fail_errno(d, d->path, e);
	code = write_all(r, d, o);
	if (code != EX_OK)
		return code;
	import_count(&r->im);
	(void)fclose(r->bad);
	r->bad = NULL;
	report.bad = r->bad_text;
	import_report(&r->im, &report, stdout, stderr);
	return verdict(&r->im, d);
}

static int
run(struct drop_work *w, struct import_drop *d)
{
	struct import_run *r = (struct import_run *)(void *)w;
	struct drop_opened o;
	int code = r->w->from ? ask_server(r, d) : EX_OK;

	/* Sessions and deliveries do not wait for another server. */
	if (code == EX_OK) {
		code = drop_open(d, "import", &o);
		if (code == EX_OK)
			code = run_opened(r, d, &o);
		drop_close(&o);
	}
	if (r->bad)
		(void)fclose(r->bad);
	free(r->bad_text);
	import_done(&r->im);
	return code;
}

void
import_run_init(struct import_run *r)
{
	*r = (struct import_run){
		.work = {.before = open_sources, .work = run, .program = "import"}};
}
