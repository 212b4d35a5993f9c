/* The users file: every octet string loads, and what it reports stands in it. */
#include "auth/users.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t key[32];
	static const struct users_options options = {
		.maildrop = {(const uint8_t *)"maildir:~/%n/%d", 15}, .uid = 5, .gid = 6};
	static struct user user;
	uint8_t *octets = malloc(n + 1);
	enum users_fault fault;
	size_t shown, all;

	CHECK(octets);
	memcpy(octets, data, n);
	struct users *u = users_new(octets, n, &options, key);
	CHECK(u);
	const struct users_report *r = users_reports(u, &shown, &all);
	for (size_t i = 0; i < shown; i++)
		CHECK(r[i].line > 0 && r[i].fault != USERS_OK &&
			users_fault_text(r[i].fault));
	struct view name = {data, 0};
	for (; name.n < n && name.n < 255 && data[name.n] != ':'; name.n++)
		continue;
	bool found = users_find(u, name, &user, &fault);
	if (found && fault == USERS_OK)
		CHECK(user.uid && user.gid && user.maildrop_octets[0] == '/');
	const struct census *census = users_census(u);
	CHECK(census_pick(&census, 1, n).stored);
	CHECK(users_find_recipient(u, name, '+', &user, &fault) || !found);
	users_free(&u);
	return 0;
}
