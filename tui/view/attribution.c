/* attribution.c - what each part adds to the pair's logits itself, the final norm held fixed:
 * by layer, head, neuron and position. */
#include <math.h>
#include <stdio.h>

#include "detail.h"
#include "say.h"

enum { PARTS = 4, PANEL = 30, SAID = 5 };
static const struct {
    enum attribute_part part;
    const char *title;
} parts[PARTS] = {{ATTRIBUTE_BY_LAYER, "by layer"},
                  {ATTRIBUTE_BY_HEAD, "by head"},
                  {ATTRIBUTE_BY_NEURON, "by neuron"},
                  {ATTRIBUTE_BY_POS, "by position"}};

/* ---- what there is ---- */

/* Why there is nothing to take apart, or of this part; NULL: there is. */
static const char *lack(const struct app *a, int part)
{
    const struct config *cfg = &a->m->cfg;
    if (cfg->headless)
        return config_lack(cfg, PROPERTY_HEAD);
    if (!site_exists(cfg, SITE_LNF_SCALE))
        return "the stream is normalized after every branch: it is no sum of what layers give";
    if (parts[part].part == ATTRIBUTE_BY_NEURON && !site_exists(cfg, SITE_POST))
        return "its MLPs are mixtures";
    return NULL;
}

static struct want part_want(const struct app *a, int part)
{
    struct want w = want_whole(WANT_DIRECT, (struct site_ref){SITE_LNF_SCALE, SITE_ROOT});
    w.k = (int32_t)parts[part].part;
    w.id[0] = a->pair[0], w.id[1] = a->pair[1];
    return w;
}

static int32_t part_count(const struct app *a, int part)
{
    const struct want w = part_want(a, part);
    return lack(a, part) ? 0 : want_shares(&a->m->cfg, &w, a->n);
}

/* A part of the newest answer; false: not yet. */
struct direct {
    const struct want_direct *base, *edited; /* edited NULL: no edit is on */
    enum show show;
    bool stale;
};

static bool direct_open(const struct app *a, int part, struct direct *d)
{
    struct want w = part_want(a, part);
    const struct snapshot *s = app_newest(a, &d->stale);
    if (!s || !(d->base = snapshot_at(s, FACE_BASE, &w, 0))) {
        s = a->old;
        d->stale = true;
        d->base = s ? snapshot_at(s, FACE_BASE, &w, 0) : NULL;
    }
    d->edited = d->base ? snapshot_at(s, FACE_EDITED, &w, 0) : NULL;
    d->show = d->base ? app_show(a, s) : SHOW_BASE;
    return d->base && (d->show == SHOW_BASE || d->edited);
}

static double face_of(const struct direct *d, double base, double edited)
{
    return d->show == SHOW_BASE ? base : d->show == SHOW_EDITED ? edited : edited - base;
}

static double share_of(const struct direct *d, int32_t i)
{
    return face_of(d, (double)d->base->share[i].value,
                   d->edited ? (double)d->edited->share[i].value : 0);
}

/* What entry i stands for: a site, its index at the position that answers and at all, a name. */
struct entry {
    struct noun noun;
    int32_t layer, row, element;
    char name[40];
};

