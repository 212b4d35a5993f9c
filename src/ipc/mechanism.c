#include "ipc/mechanism.h"

#include "ipc/permit.h"

static const char *const names[MECHANISMS_END] = {
	[MECHANISM_PASS] = "USER",
	[MECHANISM_PLAIN] = "PLAIN",
	[MECHANISM_LOGIN] = "LOGIN",
	[MECHANISM_CRAM_MD5] = "CRAM-MD5",
	[MECHANISM_SCRAM_SHA_1] = "SCRAM-SHA-1",
	[MECHANISM_SCRAM_SHA_1_PLUS] = "SCRAM-SHA-1-PLUS",
	[MECHANISM_SCRAM_SHA_256] = "SCRAM-SHA-256",
	[MECHANISM_SCRAM_SHA_256_PLUS] = "SCRAM-SHA-256-PLUS",
	[MECHANISM_EXTERNAL] = "EXTERNAL",
	[MECHANISM_GSSAPI] = "GSSAPI",
	[MECHANISM_OAUTHBEARER] = "OAUTHBEARER",
	[MECHANISM_XOAUTH2] = "XOAUTH2",
	[MECHANISM_APOP] = "APOP",
	[MECHANISM_KPOP] = "KPOP",
};

const char *
mechanism_name(unsigned mechanism)
{
	return mechanism < MECHANISMS_END && names[mechanism] ? names[mechanism] : "?";
}
