/* Fuzz: any bytes as a question.  What is read has choices, none empty, and an answer among them; a
 * refusal is one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/question.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct question q;
    struct err e = {0};
    int rc = question_parse(&q, "file · line 1", (const char *)data, size, &e);
    if (rc && (rc >= 0 || !e.text[0] || strchr(e.text, '\n')))
        abort();
    if (!rc && (q.n < 2 || q.answer < 0 || q.answer >= q.n || strlen(q.text) != q.len))
        abort();
    for (int32_t i = 0; !rc && i < q.n; i++)
        if (!q.choice[i].len || strlen(q.choice[i].text) != q.choice[i].len ||
            q.choice[i].chars > q.choice[i].len || !q.choice[i].chars)
            abort();
    question_free(&q);
    return 0;
}
