/* pull_parts.h - the inside of fetching, for pull.c, remote.c and blob.c.  Tested in
 * tests/tui/test_pull.c, tests/tui/test_pull_refusals.c. */
#ifndef PULL_PARTS_H
#define PULL_PARTS_H

#include "bytes.h"
#include "pull/http.h"
#include "pull/listing.h"
#include "pull/pull.h"

/* A file as its server describes it. */
struct remote_file {
    const char *path; /* in the repository; of the list of chosen files */
    char etag[80];    /* its checksum, and its name in blobs */
    int64_t size;     /* -1: not known */
    bool there;       /* the snapshot has it already */
};

struct pull {
    const struct pull_options *o;
    struct http *http;
    char endpoint[512];                  /* without a slash at its end */
    char *token;                         /* NULL: none */
    char root[PATH_MAX], repo[PATH_MAX]; /* of the cache, of the model in it */
    char locks[PATH_MAX];
    struct listing listing, chosen;
    struct remote_file *file; /* [n_files] */
    int n_files;
    struct pull_progress at;
};

/* printf into a path of PATH_MAX bytes; ERR_BAD_INPUT if it does not fit. */
int pull_path(char path[PATH_MAX], struct err *e, const char *format, ...) ERR_PRINTF(3, 4);
/* Make all folders of a path but its last part. */
int pull_folders(const char *path, struct err *e);
/* Wait before try number `n` (from 0), unless cancelled. */
int pull_wait(const struct pull *p, int n, struct err *e);
enum { PULL_TRIES = 5 };

/* remote.c: what the hub says. */
/* The list of files of the revision, into p->listing. */
int remote_listing(struct pull *p, struct err *e);
/* Checksum and size of f->path at p->listing.commit. */
int remote_describe(struct pull *p, struct remote_file *f, struct err *e);
/* The bytes of f->path from `from` on through `body`, once, redirects followed.  HTTP_OK only with
 * status 200 or 206; other statuses that another try may change are HTTP_BROKEN.  On HTTP_FAILED
 * and HTTP_BROKEN *e says why. */
enum http_result remote_fetch(struct pull *p, const struct remote_file *f, int64_t from,
                              bool (*body)(void *user, const struct headers *h, const void *data,
                                           size_t n),
                              void *user, struct err *e);

/* blob.c: the file into blobs, checked, under its checksum's name. */
int blob_fetch(struct pull *p, const struct remote_file *f, struct err *e);
/* Bytes of it that lie there from an earlier try, or all of them. */
uint64_t blob_present(const struct pull *p, const struct remote_file *f);

#endif
