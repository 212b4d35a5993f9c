/*
 * account_same.h: whether two readings of the configuration say the same of an account.
 */
#ifndef FETCH_ACCOUNT_SAME_H
#define FETCH_ACCOUNT_SAME_H

#include "fetch/account.h"

[[nodiscard]] bool account_same(
	const struct fetch_account *a, const struct fetch_account *b);

#endif
