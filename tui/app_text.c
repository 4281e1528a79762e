/* app_text.c - prompts and tokens of the explorer, and the line that is being typed (app.h). */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "complete.h"
#include "lesson_play.h"

/* Tokens of a text for this model; false with a message. */
static bool tokenize(struct app *a, const char *text, int32_t **ids, int32_t *n)
{
    struct err e = {0};
    bool over;
    int32_t *fresh = NULL;
    int r = model_tokens(a->m, text, strlen(text), a->opt.bos, &fresh, n, &e);
    if (r == 0 && (r = model_check_tokens(a->m, fresh, *n, &over, &e)) == 0) {
        *ids = fresh;
        if (over)
            app_say(a, "%d tokens: longer than the %d that the model was trained on", (int)*n,
                    (int)a->m->cfg.n_ctx);
        return true;
    }
    free(fresh);
    app_complain(a, "%s", e.text);
    return false;
}

/* A text where an image is wanted. */
static bool is_refused(struct app *a)
{
    if (a->image)
        app_complain(a, "%s takes images, no text · image FILE reads another", a->m->name);
    return a->image;
}

bool app_set_prompt(struct app *a, const char *text)
{
    if (is_refused(a))
        return false;
    int32_t *ids = NULL, n = 0;
    char *copy = strdup(text);
    if (!copy || !tokenize(a, text, &ids, &n)) {
        free(copy);
        return false;
    }
    bool at_end = a->cur.row == model_answer_row(a->m, a->tokens, a->n);
    bool same = n == a->n && memcmp(ids, a->tokens, (size_t)n * sizeof *ids) == 0;
    free(a->prompt);
    free(a->tokens);
    a->prompt = copy;
    a->tokens = ids;
    a->n = n;
    if (same)
        return true;
    if (at_end)
        a->cur.row = model_answer_row(a->m, ids, n);
    a->pair_wanted = a->pair_auto;
    app_values_changed(a);
    return true;
}

bool app_set_other(struct app *a, const char *text)
{
    if (a->image && *text) {
        app_begin_image(a, text, true);
        return true;
    }
    image_drop(a->other_image);
    a->other_image = NULL;
    int32_t *ids = NULL, n = 0;
    char *copy = *text ? strdup(text) : NULL;
    if (*text && (!copy || !tokenize(a, text, &ids, &n))) {
        free(copy);
        return false;
    }
    free(a->other);
    free(a->other_tokens);
    a->other = copy;
    a->other_tokens = ids;
    a->n_other = n;
    app_values_changed(a);
    return true;
}

int32_t app_token(struct app *a, const char *text, size_t len)
{
    char buf[256];
    int32_t id = -1;
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        id = tokenizer_find(a->m->tok, text + 1, len - 2);
    } else if (len && len + 1 < sizeof buf) {
        buf[0] = ' ';
        memcpy(buf + 1, text, len);
        id = tokenizer_find(a->m->tok, buf, len + 1);
        if (id < 0)
            id = tokenizer_find(a->m->tok, text, len);
    }
    if (id < 0) {
        char shown[64];
        text_copy(shown, sizeof shown, text, len, TEXT_PLAIN);
        app_complain(a, "no single token %s · Tab completes, \"…\" takes it exactly", shown);
    }
    return id;
}

/* ---- the line ---- */

/* Where a search filters a list: what the list is filtered by. */
static char *view_filter(struct app *a)
{
    return a->cur.view == VIEW_HOOKS   ? a->filter
           : a->cur.view == VIEW_HEADS ? a->head_filter
                                       : NULL;
}

void app_line_open(struct app *a, enum line_mode mode, const char *text)
{
    a->mode = mode;
    line_set(&a->line, text, strlen(text));
    free(a->line_before);
    a->line_before = strdup(mode != LINE_SEARCH ? text
                            : view_filter(a)    ? view_filter(a)
                                                : a->search);
    a->history[mode].at = a->history[mode].n;
    a->help_at = a->help_top = 0;
    a->message[0] = 0;
    complete_reset(a);
}

static void set_search(struct app *a, const char *text)
{
    if (view_filter(a)) {
        text_copy(view_filter(a), sizeof a->filter, text, strlen(text), TEXT_PLAIN);
        return;
    }
    size_t n = strlen(text);
    n = n < sizeof a->search ? n : sizeof a->search - 1;
    memcpy(a->search, text, n);
    a->search[n] = 0;
}

void app_line_changed(struct app *a)
{
    const char *text = line_text(&a->line);
    complete_reset(a);
    a->message[0] = 0;
    if (a->mode == LINE_PROMPT)
        app_set_prompt(a, text);
    else if (a->mode == LINE_SEARCH)
        set_search(a, text);
    else if (a->mode == LINE_HELP)
        a->help_at = a->help_top = 0;
    else
        complete_find(a);
}

void app_line_cancel(struct app *a)
{
    enum line_mode mode = a->mode;
    a->mode = LINE_NONE;
    complete_reset(a);
    a->message[0] = 0;
    if (!a->line_before)
        return;
    if (mode == LINE_PROMPT)
        app_set_prompt(a, a->line_before);
    else if (mode == LINE_SEARCH)
        set_search(a, a->line_before);
}

/* The binding that stands at place help_at of the list. */
static const char *help_chosen(const struct app *a)
{
    int at = 0;
    for (size_t i = 0; i < a->opt.keymap->n; i++)
        if (app_help_row(a, i) && at++ == a->help_at)
            return a->opt.keymap->binding[i].command;
    return NULL;
}

unsigned app_line_accept(struct app *a)
{
    enum line_mode mode = a->mode;
    char *text = strdup(line_text(&a->line));
    const char *chosen = mode == LINE_HELP ? help_chosen(a) : NULL;
    a->mode = LINE_NONE;
    a->message[0] = 0;
    complete_reset(a);
    unsigned react = 0;
    if (!text)
        return 0;
    if (mode != LINE_HELP)
        line_history_add(&a->history[mode], text);
    if (mode == LINE_COMMAND && *text)
        react = app_command(a, text + strspn(text, " "));
    else if (mode == LINE_SEARCH && view_filter(a))
        set_search(a, text); /* an empty one lists all again */
    else if (mode == LINE_SEARCH)
        react = app_command(a, "next");
    else if (mode == LINE_OTHER)
        app_set_other(a, text);
    else if (mode == LINE_ANSWER)
        lesson_answer(a, text);
    else if (mode == LINE_PROMPT)
        app_set_prompt(a, text);
    else if (mode == LINE_PAIR) {
        struct bytes b = {0};
        bytes_addf(&b, "pair %s", *text ? text : "auto");
        if (!b.failed)
            react = app_command(a, b.data);
        bytes_free(&b);
    } else if (chosen)
        react = app_command(a, chosen);
    free(text);
    return react;
}
