/* http.c - requests through libcurl (see http.h). */
#include "pull/http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pull/late.h"

enum { ERROR_BODY_MAX = 1 << 16 };

struct http {
    const struct late *c;
    CURL *curl;
    const volatile sig_atomic_t *cancel;
    int timeout_s;
    const struct http_request *request; /* the one under way */
    struct headers *out;
    size_t dropped; /* bytes of a body that nobody wants */
    bool stopped;
};

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    struct http *h = user;
    headers_line(h->out, line, size * n);
    return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct http *h = user;
    bool good = h->out->status == 200 || h->out->status == 206;
    if (good && h->request->body) {
        h->stopped = !h->request->body(h->request->user, h->out, data, size * n);
        return h->stopped ? 0 : size * n;
    }
    h->dropped += size * n;
    return h->dropped > ERROR_BODY_MAX ? 0 : size * n;
}

static int on_progress(void *user, curl_off_t total, curl_off_t done, curl_off_t up_total,
                       curl_off_t up)
{
    struct http *h = user;
    (void)total, (void)done, (void)up_total, (void)up;
    if (h->request->tick)
        h->request->tick(h->request->tick_user);
    return *h->cancel != 0;
}

struct http *http_open(const volatile sig_atomic_t *cancel, int timeout_s, struct err *e)
{
    const struct late *c = late_open(e);
    if (!c)
        return NULL;
    struct http *h = calloc(1, sizeof *h);
    if (h && c->curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        h->curl = c->curl_easy_init();
    if (!h || !h->curl) {
        free(h);
        err_memory(e, "libcurl");
        return NULL;
    }
    h->c = c;
    h->cancel = cancel;
    h->timeout_s = timeout_s;
    return h;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    h->c->curl_easy_cleanup(h->curl);
    free(h);
}

/* Certificates beside the system's, as Python's libraries and curl's own program take them. */
static const char *certificates(void)
{
    static const char *const vars[] = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"};
    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++) {
        const char *file = getenv(vars[i]);
        if (file && *file)
            return file;
    }
    return NULL;
}

