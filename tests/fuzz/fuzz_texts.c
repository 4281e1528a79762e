/* Fuzz: any bytes as a file of texts in every format (the first byte says which).  Records are
 * UTF-8 without zero bytes, lie in the order of their lines, and are not empty; a refusal is one
 * line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/text_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct text_record *r, int64_t line, bool labelled)
{
    if (!r->len || r->line < line || labelled != (r->label != NULL))
        abort();
    if (r->label && strlen(r->label) > (size_t)1 << 20)
        abort();
    for (size_t i = 0; i < r->len; i++) /* bytes that no UTF-8 has */
        if ((unsigned char)r->text[i] >= 0xf8)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text_file *f = NULL;
    struct text_record r;
    struct err e = {0};
    if (!size)
        return 0;
    struct text_form form = {(enum text_format)(data[0] / 2 % TEXT_FORMATS), "text", NULL};
    form.label = form.format >= TEXT_JSONL && data[0] % 2 ? "label" : NULL;
    char *bytes = malloc(size); /* exact, so that a read past the end is seen */
    if (!bytes)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    int rc = text_file_of(&f, "file", bytes, size - 1, &form, &e);
    int64_t line = 1, at = 0;
    while (!rc && (rc = text_file_next(f, &r, &e)) > 0) {
        check(&r, line, form.label != NULL);
        if (text_file_at(f) <= at)
            abort();
        line = r.line, at = text_file_at(f), rc = 0;
    }
    if (rc < 0 && (e.code >= 0 || !e.text[0] || strchr(e.text, '\n')))
        abort();
    text_file_close(f);
    free(bytes);
    return 0;
}
