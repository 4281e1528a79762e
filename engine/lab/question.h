/* question.h - a question with choices, as a line of a .jsonl file has it: {"question": "…",
 * "choices": ["…", …], "answer": 0}.  Tested in tests/tui/test_cli_eval.c and
 * tests/fuzz/fuzz_question.c. */
#ifndef QUESTION_H
#define QUESTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { CHOICES_MAX = 64 };

struct question {
    struct js_doc *doc; /* holds the strings */
    const char *text;
    size_t len;
    struct choice {
        const char *text;
        size_t len, chars; /* bytes, characters; none is empty */
    } choice[CHOICES_MAX];
    int32_t n, answer; /* n >= 2 */
};

/* `name` stands in front of messages.  Other members are left alone.  Freed with question_free,
 * also on failure. */
int question_parse(struct question *out, const char *name, const char *json, size_t len,
                   struct err *e);
void question_free(struct question *q);

#endif