static bool entry_open(const struct app *a, int part, int32_t i, struct entry *x)
{
    const struct config *cfg = &a->m->cfg;
    struct direct d;
    if (!direct_open(a, part, &d) || i >= d.base->n)
        return false;
    int32_t index = d.base->share[i].index, row = model_answer_row(a->m, a->tokens, a->n),
            heads = cfg->n_heads, embeds = attribute_embeds(cfg), at = draw_row_index(a, row);
    *x = (struct entry){.row = row, .layer = SITE_ROOT};
    char *here = x->noun.here, *all = x->noun.all;
    snprintf(here, sizeof x->noun.here, "[%d]", (int)at);
    switch (parts[part].part) {
    case ATTRIBUTE_BY_LAYER:
        x->layer = index < embeds ? SITE_ROOT : (index - embeds) / 2;
        x->noun.site = (struct site_ref){
            index >= embeds ? (index - embeds) % 2 ? site_mlp_added(cfg) : site_attn_added(cfg)
            : index ? SITE_POS_EMBED
                            : site_stream(cfg, SITE_ROOT),
            x->layer};
        if (x->layer < 0)
            snprintf(x->name, sizeof x->name, index ? "pos_embed" : "embed");
        else
            snprintf(x->name, sizeof x->name, "L%d %s", (int)x->layer,
                     (index - embeds) % 2 ? "mlp" : "attn");
        break;
    case ATTRIBUTE_BY_HEAD:
        x->layer = index / heads, x->element = index % heads;
        x->noun.site = (struct site_ref){SITE_Z, x->layer};
        snprintf(here, sizeof x->noun.here, "[%d, %d]", (int)at, (int)x->element);
        snprintf(all, sizeof x->noun.all, "[:, %d]", (int)x->element);
        snprintf(x->name, sizeof x->name, "L%dH%d", (int)x->layer, (int)x->element);
        break;
    case ATTRIBUTE_BY_NEURON:
        x->layer = index / cfg->d_mlp, x->element = index % cfg->d_mlp;
        x->noun.site = (struct site_ref){SITE_POST, x->layer};
        snprintf(here, sizeof x->noun.here, "[%d, %d]", (int)at, (int)x->element);
        snprintf(all, sizeof x->noun.all, "[:, %d]", (int)x->element);
        snprintf(x->name, sizeof x->name, "L%dN%d", (int)x->layer, (int)x->element);
        break;
    default:
        x->row = index;
        x->noun.site = run_lens_site(a->m, 0);
        snprintf(here, sizeof x->noun.here, "[%d]", (int)draw_row_index(a, index));
        snprintf(x->name, sizeof x->name, "%3d", (int)index);
    }
    return true;
}

/* ---- layout ---- */

/* Panels that fit, the cursor's among them. */
static int panels(const struct app *a, struct rect body, int *first)
{
    int room = body.w / PANEL < 1 ? 1 : body.w / PANEL > PARTS ? PARTS : body.w / PANEL;
    *first = a->cur.part >= room ? a->cur.part - room + 1 : 0;
    return room;
}

static void attribution_layout(struct app *a, struct rect body)
{
    a->page = body.h > 5 ? body.h - 4 : 1;
    a->rows_y = body.y + 1;
    a->cur.part = draw_clamp(a->cur.part, PARTS);
    for (int p = 0; p < PARTS; p++) {
        int32_t n = part_count(a, p);
        a->cur.share[p] = draw_clamp(a->cur.share[p], n > 0 ? n : 1);
        a->share_top[p] = draw_scroll(a->share_top[p], a->cur.share[p], n, a->page);
    }
}

static void attribution_want(const struct app *a, struct want_list *l)
{
    if (a->pair[0] < 0)
        return;
    for (int p = 0; p < PARTS; p++)
        if (!lack(a, p))
            want_add(l, part_want(a, p));
}

/* ---- drawing ---- */

static double largest(const struct direct *d)
{
    double most = 0;
    for (int32_t i = 0; i < d->base->n; i++)
        most = fmax(most, fabs(share_of(d, i)));
    return most;
}

static bool is_edited(const struct app *a, const struct entry *x, int part)
{
    bool indexed = parts[part].part == ATTRIBUTE_BY_HEAD || parts[part].part == ATTRIBUTE_BY_NEURON;
    return draw_is_edited(a, x->noun.site, indexed ? 1 : -1, x->element);
}

static void draw_entry(const struct app *a, struct frame *f, struct rect r, int y, int part,
                       int32_t i, const struct direct *d, double most)
{
    struct canvas *c = f->canvas;
    struct entry x;
    double v = share_of(d, i);
    if (!entry_open(a, part, i, &x))
        return;
    bool on = part == a->cur.part && i == a->cur.share[part],
         position = parts[part].part == ATTRIBUTE_BY_POS;
    struct canvas_style st = canvas_plain((on ? CANVAS_BOLD : 0) | (d->stale ? CANVAS_DIM : 0));
    int at = canvas_putf(c, r, 0, y, st, "%s %s%s ", on ? "▶" : " ", x.name,
                         !position && is_edited(a, &x, part) ? "*" : "");
    if (position)
        draw_input(a, c, r, at < 7 ? 7 : at, y, st, x.row, 10);
    if (d->show == SHOW_DIFFERENCE && v == 0)
        return;
    struct rect cell = {r.x + r.w - 11, r.y + y, 10, 1};
    struct canvas_style value = draw_value_style(f, COLORMAP_DIVERGING,
                                                 most > 0 ? 0.5 + v / most / 2 : 0.5);
    value.attr |= st.attr;
    canvas_fill(c, cell, value, " ");
    draw_number(c, cell, 0, 0, value, v, 9, 3, NUMBER_SIGN);
}

