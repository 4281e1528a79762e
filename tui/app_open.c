/* app_open.c - the explorer's state: opening and closing (see app.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "edit/reference.h"
#include "save/image_file.h"
#include "lesson/lesson_play.h"
#include "share/share.h"
#include "run/run.h"
#include "sweeps.h"
#include "tensor.h"

static int sites_open(struct app *a, struct err *e)
{
    size_t max = ((size_t)a->m->cfg.n_layers + 1) * SITE_COUNT;
    a->sites = calloc(max, sizeof *a->sites);
    if (!a->sites)
        return err_set(e, ERR_SYSTEM, "out of memory");
    a->n_sites = site_list(&a->m->cfg, a->sites);
    a->observed = calloc((size_t)a->n_sites + 1, sizeof *a->observed);
    a->listed = malloc(((size_t)a->n_sites + 1) * sizeof *a->listed);
    if (!a->observed || !a->listed)
        return err_set(e, ERR_SYSTEM, "out of memory");
    for (a->n_listed = 0; a->n_listed < a->n_sites; a->n_listed++) /* no filter */
        a->listed[a->n_listed] = a->n_listed;
    return 0;
}

int32_t *app_image_ids(const struct image_input *im)
{
    int32_t *ids = malloc((size_t)im->rows * sizeof *ids);
    return ids ? memcpy(ids, im->ids, (size_t)im->rows * sizeof *ids) : NULL;
}

/* As a prompt of ids is typed: "1,2,3". */
static char *ids_text(const int32_t *ids, int32_t n)
{
    struct bytes b = {0};
    for (int32_t i = 0; i < n; i++)
        bytes_addf(&b, "%s%d", i ? "," : "", (int)ids[i]);
    if (b.failed)
        bytes_free(&b);
    return b.data;
}

static bool is_by_ids(const struct app *a)
{
    int32_t *ids = NULL, n = 0;
    struct err ignored;
    bool same = model_tokens(a->m, a->prompt, strlen(a->prompt), a->opt.bos, &ids, &n, &ignored) ==
                    0 &&
                n == a->n && memcmp(ids, a->tokens, (size_t)n * sizeof *ids) == 0;
    free(ids);
    return !same;
}

static int prompt_open(struct app *a, const struct app_options *o, struct err *e)
{
    if (o->image) {
        a->image = image_hold(o->image);
        a->n = o->image->rows;
        a->tokens = app_image_ids(o->image);
        a->prompt = a->tokens ? strdup(o->prompt ? o->prompt : "") : NULL;
    } else if (a->m->cfg.patch_size) {
        return err_set(e, ERR_USAGE, "explore · %s takes an image, no text · --image FILE",
                       a->m->name);
    } else if (!o->tokens) {
        a->prompt = o->prompt ? strdup(o->prompt) : NULL;
        int r = o->prompt
                    ? model_tokens(a->m, o->prompt, strlen(o->prompt), o->bos, &a->tokens, &a->n, e)
                    : model_sample(a->m, o->bos, &a->prompt, &a->tokens, &a->n, e);
        if (r < 0)
            return r;
    } else {
        size_t len = 0;
        a->tokens = malloc((size_t)o->n * sizeof *a->tokens);
        if (!a->tokens)
            return err_set(e, ERR_SYSTEM, "out of memory");
        memcpy(a->tokens, o->tokens, (size_t)o->n * sizeof *a->tokens);
        a->n = o->n;
        a->prompt = model_takes_ids(a->m) ? ids_text(o->tokens, o->n)
                                          : tokenizer_decode(a->m->tok, o->tokens, (size_t)o->n,
                                                             TOKENIZER_SKIP_SPECIAL, &len, e);
    }
    if (!a->prompt)
        return err_set(e, ERR_SYSTEM, "out of memory");
    a->by_ids = o->tokens && is_by_ids(a);
    return model_check_tokens(a->m, a->tokens, a->n, NULL, e);
}

static int reference_open(struct app *a, const char *arg, struct err *e)
{
    struct reference_set *set = NULL;
    int r = reference_load(&set, a->m, a->opt.bos, arg, e);
    return r ? r : app_set_reference(a, set, NULL, e);
}

static int other_image_open(struct app *a, const char *path, struct err *e)
{
    struct image_input *im = NULL;
    int r = image_file_open(a->m, path, &im, e);
    if (r == 0 && !app_set_image(a, im, path, true))
        r = err_set(e, ERR_SYSTEM, "%s", a->message);
    image_drop(im);
    return r;
}

