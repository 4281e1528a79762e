/* patch.c - commands about the other prompt: setting it, pairing, copying from it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "list/patch.h"

void patch_realign(struct app *a)
{
    free(a->partner);
    a->partner = NULL;
    if (!a->other_tokens || !a->n)
        return;
    a->partner = malloc((size_t)a->n * sizeof *a->partner);
    struct err e = {0};
    if (a->partner &&
        token_align(a->tokens, a->n, a->other_tokens, a->n_other, a->align, a->partner, &e) < 0)
        app_complain(a, "the prompts are paired in part · %s", e.text);
}

void patch_describe(const struct app *a, struct bytes *out)
{
    int32_t pairs = 0;
    for (int32_t i = 0; a->partner && i < a->n; i++)
        pairs += a->partner[i] >= 0;
    bytes_addf(out, "%d of %d positions pair with its %d by %s", (int)pairs, (int)a->n,
               (int)a->n_other, token_align_names[a->align]);
}

enum token_align patch_align(const struct app *a)
{
    return a->other_tokens && a->n_other != a->n ? a->align : TOKEN_ALIGN_INDEX;
}

static int32_t partner_of(const struct app *a, int32_t row)
{
    return a->partner && row < a->n ? a->partner[row] : -1;
}

static void add_quoted(const struct app *a, int32_t row, int32_t id, struct bytes *out)
{
    size_t len;
    const char *text = model_input_text(a->m, id, &len);
    bytes_addf(out, "%d \"", (int)row);
    text_add(out, text, len, TEXT_TOKEN);
    bytes_add_string(out, "\"");
}

/* "14 " to" from 16 " to"" */
static void add_pair(const struct app *a, int32_t row, struct bytes *out)
{
    int32_t p = partner_of(a, row);
    add_quoted(a, row, a->tokens[row], out);
    bytes_add_string(out, p < 0 ? " has no partner" : " from ");
    if (p >= 0)
        add_quoted(a, p, a->other_tokens[p], out);
}

/* Tokens of the other prompt around the partner of the cursor's row; those that nothing pairs with
 * stand in parentheses. */
static void draw_tokens(const struct app *a, struct canvas *c, struct rect r, int32_t at)
{
    int32_t first = at, n = 0;
    int room = r.w * 2 / 3, x = 1;
    while (first > 0) {
        size_t len;
        const char *text = model_input_text(a->m, a->other_tokens[first - 1], &len);
        if ((room -= text_width(text, len, TEXT_TOKEN) + 2) < 0)
            break;
        first--;
    }
    if (first)
        x += canvas_put(c, r, x, 0, canvas_plain(CANVAS_DIM), "…");
    bool *paired = calloc((size_t)a->n_other + 1, sizeof *paired);
    for (int32_t i = 0; paired && a->partner && i < a->n; i++)
        if (a->partner[i] >= 0)
            paired[a->partner[i]] = true;
    for (int32_t i = first; paired && i < a->n_other && x < r.w; i++, n++) {
        bool on = i == partner_of(a, a->cur.row);
        size_t len;
        const char *text = model_input_text(a->m, a->other_tokens[i], &len);
        struct canvas_style st = canvas_plain(on ? CANVAS_REVERSE : paired[i] ? 0 : CANVAS_DIM);
        x += canvas_put(c, r, x, 0, st, on ? "[" : paired[i] ? " " : "(");
        x += canvas_put_text(c, r, x, 0, st, text, len, TEXT_TOKEN);
        x += canvas_put(c, r, x, 0, st, on ? "]" : paired[i] ? "" : ")");
    }
    free(paired);
}

void patch_draw(const struct app *a, struct canvas *c, struct rect r)
{
    struct bytes b = {0};
    bytes_addf(&b, "other prompt, %d tokens, by %s: ", (int)a->n_other,
               token_align_names[a->align]);
    add_pair(a, a->cur.row, &b);
    canvas_fill(c, r, canvas_plain(0), " ");
    int x = 1;
    if (!b.failed)
        x += canvas_put_text(c, r, x, 0, canvas_plain(CANVAS_DIM), b.data, b.len, TEXT_PLAIN);
    bytes_free(&b);
    rect_cut_left(&r, x + 1 < r.w ? x + 1 : r.w);
    int32_t at = partner_of(a, a->cur.row);
    for (int32_t row = a->cur.row; at < 0 && row-- > 0;) /* the nearest before it */
        at = partner_of(a, row);
    if (r.w > 8)
        draw_tokens(a, c, r, at < 0 ? 0 : at);
}

unsigned act_OTHER(struct app *a, const char *args)
{
    char *quoted = app_quoted(args);
    if (*args)
        app_set_other(a, quoted ? quoted : args);
    else
        app_line_open(a, LINE_OTHER, a->other ? a->other : a->prompt ? a->prompt : "");
    free(quoted);
    return 0;
}

unsigned act_COMPARE(struct app *a, const char *args)
{
    bool models = strcmp(args, "models") == 0, prompts = strcmp(args, "prompts") == 0,
         on = *args ? models || prompts || strcmp(args, "on") == 0 : !a->comparing;
    if (*args && !on && strcmp(args, "off") != 0) {
        app_complain(a, "compare %s", action_table[ACTION_COMPARE].usage);
        return 0;
    }
    if (models && !a->opt.against) {
        app_complain(a, "no other model is open · borescope MODEL --against OTHER");
        return 0;
    }
    a->comparing = on;
    a->comparing_models = models || (!prompts && a->opt.against && !a->other_tokens);
    a->show = on ? SHOW_DIFFERENCE : edit_list_count_in_force(&a->edits) ? SHOW_EDITED : SHOW_BASE;
    app_values_changed(a);
    if (on && a->comparing_models) {
        app_say(a, "A is %s, B %s, without edits · {face} shows A, B or B−A", a->m->name,
                a->opt.against->name);
    } else if (on && !a->other_tokens) {
        app_line_open(a, LINE_OTHER, a->prompt ? a->prompt : "");
        app_say(a, "compare with another prompt: type it, {accept}");
    } else if (on) {
        struct bytes b = {0};
        patch_describe(a, &b);
        app_say(a, "A is the prompt, B the other, without edits: %s · {face} shows A, B or B−A",
                b.failed ? "" : b.data);
        bytes_free(&b);
    } else {
        app_say(a, "one prompt again");
        a->comparing_models = false;
    }
    return 0;
}

