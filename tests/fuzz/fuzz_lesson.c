/* fuzz_lesson.c - any bytes as a lesson: no fault; as many lines of errors as it says, without a
 * control character; what is accepted is whole, and all of its texts can be filled in. */
#include <stdlib.h>
#include <string.h>

#include "lesson/lesson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void part(void *to, const char *text, size_t n, const struct fact *f)
{
    size_t *bytes = to;
    if (!text == !f)
        abort();
    *bytes += n;
}

static void check_text(const char *text)
{
    size_t bytes = 0;
    char why[160];
    if (text && (!lesson_text(text, part, &bytes, why) || bytes > strlen(text)))
        abort();
}

static void check_step(const struct lesson_step *s)
{
    check_text(s->title);
    check_text(s->say);
    check_text(s->ask);
    check_text(s->attempt);
    check_text(s->right);
    check_text(s->wrong);
    if (!s->title || !s->say || !s->ask != !s->has_answer || !s->attempt != !s->has_until)
        abort();
    for (int i = 0; i < s->n_actions; i++)
        if (!s->action[i].text ||
            (s->action[i].act == LESSON_DO && action_find(s->action[i].text, NULL) == ACTION_COUNT))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lesson l;
    struct bytes errors = {0};
    int bad = lesson_parse(&l, "fuzz", (const char *)data, size, &errors);
    size_t lines = 0;
    for (size_t i = 0; i < errors.len; i++) {
        lines += errors.data[i] == '\n';
        if ((unsigned char)errors.data[i] < 0x20 && errors.data[i] != '\n')
            abort();
    }
    if (bad < 0 || (size_t)bad != lines)
        abort();
    for (int i = 0; bad == 0 && i < l.n; i++)
        check_step(&l.step[i]);
    if (bad == 0 && (!l.n || !l.title || !l.about || !l.model))
        abort();
    lesson_free(&l);
    bytes_free(&errors);
    return 0;
}
