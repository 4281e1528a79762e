/* http.h - one request over HTTP: the only user of libcurl.
 *
 * Redirects are not followed here, a token goes nowhere but where it is given, and bodies of other
 * statuses than 200 and 206 are not handed out.  Proxies are those of the environment (https_proxy,
 * http_proxy, all_proxy, no_proxy).  One thread.  Tested in tests/tui/test_pull.c. */
#ifndef HTTP_H
#define HTTP_H

#include <signal.h>

#include "base/err.h"
#include "pull/headers.h"

struct http;

struct http_request {
    const char *url;
    const char *token; /* NULL: none is sent */
    bool head;
    int64_t from; /* bytes from here on: Range; 0 = all */
    /* A piece of the body; false: no more is wanted, and http_send gives HTTP_STOPPED.  NULL: not
     * wanted. */
    bool (*body)(void *user, const struct headers *h, const void *data, size_t n);
    void *user;
    /* Called often, at least once a second.  May be NULL. */
    void (*tick)(void *user);
    void *tick_user;
};

enum http_result {
    HTTP_OK,       /* an answer came whole, whatever its status */
    HTTP_BROKEN,   /* the connection was cut, stalled or timed out: another try may help */
    HTTP_FAILED,   /* it cannot be made: no such host, refused, certificate */
    HTTP_STOPPED,  /* by body */
    HTTP_CANCELLED /* *cancel was set */
};

/* `cancel`, when it becomes non-zero, ends a request within a second.  timeout_s: of silence. */
struct http *http_open(const volatile sig_atomic_t *cancel, int timeout_s, struct err *e);
void http_close(struct http *h);
/* *out is what of the head came, also on failure, of which *why (160 bytes) says what it was. */
enum http_result http_send(struct http *h, const struct http_request *q, struct headers *out,
                           char why[160]);

enum { HTTP_URL = 4096 };
/* `location` as seen from `url`, into out[HTTP_URL]; false: neither http nor https, with a name or
 * password in it, from https to http, or too long. */
bool http_resolve(const char *url, const char *location, char *out);
/* Do two addresses lead to the same scheme, host and port? */
bool http_same_origin(const char *a, const char *b);
/* The host of an address, for messages: "huggingface.co". */
void http_host(const char *url, char *buf, size_t size);
/* Append `text` percent-encoded; '/' stays if `path`. False: it does not fit. */
bool http_quote(char url[HTTP_URL], const char *text, bool path);

#endif
