/* A helper's ANSWER as auth reads it: only the user who was asked for comes out of it. */
#include "auth/core.h"
#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct view asked = {(const uint8_t *)"bob", 3};
	static const struct users_options options = {
		.maildrop = {(const uint8_t *)"maildir:~/%n/%d", 15}, .uid = 5, .gid = 6};
	static struct user user;
	struct policy_login login = {MECHANISM_PASS, true, (const uint8_t[16]){0}};
	enum users_fault fault;
	struct msg_answer m;
	bool allowed = false;

	if (!msg_answer_get(&m, (struct view){data, n}))
		return 0;
	CHECK(m.line.n <= 8192 && m.name.n <= 1024 && m.octets.n <= 12288);
	for (int kind = ASK_LOOKUP; kind <= ASK_STEP; kind++)
		allowed = chain_may_answer((enum ask_kind)kind, m.outcome) || allowed;
	CHECK(allowed == (m.outcome >= ANSWER_FOUND && m.outcome <= ANSWER_NAME));
	switch (chain_read(m.line, asked, &options, &user, &fault)) {
	case CHAIN_OTHER_NAME: return 0;
	case CHAIN_CANNOT: CHECK(fault != USERS_OK && users_fault_text(fault)); break;
	case CHAIN_USER:
		CHECK(user.uid && user.gid && user.maildrop_octets[0] == '/');
		(void)policy_check(&user.policy, &login);
		CHECK(user.policy.networks_n <= POLICY_NETWORKS_MAX);
		CHECK(user.policy.certificates_n <= POLICY_CERTIFICATES_MAX);
	}
	CHECK(view_equal(user.name, asked));
	return 0;
}
