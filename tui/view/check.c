/* check.c - the identities that hold in every sound model, tested on the base run of this prompt:
 * what `borescope check` tests. */
#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "keybar.h"
#include "say.h"

enum { LIST_Y = 1, NAME_X = 29, PLACE_WIDTH = 30, PLACE_MIN = 110 };

static struct want check_want_of(const struct app *a, int i)
{
    struct want w = app_nonfinite_want(a); /* of the same site: what everything reaches */
    w.kind = WANT_CHECK;
    w.k = i;
    return w;
}

/* NULL: not known yet. */
static const struct check_finding *finding(const struct app *a, int i, bool *stale)
{
    const struct snapshot *s = app_newest(a, stale);
    const struct want w = check_want_of(a, i);
    return s ? snapshot_at(s, FACE_BASE, &w, 0) : NULL;
}

static void check_layout(struct app *a, struct rect body)
{
    a->cur.check = draw_clamp(a->cur.check, CHECK_COUNT);
    a->page = body.h > LIST_Y + 3 ? body.h - LIST_Y - 2 : 1;
    a->check_top = draw_scroll(a->check_top, a->cur.check, CHECK_COUNT, a->page);
    a->rows_y = body.y + LIST_Y;
}

static void check_want(const struct app *a, struct want_list *l)
{
    for (int i = 0; i < CHECK_COUNT; i++)
        want_add(l, check_want_of(a, i));
}

static const char *verdict(const struct check_finding *f)
{
    static const char *const words[] = {
        [CHECK_ABSENT] = "none", [CHECK_HOLDS] = "yes", [CHECK_FAILS] = "NO"};
    return f ? words[f->result] : "…";
}

/* Where it is worst: a hook, or a block. */
static void place_of(const struct check_finding *f, char to[LIMIT_NAME])
{
    *to = 0;
    if (f->first.id != SITE_COUNT)
        site_name(f->first, to);
    else if (f->layer >= 0)
        snprintf(to, LIMIT_NAME, "block %d", (int)f->layer);
}

static void limit_text(int i, char to[NUMBER_BYTES])
{
    if (check_table[i].limit > 0)
        snprintf(to, NUMBER_BYTES, "%.0e", check_table[i].limit);
    else
        snprintf(to, NUMBER_BYTES, "exact");
}

/* One identity in words. */
static void add_identity(const struct app *a, struct bytes *b, int i)
{
    bool stale;
    const struct check_finding *f = finding(a, i, &stale);
    char place[LIMIT_NAME], limit[NUMBER_BYTES];
    limit_text(i, limit);
    static const char *const words[] = {
        [CHECK_ABSENT] = "does not apply", [CHECK_HOLDS] = "holds", [CHECK_FAILS] = "FAILS"};
    bytes_addf(b, "%s: %s", f ? words[f->result] : "not tested yet", check_table[i].name);
    if (!f || f->result == CHECK_ABSENT)
        return;
    place_of(f, place);
    bytes_addf(b, ", deviation %.2g, limit %s", f->deviation, limit);
    if (*place)
        bytes_addf(b, ", worst at %s", place);
}

/* The column of places: behind the longest name, the edge where there is no room for it. */
static int place_x(struct rect r)
{
    return r.w < PLACE_MIN ? r.w : r.w - PLACE_WIDTH;
}

static void draw_identity(const struct app *a, struct canvas *c, struct rect r, int y, int i)
{
    bool stale, on = i == a->cur.check;
    const struct check_finding *f = finding(a, i, &stale);
    bool wrong = f && f->result == CHECK_FAILS, there = wrong || (f && f->result == CHECK_HOLDS);
    unsigned attr = (on ? CANVAS_BOLD : 0) | (f && (stale || !there) ? CANVAS_DIM : 0);
    struct canvas_style st = canvas_plain(attr);
    char text[LIMIT_NAME];
    canvas_put(c, r, 1, y, st, on ? "▶" : " ");
    canvas_putf(c, r, 3, y, canvas_plain(attr | (wrong ? CANVAS_REVERSE | CANVAS_BOLD : 0)), "%s",
                verdict(f));
    if (there)
        canvas_putf(c, r, 9, y, st, "%9.2g", f->deviation);
    limit_text(i, text);
    canvas_putf(c, r, 20, y, st, "%7s", text);
    canvas_put_field(c, r, NAME_X, y, st, check_table[i].name, strlen(check_table[i].name),
                     TEXT_PLAIN, place_x(r) - NAME_X - 1, false);
    if (there && place_x(r) < r.w) {
        place_of(f, text);
        canvas_put_field(c, r, place_x(r), y, st, text, strlen(text), TEXT_PLAIN, PLACE_WIDTH,
                         false);
    }
}

