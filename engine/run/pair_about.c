/* pair_about.c - see pair_about.h. */
#include "run/pair_about.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "edit/edit.h"
#include "edit/reference.h"
#include "model/image_input.h"
#include "model/model.h"

static void add_text(struct fingerprint *f, const char *text)
{
    fingerprint_add(f, text, strlen(text) + 1);
}

void pair_about_edits(struct fingerprint *f, const struct pair_target *t)
{
    char text[LIMIT_EDIT_TEXT];
    for (int32_t i = 0; i < t->n_edits; i++) {
        edit_print(t->edits[i], text, sizeof text);
        fingerprint_add(f, text, strlen(text));
    }
}

int pair_about_tokenizer(struct fingerprint *f, const struct model *m, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s/tokenizer.json", m->folder ? m->folder : "");
    return !m->folder || stat(path, &st) || !S_ISREG(st.st_mode) ? 0 : fingerprint_file(f, path, e);
}

static int set_add(struct fingerprint *f, const struct reference_set *s, struct err *e)
{
    add_text(f, s->name);
    if (s->means)
        return fingerprint_file(f, s->path, e);
    fingerprint_add(f, s->start, (size_t)(s->n + 1) * sizeof *s->start);
    fingerprint_add(f, s->tokens, (size_t)s->n_tokens * sizeof *s->tokens);
    return 0;
}

int pair_about_read(struct fingerprint *f, const struct pair_target *t, struct err *e)
{
    const char *path, *last = NULL; /* masks of all layers lie in one file */
    int rc = 0;
    for (int32_t i = 0; i < t->n_edits && !rc; i++)
        if ((path = edit_file_path(t->edits[i])) && (!last || strcmp(path, last) != 0))
            rc = fingerprint_file(f, last = path, e);
    for (int32_t i = 0; i < t->n_sets && !rc; i++)
        rc = set_add(f, t->sets[i], e);
    for (int32_t i = 0; i < t->n_prompts && !rc; i++) {
        const struct pair_prompt *p = &t->prompts[i];
        add_text(f, p->name);
        fingerprint_add(f, p->tokens, (size_t)p->n * sizeof *p->tokens);
        if (p->image)
            fingerprint_add(f, p->image->values,
                            (size_t)p->image->rows * (size_t)p->image->patch *
                                sizeof *p->image->values);
    }
    return rc;
}
