/* A session of the retriever; the server's octets are the input. */
#include "fetch_session_fake.h"

static struct mail at[256];
static uint32_t order[256];
static uint8_t text[65536], listed[8];
static struct fetch_session s;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mails m = {.at = at,
		.cap = 256,
		.text = text,
		.text_cap = sizeof(text),
		.order = order,
		.listed = listed,
		.listed_cap = 8,
		.room = full};
	struct fetch_account a = fake_account(size > 0 ? data[0] : 0);
	struct remembered r = fake_memory(size > 1 ? data[1] : 0, &a);
	size_t piece = size > 2 ? 1u + data[2] : 1;
	struct view all = {data + (size < 3 ? size : 3), size < 3 ? 0 : size - 3};

	session_init(&s, &a, &r, &m, 1);
	s.has_password = true;
	session_connected(&s);
	for (size_t start = 0, end = 0; end < all.n && s.step != STEP_END;) {
		end = all.n - end < piece ? all.n : end + piece;
		struct view in = {all.p + start, end - start};
		fake_run(&s, &in);
		start = end - in.n;
	}
	fake_end(&s);
	return 0;
}