static void check_draw(struct app *a, struct frame *f, struct rect body)
{
    struct canvas *c = f->canvas;
    struct bytes here = {0};
    canvas_put(c, body, 3, 0, canvas_plain(CANVAS_DIM), "holds deviation   limit   identity");
    canvas_put(c, body, place_x(body), 0, canvas_plain(CANVAS_DIM), "worst at");
    for (int y = 0; y < a->page && a->check_top + y < CHECK_COUNT; y++)
        draw_identity(a, c, body, y + LIST_Y, a->check_top + y);
    add_identity(a, &here, a->cur.check);
    if (here.data && !here.failed)
        canvas_put(c, body, 3, body.h - 2, canvas_plain(0), here.data);
    bytes_free(&here);
    static const char *const about[] = {
        "deviation: the largest difference, of the largest value", "of the base run, without edits",
        "none: the model has no such thing", "{enter} goes where it is worst"};
    keybar_items(a, c, body, 3, body.h - 1, about, sizeof about / sizeof *about);
}

/* "17 hold, 1 fails, 2 to come" */
static void check_title(const struct app *a, struct bytes *out)
{
    int holds = 0, fails = 0, waits = 0;
    bool stale = false;
    for (int i = 0; i < CHECK_COUNT; i++) {
        const struct check_finding *f = finding(a, i, &stale);
        waits += !f || stale;
        holds += f && !stale && f->result == CHECK_HOLDS;
        fails += f && !stale && f->result == CHECK_FAILS;
    }
    bytes_addf(out, "identities: %d hold, %d fail%s", holds, fails, fails == 1 ? "s" : "");
    if (waits)
        bytes_addf(out, ", %d to come", waits);
}

static void check_move(struct app *a, enum move m, int count)
{
    draw_move_cursor(m, count, &a->cur.check, CHECK_COUNT, a->page, NULL, 0);
}

/* To the values of the hook that is named, or to the first hook of the block. */
static bool check_enter(struct app *a)
{
    bool stale;
    const struct check_finding *f = finding(a, a->cur.check, &stale);
    if (!f || (f->first.id == SITE_COUNT && f->layer < 0))
        return false;
    app_jump_push(a);
    if (f->first.id != SITE_COUNT) {
        a->cur.site = f->first;
        a->cur.view = VIEW_TENSOR;
        return true;
    }
    for (a->cur.hook = 0; a->sites[a->cur.hook].layer != f->layer;)
        a->cur.hook++;
    a->filter[0] = 0;
    a->cur.view = VIEW_HOOKS;
    return true;
}

static bool check_click(struct app *a, int x, int y)
{
    (void)x;
    int i = a->check_top + y - a->rows_y;
    if (y < a->rows_y || y >= a->rows_y + a->page || i >= CHECK_COUNT)
        return false;
    a->cur.check = i;
    return true;
}

static void check_say(const struct app *a, struct bytes *b)
{
    for (int i = 0; i < CHECK_COUNT; i++) {
        add_identity(a, b, i);
        say_line(b);
    }
}

static void check_copy(const struct app *a, struct bytes *out)
{
    add_identity(a, out, a->cur.check);
}

const struct view view_check = {
    .help = "identities that hold in every sound model, tested on the base run of this prompt; "
            "{enter} goes where one is worst",
    .layout = check_layout,
    .want = check_want,
    .draw = check_draw,
    .title = check_title,
    .move = check_move,
    .enter = check_enter,
    .click = check_click,
    .say = check_say,
    .copy = check_copy};
