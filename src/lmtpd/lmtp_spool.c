#include "lmtpd/lmtp_spool.h"

#include "base/check.h"
#include "lmtpd/lmtpd.h"
#include "os/fd.h"
#include "os/sealed.h"
#include "stat/stat.h"

#include <errno.h>
#include <unistd.h>

void
spool_init(struct lmtp_spool *s)
{
	*s = (struct lmtp_spool){.fd = -1, .read_fd = -1};
}

static void
release(struct lmtpd *l, struct lmtp_spool *s)
{
	CHECK(l->spooled >= s->octets);
	l->spooled -= s->octets;
	stat_set(STAT_LMTP_SPOOL_OCTETS, l->spooled);
	s->octets = 0;
	fd_close(&s->fd);
	fd_close(&s->read_fd);
	s->is_file = false;
}

void
spool_give_up(struct lmtpd *l, struct lmtp_spool *s, int err)
{
	CHECK(err < 0);
	release(l, s);
	if (s->error == 0)
		s->error = err;
}

void
spool_clear(struct lmtpd *l, struct lmtp_spool *s)
{
	release(l, s);
	s->error = 0;
}

static int
append(struct lmtp_spool *s, struct view octets)
{
	if (s->fd < 0)
		s->fd = sealed_memory("lmtp");
	if (s->fd < 0)
		return s->fd;
	return fd_pwrite_all(s->fd, octets.p, octets.n, s->octets);
}

void
spool_put(struct lmtpd *l, struct lmtp_spool *s, struct view octets)
{
	if (s->error < 0 || octets.n == 0)
		return;
	if (octets.n > l->spool_total - l->spooled) {
		report_error("spool_failed", "spool_total is reached", 0);
		spool_give_up(l, s, -ENOSPC);
		return;
	}
	int err = append(s, octets);
	if (err < 0) {
		report_error("spool_failed", s->is_file ? "file" : "memory", err);
		spool_give_up(l, s, err);
		return;
	}
	s->octets += octets.n;
	l->spooled += octets.n;
	stat_set(STAT_LMTP_SPOOL_OCTETS, l->spooled);
}

bool
spool_wants_file(const struct lmtpd *l, const struct lmtp_spool *s)
{
	return s->error == 0 && !s->is_file && s->octets > l->spool_memory;
}

static int
copy(struct lmtpd *l, int from, int to, uint64_t octets)
{
	for (uint64_t at = 0; at < octets;) {
		uint64_t left = octets - at;
		size_t n = left < sizeof(l->gather) ? (size_t)left : sizeof(l->gather);
		int err = fd_pread_all(from, l->gather, n, at);
		if (err == 0)
			err = fd_pwrite_all(to, l->gather, n, at);
		if (err < 0)
			return err;
		at += n;
	}
	return 0;
}

void
spool_move(struct lmtpd *l, struct lmtp_spool *s, int take_write, int take_read)
{
	AUTO_FD write_fd = take_write;
	AUTO_FD read_fd = take_read;

	if (s->error < 0)
		return;
	CHECK(!s->is_file);
	int err = copy(l, s->fd, write_fd, s->octets);
	if (err < 0) {
		report_error("spool_failed", "file", err);
		spool_give_up(l, s, err);
		return;
	}
	fd_close(&s->fd);
	s->fd = fd_take(&write_fd);
	s->read_fd = fd_take(&read_fd);
	s->is_file = true;
	stat_add(STAT_LMTP_SPOOL_FILES, 1);
}

int
spool_seal(struct lmtpd *l, struct lmtp_spool *s)
{
	int err = s->error;

	if (err == 0 && s->is_file) {
		fd_close(&s->fd);
		return s->read_fd;
	}
	if (err == 0 && s->fd < 0)
		s->fd = sealed_memory("lmtp");
	if (err == 0 && s->fd < 0)
		err = s->fd;
	if (err == 0)
		err = sealed_seal(s->fd);
	if (err == 0)
		return s->fd;
	spool_give_up(l, s, err);
	return err;
}