static struct curl_slist *set_up(struct http *h, char why[CURL_ERROR_SIZE])
{
    const struct late *c = h->c;
    CURLcode (*set)(CURL *, CURLoption, ...) = c->curl_easy_setopt;
    const struct http_request *q = h->request;
    char line[1024];
    struct curl_slist *lines = c->curl_slist_append(NULL, "Accept-Encoding: identity");
    c->curl_easy_reset(h->curl);
    set(h->curl, CURLOPT_ERRORBUFFER, why);
    set(h->curl, CURLOPT_URL, q->url);
    set(h->curl, CURLOPT_NOSIGNAL, 1L);
    set(h->curl, CURLOPT_NOBODY, q->head ? 1L : 0L);
    set(h->curl, CURLOPT_USERAGENT, "borescope/" BORE_VERSION);
    set(h->curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    set(h->curl, CURLOPT_HEADERDATA, h);
    set(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    set(h->curl, CURLOPT_WRITEDATA, h);
    set(h->curl, CURLOPT_NOPROGRESS, 0L);
    set(h->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    set(h->curl, CURLOPT_XFERINFODATA, h);
    set(h->curl, CURLOPT_CONNECTTIMEOUT, (long)h->timeout_s);
    set(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(h->curl, CURLOPT_LOW_SPEED_TIME, (long)h->timeout_s);
    set(h->curl, CURLOPT_TCP_KEEPALIVE, 1L);
    set(h->curl, CURLOPT_BUFFERSIZE, 1L << 18);
    if (certificates())
        set(h->curl, CURLOPT_CAINFO, certificates());
    if (q->from > 0) {
        snprintf(line, sizeof line, "%lld-", (long long)q->from);
        set(h->curl, CURLOPT_RANGE, line);
    }
    if (q->token) { /* and not to a proxy that only passes a connection on */
        set(h->curl, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
        snprintf(line, sizeof line, "Authorization: Bearer %s", q->token);
        struct curl_slist *more = c->curl_slist_append(lines, line);
        lines = more ? more : lines;
    }
    set(h->curl, CURLOPT_HTTPHEADER, lines);
    return lines;
}

static enum http_result result_of(const struct http *h, CURLcode code)
{
    if (*h->cancel)
        return HTTP_CANCELLED;
    if (h->stopped)
        return HTTP_STOPPED;
    switch (code) {
    case CURLE_OK: return HTTP_OK;
    case CURLE_WRITE_ERROR: /* more than enough of a body that nobody wants */
        return h->dropped > ERROR_BODY_MAX ? HTTP_OK : HTTP_FAILED;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR: return HTTP_BROKEN;
    default: return HTTP_FAILED;
    }
}

enum http_result http_send(struct http *h, const struct http_request *q, struct headers *out,
                           char why[160])
{
    char text[CURL_ERROR_SIZE] = "";
    headers_begin(out);
    h->request = q;
    h->out = out;
    h->dropped = 0;
    h->stopped = false;
    struct curl_slist *lines = set_up(h, text);
    CURLcode code = h->c->curl_easy_perform(h->curl);
    h->c->curl_slist_free_all(lines);
    snprintf(why, 160, "%s", text[0] ? text : h->c->curl_easy_strerror(code));
    return result_of(h, code);
}

/* ---- addresses ---- */

static bool url_part(CURLU *u, CURLUPart part, char *buf, size_t size)
{
    const struct late *c = late_open(NULL);
    char *text = NULL;
    bool fits = c->curl_url_get(u, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                strlen(text) < size;
    if (fits)
        memcpy(buf, text, strlen(text) + 1);
    c->curl_free(text);
    return fits;
}

static void url_free(CURLU *u)
{
    if (u)
        late_open(NULL)->curl_url_cleanup(u);
}

/* An address parsed, `more` (may be NULL) as seen from it; NULL: not one of http or https, or there
 * is no libcurl. */
static CURLU *url_parse(const char *url, const char *more)
{
    char scheme[16] = "";
    const struct late *c = late_open(NULL);
    CURLU *u = c ? c->curl_url() : NULL;
    if (!u || c->curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) ||
        (more && c->curl_url_set(u, CURLUPART_URL, more, CURLU_DISALLOW_USER)) ||
        !url_part(u, CURLUPART_SCHEME, scheme, sizeof scheme) ||
        (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)) {
        url_free(u);
        return NULL;
    }
    return u;
}

static bool is_secure(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0;
}

bool http_resolve(const char *url, const char *location, char *out)
{
    char text[HTTP_URL] = "";
    CURLU *u = url_parse(url, location);
    bool good = u && url_part(u, CURLUPART_URL, text, sizeof text) &&
                (is_secure(text) || !is_secure(url));
    url_free(u);
    if (good)
        memcpy(out, text, sizeof text);
    return good;
}

bool http_same_origin(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    char x[300], y[300];
    CURLU *u = url_parse(a, NULL), *v = url_parse(b, NULL);
    bool same = u && v;
    for (size_t i = 0; same && i < sizeof parts / sizeof *parts; i++)
        same = url_part(u, parts[i], x, sizeof x) && url_part(v, parts[i], y, sizeof y) &&
               strcasecmp(x, y) == 0;
    url_free(u);
    url_free(v);
    return same;
}

void http_host(const char *url, char *buf, size_t size)
{
    CURLU *u = url_parse(url, NULL);
    if (!u || !url_part(u, CURLUPART_HOST, buf, size))
        snprintf(buf, size, "the hub");
    url_free(u);
}

bool http_quote(char url[HTTP_URL], const char *text, bool path)
{
    size_t n = strlen(url);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (n + 4 > HTTP_URL)
            return false;
        if (isalnum(c) || strchr("-._~", c) || (path && c == '/'))
            url[n++] = (char)c;
        else
            n += (size_t)snprintf(url + n, 4, "%%%02X", c);
        url[n] = '\0';
    }
    return true;
}
