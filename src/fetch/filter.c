#include "fetch/filter.h"

#include "fetch/child.h"

static const struct {
	int status;
	enum filter_verdict verdict;
} verdicts[] = {
	{0, FILTER_FETCH},
	{100, FILTER_SKIP},
	{101, FILTER_DELETE},
};

enum filter_verdict
filter_ask(const struct fetch_account *a, struct view header)
{
	int status = child_ask(a->filter, header, a->timeout_ms);

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		if (verdicts[i].status == status)
			return verdicts[i].verdict;
	}
	return FILTER_LATER;
}
