/* remote.c - questions to the hub, and what its refusals mean (see pull_parts.h). */
#include "pull/pull_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/limit.h"

enum { REDIRECTS_MAX = 10 };

struct question {
    const char *url, *what; /* what: for messages, "model.safetensors" */
    bool head;
    int64_t from;
    bool (*body)(void *user, const struct headers *h, const void *data, size_t n);
    void *user;
};

static void tick(void *user)
{
    const struct pull *p = user;
    if (p->o->progress)
        p->o->progress(p->o->user, &p->at);
}

static void revision_of(const struct pull *p, char *buf, size_t size)
{
    snprintf(buf, size, "%s", p->o->revision ? p->o->revision : "main");
}

/* 401 and 403: who asks may not have it. */
static int forbidden(const struct pull *p, const struct headers *h, struct err *e)
{
    const char *name = p->o->name;
    if (!strcmp(h->error_code, "GatedRepo"))
        return err_set(e, ERR_BAD_INPUT, "%s · is gated · accept its conditions at %s/%s%s", name,
                       p->endpoint, name,
                       p->token ? " with the account of this token"
                                : ", and set HF_TOKEN to a token of that account");
    if (h->status == 401 && !p->token)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · there is no such model, or it is private · check the name; for a private one set HF_TOKEN",
            name);
    return err_set(e, ERR_BAD_INPUT, "%s · refused (%d)%s%s · %s", name, h->status,
                   h->error_message[0] ? ": " : "", h->error_message,
                   p->token ? "look at what HF_TOKEN, or the token of `hf auth login`, may read"
                            : "set HF_TOKEN to a token that may read it");
}

static int not_found(const struct pull *p, const struct headers *h, const struct question *q,
                     struct err *e)
{
    char revision[200];
    revision_of(p, revision, sizeof revision);
    if (!strcmp(h->error_code, "RevisionNotFound"))
        return err_set(e, ERR_BAD_INPUT, "%s · has no revision %s · look at %s/%s/tree/main",
                       p->o->name, revision, p->endpoint, p->o->name);
    if (!strcmp(h->error_code, "EntryNotFound"))
        return err_set(e, ERR_BAD_INPUT, "%s@%s · has no file %s", p->o->name, revision, q->what);
    return err_set(e, ERR_BAD_INPUT, "%s · there is no such model at %s · check the name",
                   p->o->name, p->endpoint);
}

/* An answer from `url` that is no success, in words. */
static enum http_result refused(const struct pull *p, const struct headers *h,
                                const struct question *q, const char *url, struct err *e)
{
    char host[200];
    bool at_home = http_same_origin(url, p->endpoint);
    http_host(url, host, sizeof host);
    if (at_home && (h->status == 401 || h->status == 403))
        forbidden(p, h, e);
    else if (at_home && h->status == 404)
        not_found(p, h, q, e);
    else
        err_set(e, ERR_SYSTEM, "%s · %s · %s answers %d%s%s%s", p->o->name, q->what, host,
                h->status, h->error_message[0] ? ": " : "", h->error_message,
                h->status == 429 ? " (too many requests) · wait a while, or set HF_TOKEN" : "");
    return h->status == 408 || h->status == 429 || h->status >= 500 ? HTTP_BROKEN : HTTP_FAILED;
}

static bool is_redirect(const struct headers *h)
{
    return h->location[0] && (h->status == 301 || h->status == 302 || h->status == 303 ||
                              h->status == 307 || h->status == 308);
}

/* One question, redirects followed; the token goes to the endpoint's own origin only.  A HEAD that
 * is sent on to another host is answered: what it says is on this answer, not there. */
static enum http_result ask(struct pull *p, const struct question *q, struct headers *h,
                            struct err *e)
{
    char url[HTTP_URL], next[HTTP_URL], why[160], host[200];
    snprintf(url, sizeof url, "%s", q->url);
    for (int i = 0; i < REDIRECTS_MAX; i++) {
        bool at_home = http_same_origin(url, p->endpoint);
        struct http_request r = {.url = url,
                                 .token = at_home ? p->token : NULL,
                                 .head = q->head,
                                 .from = q->from,
                                 .body = q->body,
                                 .user = q->user,
                                 .tick = tick,
                                 .tick_user = p};
        enum http_result result = http_send(p->http, &r, h, why);
        if (result == HTTP_CANCELLED)
            err_set(e, ERR_CANCELLED, "interrupted");
        if (result == HTTP_BROKEN || result == HTTP_FAILED) {
            http_host(url, host, sizeof host);
            err_set(e, ERR_SYSTEM, "%s · %s · %s: %s", p->o->name, q->what, host, why);
        }
        if (result != HTTP_OK)
            return result;
        if (!is_redirect(h))
            return h->status == 200 || h->status == 206 ? HTTP_OK : refused(p, h, q, url, e);
        if (!http_resolve(url, h->location, next)) {
            err_set(e, ERR_SYSTEM, "%s · %s · sent on to an address that is not followed: %.80s",
                    p->o->name, q->what, h->location);
            return HTTP_FAILED;
        }
        if (q->head && !http_same_origin(next, p->endpoint))
            return HTTP_OK;
        memcpy(url, next, sizeof url);
    }
    err_set(e, ERR_SYSTEM, "%s · %s · sent on more than %d times", p->o->name, q->what,
            REDIRECTS_MAX);
    return HTTP_FAILED;
}