unsigned act_ALIGN(struct app *a, const char *args)
{
    int how = *args ? -1 : ((int)a->align + TOKEN_ALIGN_COUNT - 1) % TOKEN_ALIGN_COUNT;
    for (int i = 0; i < TOKEN_ALIGN_COUNT; i++)
        if (strcmp(args, token_align_names[i]) == 0)
            how = i;
    if (how < 0) {
        app_complain(a, "align %s", action_table[ACTION_ALIGN].usage);
        return 0;
    }
    a->align = (enum token_align)how;
    patch_realign(a);
    if (a->other_tokens) /* edits that read it read elsewhere, and so do views that compare */
        app_values_changed(a);
    struct bytes b = {0};
    patch_describe(a, &b);
    if (a->partner)
        app_say(a, "%s", b.failed ? "" : b.data);
    else
        app_say(a, "there is no other prompt yet · {patch} asks for one");
    bytes_free(&b);
    return 0;
}

/* " = from(other)" where both prompts have the position under one index whatever is written, else
 * with the place in the other prompt. */
static void verb_of(const struct app *a, int32_t row, char buf[64])
{
    int32_t p = partner_of(a, row);
    if (p == row && a->n_other == a->n)
        snprintf(buf, 64, PATCH_VERB ")");
    else
        snprintf(buf, 64, PATCH_VERB ", pos=%d)", (int)(p == a->n_other - 1 ? -1 : p));
}

/* One edit for each row of the rectangle that has a partner. */
static unsigned patch_rows(struct app *a, struct corners k)
{
    struct noun noun;
    struct err e = {0};
    int n = 0, rows = (int)(k.row[1] - k.row[0] + 1), from = a->edits.n, rc = 0;
    int32_t c0 = k.column[0] > 0 ? k.column[0] - 1 : 0, c1 = k.column[1] > 0 ? k.column[1] - 1 : 0;
    char **text = calloc((size_t)rows, sizeof *text);
    if (!app_view(a)->noun || !app_view(a)->noun(a, &noun))
        rows = 0;
    for (int32_t r = k.row[0]; text && r < k.row[0] + rows; r++) {
        struct bytes b = {0};
        char verb[64], layers[LAYERS_TEXT];
        if (partner_of(a, r) < 0)
            continue;
        verb_of(a, r, verb);
        bytes_addf(&b, "blocks.%s.%s[%d]%s", draw_layer_range(c0, c1, layers),
                   site_table[noun.site.id].name, (int)draw_row_index(a, r), verb);
        text[n++] = b.data;
    }
    if (text && n)
        rc = edit_list_add_all(&a->edits, text, n, &e);
    if (!n)
        app_complain(a, "none of these positions has a partner · :align end, :align index");
    else if (!text || rc < 0)
        app_complain(a, "%s", text ? e.text : "out of memory");
    else {
        app_edits_try(a, from, a->edits.n);
        a->selecting = false;
        app_say(a, "%d edits, by %s%s", n, token_align_names[a->align],
                n < rows ? " · positions without a partner are left out" : "");
    }
    for (int i = 0; text && i < n; i++)
        free(text[i]);
    free(text);
    return 0;
}

static unsigned ask_other(struct app *a)
{
    char noun[256];
    bool on = app_noun_text(a, false, noun);
    app_line_open(a, LINE_OTHER, a->prompt ? a->prompt : "");
    app_say(a, "copy from another prompt: type it, {accept} · the next {patch} copies %s",
            on ? noun : "what is under the cursor");
    return 0;
}

unsigned act_PATCH(struct app *a, const char *args)
{
    (void)args;
    if (!a->other_tokens)
        return ask_other(a);
    struct corners k = app_corners(a);
    if (a->selecting) {
        bool straight = a->n == a->n_other;
        for (int32_t r = k.row[0]; r <= k.row[1]; r++)
            straight = straight && partner_of(a, r) == r;
        return straight ? app_apply(a, PATCH_VERB ")", false) : patch_rows(a, k);
    }
    struct bytes b = {0};
    char verb[64];
    add_pair(a, a->cur.row, &b);
    bool edge = a->cur.view == VIEW_ATTENTION && a->cur.map;
    if (partner_of(a, a->cur.row) < 0) {
        app_complain(a, "%s · :align end or :align index pairs in another way",
                     b.failed ? "no partner" : b.data);
    } else if (edge && partner_of(a, a->cur.src) != a->cur.src) {
        app_complain(a, "the source of this edge is elsewhere in the other prompt, and sources are "
                        "read by index · patch the head: Backspace, P");
    } else {
        verb_of(a, a->cur.row, verb);
        int before = a->edits.n;
        app_apply(a, verb, false);
        if (a->edits.n > before && !b.failed)
            app_say(a, "edit %d: %s · by %s", a->edits.n, b.data, token_align_names[a->align]);
    }
    bytes_free(&b);
    return 0;
}