static void draw_panel(const struct app *a, struct frame *f, struct rect r, int part)
{
    struct canvas *c = f->canvas;
    struct direct d;
    const char *none = lack(a, part);
    canvas_put(c, r, 2, 0, canvas_plain(part == a->cur.part ? CANVAS_BOLD : CANVAS_DIM),
               parts[part].title);
    if (none || !direct_open(a, part, &d)) {
        canvas_put(c, r, 2, 1, canvas_plain(CANVAS_DIM), none ? none : "…");
        return;
    }
    double most = largest(&d);
    for (int i = 0; i < a->page && i + a->share_top[part] < d.base->n; i++)
        draw_entry(a, f, r, i + 1, part, i + a->share_top[part], &d, most);
    const struct want_direct *b = d.base, *e = d.edited ? d.edited : d.base;
    double sum = face_of(&d, b->sum, e->sum), rest = face_of(&d, b->metric, e->metric) - sum,
           bias = face_of(&d, b->constant, e->constant);
    bool biased = fabs(rest - bias) < 5e-4 && bias != 0; /* the final norm's and b_U */
    struct canvas_style st = canvas_plain(d.stale ? CANVAS_DIM : 0);
    int y = r.h - 2, x = canvas_put(c, r, 2, y, st, "sum ") + 2;
    x += draw_number(c, r, x, y, st, sum, 8, 2, NUMBER_SIGN | NUMBER_LEFT);
    x += canvas_put(c, r, x, y, st, biased ? "  biases " : "  rest ");
    draw_number(c, r, x, y, st, fabs(rest) < 5e-4 ? 0 : rest, 8, 2, NUMBER_SIGN | NUMBER_LEFT);
}

/* What the cursor stands on, and how its number comes about. */
static void draw_about(const struct app *a, struct canvas *c, struct rect body)
{
    static const char *const formulas[PARTS] = {
        "its output · u", "z · W_O · u", "activation · W_out · u",
        "pattern · v · W_O · u, and at the answer all that is no head's"};
    struct entry x;
    char name[LIMIT_NAME];
    int y = body.h - 1;
    if (lack(a, a->cur.part) || !entry_open(a, a->cur.part, a->cur.share[a->cur.part], &x))
        return;
    int at = 2 + canvas_putf(c, body, 2, y, canvas_plain(CANVAS_BOLD), "%s%s",
                             site_name(x.noun.site, name), x.noun.here);
    canvas_putf(c, body, at + 2, y, canvas_plain(CANVAS_DIM), "%s   u: W_U behind ln_final",
                formulas[a->cur.part]);
}

static void attribution_draw(struct app *a, struct frame *f, struct rect body)
{
    int first, n = panels(a, body, &first);
    const char *none = lack(a, ATTRIBUTE_BY_LAYER);
    if (none) {
        canvas_putf(f->canvas, body, 2, 1, canvas_plain(0), "no direct effects · %s", none);
        return;
    }
    for (int i = 0; i < n; i++) {
        struct rect r = {body.x + i * (body.w / n), body.y, body.w / n, body.h};
        draw_panel(a, f, r, first + i);
    }
    draw_about(a, f->canvas, body);
}

static void add_metric(const struct app *a, struct bytes *out)
{
    struct direct d;
    char value[NUMBER_BYTES];
    bytes_addf(out, "%s(", a->pair[1] >= 0 ? draw_delta(a) : "logit");
    draw_add_token(a, a->pair[0], out);
    if (a->pair[1] >= 0) {
        bytes_add_string(out, " − ");
        draw_add_token(a, a->pair[1], out);
    }
    bytes_add_string(out, ")");
    if (!lack(a, 0) && direct_open(a, 0, &d))
        bytes_addf(out, " %s",
                   number_fit(value, face_of(&d, d.base->metric, d.edited ? d.edited->metric : 0),
                              9, 2, NUMBER_SIGN | NUMBER_LEFT));
}

