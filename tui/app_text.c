/* app_text.c - prompts and tokens of the explorer, and the line that is being typed (app.h). */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "input/complete.h"
#include "help.h"
#include "lesson/lesson_play.h"
#include "list/patch.h"
#include "save/state_files.h"
#include "input/token_word.h"

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

/* text (NULL: memory is out) and ids are taken over. */
static bool take_prompt(struct app *a, char *text, int32_t *ids, int32_t n)
{
    if (!text) {
        free(ids);
        app_complain(a, "out of memory");
        return false;
    }
    bool at_end = a->cur.row == model_answer_row(a->m, a->tokens, a->n);
    bool same = n == a->n && memcmp(ids, a->tokens, (size_t)n * sizeof *ids) == 0;
    free(a->prompt);
    free(a->tokens);
    a->prompt = text;
    a->tokens = ids;
    a->n = n;
    a->by_ids = false;
    if (same)
        return true;
    if (at_end)
        a->cur.row = model_answer_row(a->m, ids, n);
    app_pair_look(a);
    patch_realign(a);
    app_values_changed(a);
    return true;
}

bool app_set_prompt(struct app *a, const char *text)
{
    int32_t *ids = NULL, n = 0;
    return !is_refused(a) && tokenize(a, text, &ids, &n) && take_prompt(a, strdup(text), ids, n);
}

bool app_set_ids(struct app *a, const char *text)
{
    int32_t *ids = NULL, n = 0;
    size_t len = 0;
    struct err e = {0};
    if (is_refused(a))
        return false;
    int rc = model_ids(text, strlen(text), &ids, &n, &e);
    if (!rc)
        rc = model_check_tokens(a->m, ids, n, NULL, &e);
    char *decoded = rc ? NULL
                       : tokenizer_decode(a->m->tok, ids, (size_t)n, TOKENIZER_SKIP_SPECIAL, &len,
                                          &e);
    if (!decoded) {
        free(ids);
        app_complain(a, "%s", e.text);
        return false;
    }
    a->by_ids = take_prompt(a, decoded, ids, n);
    return a->by_ids;
}

/* A pair of which the prompt had a token says nothing about one that has neither; it comes back
 * with it. */
void app_pair_look(struct app *a)
{
    bool there = false;
    for (int32_t i = 0; i < a->n && !a->image; i++)
        there = there || a->tokens[i] == a->pair_given[0] || a->tokens[i] == a->pair_given[1];
    a->pair_seen = a->pair_given[0] >= 0 && (a->pair_seen || there);
    a->pair_wanted = a->pair_given[0] < 0 || (a->pair_seen && !there);
    if (!a->pair_wanted)
        memcpy(a->pair, a->pair_given, sizeof a->pair);
    else if (a->pair_given[0] >= 0)
        app_say(a, "neither token of the pair is in this prompt: Δ follows the two likeliest · t "
                   "chooses");
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
    patch_realign(a);
    app_values_changed(a);
    if (ids) {
        struct bytes b = {0};
        char noun[256];
        bool on = app_noun_text(a, false, noun);
        patch_describe(a, &b);
        app_say(a, "%s · {patch} copies %s · {align} aligns in another way", b.failed ? "" : b.data,
                on ? noun : "what is under the cursor");
        bytes_free(&b);
    }
    return true;
}

int32_t app_token(struct app *a, const char *text, size_t len)
{
    int32_t id = -1;
    bool spaced;
    struct err e = {0};
    char shown[64];
    if (token_word(a->m, text, len, &id, &spaced, &e) < 0)
        app_complain(a, "%s", e.text);
    else if (spaced) {
        size_t quote = *text == '"';
        text_copy(shown, sizeof shown, text + quote, len - 2 * quote, TEXT_PLAIN);
        app_say(a, "\"%s\" is no token: taken as \" %s\"", shown, shown);
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

static void reopen(struct app *a, enum line_mode mode, const char *text)
{
    char why[sizeof a->message];
    memcpy(why, a->message, sizeof why);
    app_line_open(a, mode, text);
    app_complain(a, "%s", why);
}

char *app_quoted(const char *args)
{
    char *text = *args == '"' ? saved_unquote(&args) : NULL;
    if (text && !*args)
        return text;
    free(text);
    return NULL;
}

void app_line_again(struct app *a)
{
    if (a->typed && a->mode == LINE_NONE)
        reopen(a, LINE_COMMAND, a->typed);
}

/* What was typed as the command that does the same. */
static void keep_as(struct app *a, const char *command, const char *args)
{
    struct bytes b = {0};
    bytes_addf(&b, "%s %s", command, args);
    if (!b.failed)
        command_log_add(&a->log, b.data);
    bytes_free(&b);
}

static void keep(struct app *a, const char *command, const char *text)
{
    struct bytes b = {0};
    saved_quote(&b, text);
    if (!b.failed)
        keep_as(a, command, b.data);
    bytes_free(&b);
}

static unsigned run_line(struct app *a, enum line_mode mode, const char *text)
{
    if (mode == LINE_COMMAND && *text) {
        free(a->typed);
        a->typed = strdup(text);
        return app_command(a, text + strspn(text, " "));
    }
    if (mode == LINE_SEARCH && view_filter(a))
        set_search(a, text); /* an empty one lists all again */
    else if (mode == LINE_SEARCH)
        return app_command(a, "next");
    else if (mode == LINE_OTHER && app_set_other(a, text))
        keep(a, "other", text);
    else if (mode == LINE_ANSWER)
        lesson_answer(a, text);
    else if (mode == LINE_PROMPT && app_set_prompt(a, text))
        keep(a, "prompt", text);
    else if (mode == LINE_PAIR) {
        unsigned react = act_PAIR(a, *text ? text : "auto");
        if (!a->message_bad)
            keep_as(a, "pair", *text ? text : "auto");
        return react;
    }
    return 0;
}

unsigned app_line_accept(struct app *a)
{
    enum line_mode mode = a->mode;
    char *text = strdup(line_text(&a->line));
    if (!text)
        return 0;
    char *chosen = mode == LINE_HELP ? help_chosen(a) : NULL;
    a->mode = LINE_NONE;
    a->message[0] = 0;
    a->message_bad = false;
    complete_reset(a);
    unsigned react = 0;
    if (mode == LINE_HELP) {
        if (chosen)
            react = help_run(a, chosen);
    } else {
        line_history_add(&a->history[mode], text);
        if (a->opt.state_folder && !a->guest)
            state_history_add(a->opt.state_folder, (int)mode, text);
        react = run_line(a, mode, text);
        if (a->message_bad && a->mode == LINE_NONE && mode != LINE_SEARCH)
            reopen(a, mode, text);
    }
    free(chosen);
    free(text);
    return react;
}