static bool add_text(void *user, const struct headers *h, const void *data, size_t n)
{
    struct bytes *text = user;
    (void)h;
    bytes_add(text, data, n);
    return !text->failed && text->len <= LIMIT_LISTING_BYTES;
}

/* The same, tried again where that may help, its body into *text (NULL: none).  The very first
 * question of all fails at once if nobody is there. */
static int ask_again(struct pull *p, struct question *q, struct headers *h, struct bytes *text,
                     struct err *e)
{
    q->body = text ? add_text : NULL;
    q->user = text;
    for (int n = 0;; n++) {
        if (text)
            bytes_clear(text);
        enum http_result r = ask(p, q, h, e);
        if (r == HTTP_OK)
            return 0;
        if (r == HTTP_STOPPED)
            return text->failed ? err_memory(e, "%s", q->what)
                                : err_set(e, ERR_BAD_INPUT, "%s · %s · it is longer than %d bytes",
                                          p->o->name, q->what, LIMIT_LISTING_BYTES);
        if (r != HTTP_BROKEN || n + 1 == PULL_TRIES || (text && !h->status))
            return e->code;
        int rc = pull_wait(p, n, e);
        if (rc)
            return rc;
    }
}

int remote_listing(struct pull *p, struct err *e)
{
    char url[HTTP_URL], revision[200], what[300];
    struct headers h;
    struct bytes text = {0};
    revision_of(p, revision, sizeof revision);
    snprintf(what, sizeof what, "the list of files of %s", revision);
    snprintf(url, sizeof url, "%s/api/models/", p->endpoint);
    struct question q = {.url = url, .what = what};
    if (!http_quote(url, p->o->name, true) || !http_quote(url, "/revision/", true) ||
        !http_quote(url, revision, false))
        return err_set(e, ERR_BAD_INPUT, "%s · the name is too long", p->o->name);
    int rc = ask_again(p, &q, &h, &text, e);
    if (!rc && (rc = listing_parse(&p->listing, what, text.data ? text.data : "", text.len, e)))
        err_prefix(e, "%s", p->o->name);
    bytes_free(&text);
    return rc;
}

static bool file_url(const struct pull *p, const struct remote_file *f, char url[HTTP_URL])
{
    snprintf(url, HTTP_URL, "%s/", p->endpoint);
    return http_quote(url, p->o->name, true) && http_quote(url, "/resolve/", true) &&
           http_quote(url, p->listing.commit, false) && http_quote(url, "/", true) &&
           http_quote(url, f->path, true);
}

int remote_describe(struct pull *p, struct remote_file *f, struct err *e)
{
    char url[HTTP_URL];
    struct headers h;
    struct question q = {.url = url, .what = f->path, .head = true};
    if (!file_url(p, f, url))
        return err_set(e, ERR_BAD_INPUT, "%s · %.100s · the name is too long", p->o->name, f->path);
    int rc = ask_again(p, &q, &h, NULL, e);
    if (rc)
        return rc;
    if (strcmp(h.commit, p->listing.commit) != 0)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · %s · the answer names commit \"%s\", not %s: this is no hub · look at HF_ENDPOINT and proxies",
            p->o->name, f->path, h.commit, p->listing.commit);
    snprintf(f->etag, sizeof f->etag, "%s", headers_etag(&h));
    f->size = h.linked_size >= 0 ? h.linked_size : h.status != 200 || h.encoded ? -1 : h.length;
    return 0;
}

enum http_result remote_fetch(struct pull *p, const struct remote_file *f, int64_t from,
                              bool (*body)(void *user, const struct headers *h, const void *data,
                                           size_t n),
                              void *user, struct err *e)
{
    char url[HTTP_URL];
    struct headers h;
    struct question q = {.url = url, .what = f->path, .from = from, .body = body, .user = user};
    file_url(p, f, url); /* it fitted when the file was described */
    return ask(p, &q, &h, e);
}