static void attribution_title(const struct app *a, struct bytes *out)
{
    bytes_add_string(out, "direct ");
    if (a->pair[0] < 0)
        bytes_add_string(out, "the pair");
    else
        add_metric(a, out);
}

/* ---- doing ---- */

static void attribution_move(struct app *a, enum move m, int count)
{
    int32_t part = a->cur.part, n = part_count(a, a->cur.part);
    draw_move_cursor(m, count, &a->cur.share[a->cur.part], n > 0 ? n : 1, a->page, &part, PARTS);
    a->cur.part = (int)part;
}

static bool attribution_noun(const struct app *a, struct noun *n)
{
    struct entry x;
    if (lack(a, a->cur.part) || !entry_open(a, a->cur.part, a->cur.share[a->cur.part], &x))
        return false;
    *n = x.noun;
    return true;
}

/* A head's attention, a position's row of the grid, else the values of the site. */
static bool attribution_enter(struct app *a)
{
    struct entry x;
    if (lack(a, a->cur.part) || !entry_open(a, a->cur.part, a->cur.share[a->cur.part], &x))
        return false;
    app_jump_push(a);
    a->cur.row = x.row;
    if (x.layer >= 0)
        a->cur.column = x.layer + 1;
    switch (parts[a->cur.part].part) {
    case ATTRIBUTE_BY_HEAD:
        a->cur.head = x.element;
        a->cur.view = VIEW_ATTENTION;
        return true;
    case ATTRIBUTE_BY_POS: a->cur.view = VIEW_GRID; return true;
    default:
        a->cur.site = x.noun.site;
        a->cur.element = x.element;
        a->cur.view = VIEW_TENSOR;
        return true;
    }
}

static bool attribution_click(struct app *a, int x, int y)
{
    int first, n = panels(a, a->body, &first), part = first + (x - a->body.x) / (a->body.w / n);
    if (part >= PARTS || lack(a, part))
        return false;
    int32_t i = a->share_top[part] + y - a->rows_y;
    a->cur.part = part;
    if (y >= a->rows_y && y < a->rows_y + a->page && i < part_count(a, part))
        a->cur.share[part] = i;
    return true;
}

/* The largest of a part, its sum and what is left. */
static void say_part(const struct app *a, struct bytes *b, int part)
{
    struct direct d;
    struct entry x;
    if (lack(a, part) || !direct_open(a, part, &d))
        return;
    bool ranked = parts[part].part == ATTRIBUTE_BY_HEAD || parts[part].part == ATTRIBUTE_BY_NEURON;
    bytes_addf(b, "%s:", parts[part].title);
    for (int32_t i = 0, said = 0; i < d.base->n && (!ranked || said < SAID); i++) {
        double v = share_of(&d, i);
        if (!entry_open(a, part, i, &x) || (!ranked && fabs(v) < largest(&d) / 50))
            continue;
        bytes_addf(b, "%s %s ", said++ ? "," : "", x.name);
        say_number(b, v, 2, NUMBER_SIGN);
    }
    bytes_add_string(b, "; sum ");
    say_number(b, face_of(&d, d.base->sum, d.edited ? d.edited->sum : 0), 2, NUMBER_SIGN);
    say_line(b);
}

static void attribution_say(const struct app *a, struct bytes *b)
{
    attribution_title(a, b);
    say_line(b);
    for (int p = 0; p < PARTS; p++)
        say_part(a, b, p);
}

const struct view view_attribution = {
    .help =
        "what each layer, head, neuron and position adds to the pair's logits itself; {move left} "
        "and {move right} choose, {enter} goes there, {zero} zeroes it",
    .layout = attribution_layout,
    .want = attribution_want,
    .draw = attribution_draw,
    .title = attribution_title,
    .move = attribution_move,
    .noun = attribution_noun,
    .enter = attribution_enter,
    .click = attribution_click,
    .say = attribution_say};
