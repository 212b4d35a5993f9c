/*
 * oauth_http.c: one request after another to the identity provider. No redirect is
 * followed, no proxy and no user of the environment is taken, an answer is bounded.
 */
#include "base/check.h"
#include "helper/helper.h"
#include "helper/oauth.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CA_FILE	   "/etc/ssl/certs/ca-certificates.crt"
#define CA_MAX	   (4U * 1024U * 1024U)
#define CONNECT_MS 5000

struct oauth_http {
	CURL *curl;
	uint64_t timeout_ms;
	uint8_t *ca;
	size_t ca_n;
	uint8_t *body; /* OAUTH_BODY_MAX and a NUL */
	size_t body_n;
	bool too_long;
	char words[CURL_ERROR_SIZE], why[CURL_ERROR_SIZE + 64];
};

static size_t
take_body(char *p, size_t size, size_t count, void *context)
{
	struct oauth_http *http = context;
	size_t n = size * count;

	if (n > OAUTH_BODY_MAX - http->body_n) {
		http->too_long = true;
		return 0;
	}
	memcpy(http->body + http->body_n, p, n);
	http->body_n += n;
	return n;
}

/* ---- where to ------------------------------------------------------------------------
 */

static char *
part_of(CURLU *url, CURLUPart part)
{
	char *text = NULL;

	return curl_url_get(url, part, &text, 0) == CURLUE_OK ? text : NULL;
}

/* curl itself takes "localhost" for a loopback address, whatever a resolver says. */
static bool
is_loopback(const char *host)
{
	struct in_addr v4;

	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

bool
oauth_http_may(const char *text)
{
	CURLU *url = curl_url();
	bool fine = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;
	char *scheme = NULL, *host = NULL, *user = NULL, *fragment = NULL;

	if (fine) {
		scheme = part_of(url, CURLUPART_SCHEME);
		host = part_of(url, CURLUPART_HOST);
		user = part_of(url, CURLUPART_USER);
		fragment = part_of(url, CURLUPART_FRAGMENT);
	}
	fine = fine && scheme && host && !user && !fragment &&
		(strcmp(scheme, "https") == 0 ||
			(strcmp(scheme, "http") == 0 && is_loopback(host)));
	curl_free(scheme);
	curl_free(host);
	curl_free(user);
	curl_free(fragment);
	curl_url_cleanup(url);
	return fine;
}

/* ---- start ---------------------------------------------------------------------------
 */

/* Read here, before the cage: later the file may be out of reach. */
static const char *
read_ca(struct helper *h, struct oauth_http *http, const char *path)
{
	AUTO_FD fd = open(*path ? path : CA_FILE, O_RDONLY | O_CLOEXEC);
	int e = fd < 0 ? -errno : fd_read_file(fd, CA_MAX, &http->ca, &http->ca_n);

	/* None at all would be the library's own list: all of the system's. */
	if (e == 0 && http->ca_n == 0 && *path)
		return helper_why(h, "oauth_ca: %s: it is empty", path);
	if (e == 0)
		return NULL;
	/* Without one, only http to loopback addresses can work. */
	if (e == -ENOENT && *path == '\0')
		return NULL;
	return helper_why(
		h, "oauth_ca: %s: %s", *path ? path : CA_FILE, strerrordesc_np(-e));
}

const char *
oauth_http_start(
	struct helper *h, const char *ca, uint64_t timeout_ms, struct oauth_http **ret)
{
	struct oauth_http *http = calloc(1, sizeof(*http));

	if (!http)
		return "there is no memory";
	http->timeout_ms = timeout_ms;
	http->body = malloc(OAUTH_BODY_MAX + 1);
	if (!http->body || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
		!(http->curl = curl_easy_init()))
		return "libcurl cannot be started";
	const char *why = read_ca(h, http, ca);
	if (!why)
		*ret = http;
	return why;
}

/* ---- a request -----------------------------------------------------------------------
 */

static bool
set_safety(struct oauth_http *http)
{
	CURL *c = http->curl;
	struct curl_blob ca = {http->ca, http->ca_n, CURL_BLOB_NOCOPY};
	long total = http->timeout_ms < LONG_MAX ? (long)http->timeout_ms : LONG_MAX;
	bool good = curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;

	good = good && curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
	good = good && curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK;
	good = good && curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == 0;
	good = good && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	good = good && curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, total) == CURLE_OK;
	good = good &&
		curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
			total < CONNECT_MS ? total : (long)CONNECT_MS) == CURLE_OK;
	good = good &&
		curl_easy_setopt(c, CURLOPT_MAXFILESIZE, (long)OAUTH_BODY_MAX) ==
			CURLE_OK;
	good = good && curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
	good = good && curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
	good = good &&
		curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) ==
			0;
	good = good && curl_easy_setopt(c, CURLOPT_ERRORBUFFER, http->words) == CURLE_OK;
	/* The library's directory would count beside the file: all of the system's. */
	good = good && curl_easy_setopt(c, CURLOPT_CAPATH, (char *)NULL) == CURLE_OK;
	/* An empty blob would mean the library's own list. */
	return good &&
		(http->ca_n == 0 ||
			curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca) == CURLE_OK);
}

static bool
set_request(struct oauth_http *http, const struct oauth_request *r)
{
	CURL *c = http->curl;
	bool good = curl_easy_setopt(c, CURLOPT_URL, r->url) == CURLE_OK;

	good = good && curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK;
	good = good && curl_easy_setopt(c, CURLOPT_WRITEDATA, http) == CURLE_OK;
	if (r->user) {
		good = good &&
			curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == 0;
		good = good && curl_easy_setopt(c, CURLOPT_USERNAME, r->user) == CURLE_OK;
		good = good &&
			curl_easy_setopt(c, CURLOPT_PASSWORD, r->password) == CURLE_OK;
	}
	if (r->form.n > 0) {
		good = good &&
			curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)r->form.n) == 0;
		good = good && curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->form.p) == 0;
	}
	return good;
}

static const char *
judge(struct oauth_http *http, CURLcode code)
{
	long status = 0;

	if (http->too_long || code == CURLE_FILESIZE_EXCEEDED)
		return "its answer is longer than 256 KiB";
	if (code != CURLE_OK)
		return http->words[0] ? http->words : curl_easy_strerror(code);
	if (curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
		status != 200) {
		(void)snprintf(http->why, sizeof(http->why),
			"it answered with HTTP status %ld, not 200", status);
		return http->why;
	}
	return NULL;
}

const char *
oauth_http_ask(struct oauth_http *http, const struct oauth_request *r, uint8_t **ret_body,
	size_t *ret_n)
{
	struct curl_slist *fields = curl_slist_append(NULL, "Accept: application/json");
	const char *why = "libcurl refuses the request";

	http->body_n = 0;
	http->too_long = false;
	http->words[0] = '\0';
	/* Keeps the connection, forgets the rest. */
	curl_easy_reset(http->curl);
	if (fields && set_safety(http) && set_request(http, r) &&
		curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, fields) == CURLE_OK)
		why = judge(http, curl_easy_perform(http->curl));
	curl_easy_reset(http->curl);
	curl_slist_free_all(fields);
	if (why)
		return why;
	*ret_body = malloc(http->body_n + 1);
	if (!*ret_body)
		return "there is no memory";
	memcpy(*ret_body, http->body, http->body_n);
	*ret_n = http->body_n;
	return NULL;
}
