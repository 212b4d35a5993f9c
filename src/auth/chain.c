#include "auth/chain.h"
#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

#define PASSWORD_MECHANISMS                                                              \
	(1U << MECHANISM_PASS | 1U << MECHANISM_PLAIN | 1U << MECHANISM_LOGIN)

static const struct {
	const char *name;
	bool database;
	bool shows_hashes;
} backends[BACKENDS_END] = {
	[BACKEND_FILE] = {"file", true, true},
	[BACKEND_SYSTEM] = {"system", true, false},
	[BACKEND_SQL] = {"sql", true, true},
	[BACKEND_LDAP] = {"ldap", true, true},
	[BACKEND_COMMAND] = {"command", true, false},
	[BACKEND_OAUTH] = {"oauth", false, false},
	[BACKEND_KRB5] = {"krb5", false, false},
};

#define SCRAM_SHA_1   (1U << MECHANISM_SCRAM_SHA_1 | 1U << MECHANISM_SCRAM_SHA_1_PLUS)
#define SCRAM_SHA_256 (1U << MECHANISM_SCRAM_SHA_256 | 1U << MECHANISM_SCRAM_SHA_256_PLUS)

static const struct {
	uint8_t form; /* enum stored_form */
	uint32_t mechanisms;
} stored[] = {
	{STORED_HASH, PASSWORD_MECHANISMS},
	{STORED_SCRAM_SHA_256, PASSWORD_MECHANISMS | SCRAM_SHA_256},
	{STORED_SCRAM_SHA_1, PASSWORD_MECHANISMS | SCRAM_SHA_1},
	{STORED_PLAIN,
		PASSWORD_MECHANISMS | SCRAM_SHA_256 | SCRAM_SHA_1 |
			1U << MECHANISM_CRAM_MD5 | 1U << MECHANISM_APOP},
};

bool
chain_has(const struct chain *c, enum backend backend)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->backends[i] == backend)
			return true;
	return false;
}

bool
chain_set(struct chain *c, struct view databases)
{
	*c = (struct chain){0};
	for (size_t i = 0; i < databases.n; i++) {
		uint8_t b = databases.p[i];
		if (b >= BACKENDS_END || !backends[b].database || c->n == CHAIN_MAX ||
			chain_has(c, (enum backend)b))
			return false;
		c->backends[c->n++] = b;
	}
	return c->n > 0;
}

bool
chain_shows_hashes(enum backend backend)
{
	return backends[backend].shows_hashes;
}

uint32_t
chain_mechanisms(enum backend backend)
{
	CHECK(backends[backend].database);
	return PASSWORD_MECHANISMS;
}

uint32_t
chain_stored_mechanisms(uint8_t forms)
{
	uint32_t m = 0;

	for (size_t i = 0; i < ARRAY_SIZE(stored); i++)
		if (forms & stored[i].form)
			m |= stored[i].mechanisms;
	return m;
}

const char *
chain_name(unsigned backend)
{
	return backend < BACKENDS_END && backends[backend].name ? backends[backend].name
								: "none";
}

#define OUTCOME(o) (1U << ANSWER_##o)

bool
chain_may_answer(enum ask_kind kind, unsigned outcome)
{
	static const uint32_t may[] = {
		[ASK_LOOKUP] = OUTCOME(FOUND) | OUTCOME(NO_USER) | OUTCOME(WRONG) |
			OUTCOME(TEMPORARY),
		[ASK_VERIFY] = OUTCOME(FOUND) | OUTCOME(NO_USER) | OUTCOME(WRONG) |
			OUTCOME(TEMPORARY),
		[ASK_TOKEN] = OUTCOME(NAME) | OUTCOME(WRONG) | OUTCOME(TEMPORARY),
		[ASK_STEP] = OUTCOME(CHALLENGE) | OUTCOME(NAME) | OUTCOME(WRONG) |
			OUTCOME(TEMPORARY),
		[ASK_END] = 0,
	};

	CHECK((size_t)kind < ARRAY_SIZE(may));
	return outcome < 32 && (may[kind] >> outcome & 1) != 0;
}

enum chain_line
chain_read(struct view line, struct view asked, const struct users_options *options,
	struct user *ret, enum users_fault *ret_fault)
{
	struct users_options o = *options;
	struct view about;

	o.password_elsewhere = true;
	*ret_fault = users_line_read(line, &o, ret, &about);
	if (!view_equal(ret->name, asked))
		return CHAIN_OTHER_NAME;
	return *ret_fault == USERS_OK ? CHAIN_USER : CHAIN_CANNOT;
}
