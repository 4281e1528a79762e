/* headers.h - what of the head of an answer is looked at.
 *
 * Lines come from a server that is not trusted: values that do not fit or are no numbers count as
 * absent.  Pure.  Tested in tests/tui/test_pull_parts.c, tests/fuzz/fuzz_headers.c. */
#ifndef HEADERS_H
#define HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct headers {
    int status;                      /* 0: no answer yet */
    int64_t length;                  /* Content-Length; -1 absent, like all numbers here */
    int64_t linked_size;             /* X-Linked-Size: of the file that this one stands for */
    int64_t range_first, range_size; /* Content-Range: bytes FIRST-LAST/SIZE */
    bool encoded;                    /* Content-Encoding that is not identity */
    char etag[80], linked_etag[80];  /* without W/ and quotes */
    char commit[48];                 /* X-Repo-Commit */
    char location[4096];
    char error_code[48], error_message[160]; /* X-Error-Code, X-Error-Message */
};

void headers_begin(struct headers *h);
/* One line of the head, with or without its line end.  A status line begins anew: an answer may
 * follow others (100 Continue). */
void headers_line(struct headers *h, const char *line, size_t n);
/* The entity tag of the content: linked_etag where there is one. */
const char *headers_etag(const struct headers *h);

#endif
