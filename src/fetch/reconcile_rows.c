#include "fetch/reconcile_rows.h"

#include "base/buf.h"
#include "base/check.h"

size_t
reconcile_uid(
	const uint8_t header[HEADER_DIGEST], uint32_t nth, uint8_t ret[RECONCILE_UID_MAX])
{
	static const uint8_t digits[] = "0123456789abcdef";
	struct buf b = buf_over(ret, RECONCILE_UID_MAX);

	buf_put_view(&b, VIEW(RECONCILE_PREFIX));
	for (size_t i = 0; i < HEADER_DIGEST; i++) {
		buf_put_u8(&b, digits[header[i] >> 4]);
		buf_put_u8(&b, digits[header[i] & 15]);
	}
	if (nth > 0) {
		buf_put_u8(&b, '.');
		buf_put_dec(&b, nth);
	}
	CHECK(!b.full);
	return b.n;
}