int app_open(struct app *a, const struct app_options *o, struct err *e)
{
    *a = (struct app){
        .opt = *o, .m = o->model, .target = -1, .w = 80, .h = 24, .present = {.rows = 24}};
    snprintf(a->device, sizeof a->device, "%s",
             a->m->where[0] ? a->m->where
             : a->m->be     ? a->m->be->describe
                            : "");
    a->quantity = a->m->cfg.headless ? QUANTITY_NORM : QUANTITY_LENS;
    a->pair[0] = o->pair[0];
    a->pair[1] = o->pair[1];
    a->pair_wanted = o->pair[0] < 0 || o->pair[1] < 0;
    a->pair_given[0] = a->pair_wanted ? -1 : o->pair[0];
    a->pair_given[1] = a->pair_wanted ? -1 : o->pair[1];
    a->complete.at = -1;
    a->align = o->image ? TOKEN_ALIGN_INDEX
                        : TOKEN_ALIGN_TOKEN; /* a patch is the same place in both */
    int r = edit_list_init(&a->edits, e);
    if (r == 0 && !(a->tensor_kept = calloc(1, sizeof *a->tensor_kept)))
        r = err_memory(e, "the explorer");
    if (r == 0)
        r = sites_open(a, e);
    if (r == 0)
        r = prompt_open(a, o, e);
    if (r == 0)
        app_pair_look(a);
    for (int i = 0; r == 0 && i < o->n_refs; i++)
        r = reference_open(a, o->refs[i], e);
    for (int i = 0; r == 0 && i < o->n_edits; i++)
        r = edit_list_add(&a->edits, o->edits[i], e);
    if (r == 0 && o->other && a->image)
        r = other_image_open(a, o->other, e);
    else if (r == 0 && o->other && !app_set_other(a, o->other))
        r = err_set(e, ERR_BAD_INPUT, "%s", a->message);
    if (r < 0) {
        app_free(a);
        return r;
    }
    a->cur = (struct place){.view = VIEW_GRID,
                            .row = model_answer_row(a->m, a->tokens, a->n),
                            .column = a->m->cfg.n_layers,
                            .site = run_lens_site(a->m, a->m->cfg.n_layers)};
    a->show = a->edits.n ? SHOW_EDITED : SHOW_BASE;
    app_edits_changed(a);
    char note[160];
    if (o->against) {
        a->comparing = a->comparing_models = true;
        a->show = SHOW_DIFFERENCE;
    }
    if (o->present)
        present_set(a, true, o->locked);
    if (o->lesson)
        lesson_begin(a, o->lesson);
    else if (model_skipped_note(a->m, note, sizeof note) ||
             model_vocabulary_note(a->m, note, sizeof note))
        app_say(a, "%s", note);
    else if (!o->prompt && !o->tokens)
        app_say(
            a,
            "a prompt to begin with · {prompt} types your own · arrows move, {zero} zeroes what is "
            "under the cursor, {help} helps");
    a->notice = o->notice && *o->notice ? strdup(o->notice) : NULL;
    return 0;
}

static void completion_free(struct completion *c)
{
    for (int i = 0; i < c->n; i++)
        free(c->item[i]);
    free(c->stem);
    *c = (struct completion){.at = -1};
}

void app_free(struct app *a)
{
    snapshot_release(a->snap);
    snapshot_release(a->old);
    lesson_end(a);
    share_close(a->share);
    want_list_free(&a->wants);
    edit_list_free(&a->edits);
    if (a->task)
        a->task->free(a->task);
    if (a->spent)
        a->spent->free(a->spent);
    free(a->reach);
    completion_free(&a->complete);
    for (int i = 0; i < LINE_MODE_COUNT; i++)
        line_history_free(&a->history[i]);
    line_free(&a->line);
    bytes_free(&a->copied);
    for (int i = 0; i < a->n_sets; i++)
        reference_free(a->sets[i]);
    free(a->sets);
    free(a->sites);
    free(a->observed);
    free(a->copying);
    free(a->listed);
    tensor_free(a);
    free(a->same);
    free(a->prompt);
    free(a->other);
    free(a->tokens);
    free(a->other_tokens);
    free(a->partner);
    free(a->typed);
    free(a->notice);
    free(a->session);
    saved_free(&a->states);
    command_log_free(&a->log);
    beside_free(&a->beside);
    effects_free(&a->effects);
    generation_free(&a->generation_of);
    image_drop(a->image), image_drop(a->other_image);
    free(a->last_verb);
    free(a->line_before);
    sweeps_end(a);
    *a = (struct app){0};
}
