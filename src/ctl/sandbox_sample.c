#include "base/check.h"
#include "ctl/sandbox_office.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* A few letters as a Maildir holds them: lines end in LF, lines may begin with a dot. */
static const char *const letters[] = {
	"Return-Path: <postmaster@restante.example>\n"
	"Date: Mon, 16 Nov 2026 08:00:00 +0000\n"
	"From: The Postmaster <postmaster@restante.example>\n"
	"To: demo@restante.example\n"
	"Subject: Your mail is waiting\n"
	"Message-ID: <20261116.1@restante.example>\n"
	"\n"
	"Good morning,\n"
	"\n"
	"this box keeps your letters until you call for them. Nothing is deleted\n"
	"unless you say DELE and then QUIT.\n"
	"\n"
	"  The postmaster\n",

	"Return-Path: <jose@correos.example>\n"
	"Date: Tue, 17 Nov 2026 10:12:41 +0100\n"
	"From: =?UTF-8?Q?Jos=C3=A9_N=C3=BA=C3=B1ez?= <jose@correos.example>\n"
	"To: demo@restante.example\n"
	"Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe_aus_M=C3=A1laga_=E2=98=80?=\n"
	"Message-ID: <20261117.77@correos.example>\n"
	"MIME-Version: 1.0\n"
	"Content-Type: text/plain; charset=UTF-8\n"
	"Content-Transfer-Encoding: 8bit\n"
	"\n"
	"\xC2\xA1Hola! Aqu\xC3\xAD hace sol, y el caf\xC3\xA9 cuesta 1,40 \xE2\x82\xAC.\n"
	"Viele Gr\xC3\xBC\xC3\x9F"
	"e, \xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82, "
	"\xE4\xBD\xA0\xE5\xA5\xBD!\n",

	"Return-Path: <ops@host.example>\n"
	"Date: Wed, 18 Nov 2026 03:17:02 +0000\n"
	"From: ops@host.example\n"
	"To: demo@restante.example\n"
	"Subject: A script with lines that begin with a dot\n"
	"Message-ID: <20261118.3@host.example>\n"
	"\n"
	"Save this as report.troff:\n"
	"\n"
	".TH REPORT 1\n"
	".SH NAME\n"
	"report \\- what happened last night\n"
	".\n"
	"..and two dots:\n"
	"..\n"
	"From the archive: this line is no envelope.\n",

	"Return-Path: <office@restante.example>\n"
	"Date: Thu, 19 Nov 2026 16:45:10 +0000\n"
	"From: The Office <office@restante.example>\n"
	"To: demo@restante.example\n"
	"Subject: Opening hours, as a table\n"
	"Message-ID: <20261119.12@restante.example>\n"
	"MIME-Version: 1.0\n"
	"Content-Type: multipart/mixed; boundary=\"=_office\"\n"
	"\n"
	"--=_office\n"
	"Content-Type: text/plain; charset=US-ASCII\n"
	"\n"
	"The hours are attached.\n"
	"\n"
	"--=_office\n"
	"Content-Type: text/csv; name=\"hours.csv\"\n"
	"Content-Disposition: attachment; filename=\"hours.csv\"\n"
	"Content-Transfer-Encoding: base64\n"
	"\n"
	"ZGF5LG9wZW5zLGNsb3NlcwptbywwOTowMCwxODowMAp0dSwwOTowMCwxODowMAp3ZSwwOTowMCwx\n"
	"MzowMAp0aCwwOTowMCwxODowMApmciwwOTowMCwxNzowMAo=\n"
	"\n"
	"--=_office--\n",

	"Return-Path: <>\n"
	"Date: Fri, 20 Nov 2026 23:59:59 +0000\n"
	"From: MAILER-DAEMON@host.example\n"
	"To: demo@restante.example\n"
	"Subject: A letter without a last line end\n"
	"Message-ID: <20261120.9@host.example>\n"
	"\n"
	"The file ends here, in the middle of a line",
};

static int
put_letter(int new, size_t i, uint32_t uid, uint32_t gid)
{
	char name[96];
	uint64_t now = clock_unix_ns() / 1000;

	snprintf(name, sizeof(name), "%llu.M%06lluP%d_%zu.sandbox",
		(unsigned long long)(now / 1000000), (unsigned long long)(now % 1000000),
		(int)getpid(), i + 1);
	AUTO_FD fd = openat(new, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int rc = fd_write_all(fd, letters[i], strlen(letters[i]));
	return rc == 0 && geteuid() == 0 && fchown(fd, uid, gid) != 0 ? -errno : rc;
}

int
office_sample(const char *maildir, uint32_t uid, uint32_t gid)
{
	char path[4096];
	int rc = 0;

	snprintf(path, sizeof(path), "%s/new", maildir);
	AUTO_FD new = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (new < 0)
		rc = -errno;
	for (size_t i = 0; i < ARRAY_SIZE(letters) && rc == 0; i++)
		rc = put_letter(new, i, uid, gid);
	if (rc < 0)
		return office_say(
			EX_CANTCREAT, "%s: sample mail: %s", path, strerror(-rc));
	return 0;
}
