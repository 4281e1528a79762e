/* question.c - see question.h. */
#include "lab/question.h"

#include <string.h>

#include "base/json.h"

static size_t characters(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

static int choices(struct question *q, struct js_node all, struct err *e)
{
    size_t n = js_count(all);
    if (!js_is_array(all) || n < 2 || n > CHOICES_MAX)
        return js_expected(all, "2 to 64 choices", e);
    for (size_t i = 0; i < n; i++) {
        struct choice *c = &q->choice[i];
        int rc = js_string(js_at(all, i), &c->text, &c->len, e);
        if (rc)
            return rc;
        if (!c->len || memchr(c->text, '\0', c->len))
            return js_expected(js_at(all, i), "a text", e);
        c->chars = characters(c->text, c->len);
    }
    q->n = (int32_t)n;
    return 0;
}

int question_parse(struct question *out, const char *name, const char *json, size_t len,
                   struct err *e)
{
    *out = (struct question){.doc = js_parse(name, json, len, e)};
    if (!out->doc)
        return err_code(e);
    struct js_node root = js_root(out->doc), text = js_get(root, "question");
    int64_t answer = 0;
    int rc = js_string(text, &out->text, &out->len, e);
    if (!rc && memchr(out->text, '\0', out->len))
        rc = js_expected(text, "a text", e);
    if (!rc)
        rc = choices(out, js_get(root, "choices"), e);
    if (!rc)
        rc = js_int(js_get(root, "answer"), 0, out->n - 1, &answer, e);
    out->answer = (int32_t)answer;
    return rc;
}

void question_free(struct question *q)
{
    js_close(q->doc);
    *q = (struct question){.doc = NULL};
}
