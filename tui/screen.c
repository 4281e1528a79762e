/* screen.c - the frame around the views: side panel, message, key bar, popups (app.h). */
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "input/complete.h"
#include "draw.h"
#include "help.h"
#include "keybar.h"
#include "lesson/lesson_play.h"
#include "list/patch.h"
#include "status.h"

static bool is_small(const struct app *a)
{
    return a->w < SMALL_COLUMNS || a->h < SMALL_ROWS;
}

struct rect app_body(const struct app *a, bool *side)
{
    struct rect r = {0, 0, a->w, a->h};
    *side = false;
    if (is_small(a)) {
        rect_cut_bottom(&r, 1);
        rect_cut_bottom(&r, lesson_rows(a, a->w, r.h));
        return r;
    }
    rect_cut_top(&r, 2);
    rect_cut_bottom(&r, (a->keybar_off ? 1 : 2) + (a->other_tokens != NULL));
    rect_cut_bottom(&r, lesson_rows(a, a->w, r.h));
    rect_cut_bottom(&r, pins_rows(a, r.h));
    *side = app_view(a)->side && a->w >= SIDE_MIN_COLUMNS && !a->side_off;
    if (*side)
        r.w -= draw_side_width(a->w);
    return r;
}

/* ---- message ---- */

static const char *const line_marks[LINE_MODE_COUNT] = {
    "", ":", "/", "prompt: ", "other prompt: ", "pair: ", "keys: ", "answer: "};

/* The message beside the line that is typed; above it, in several lines, where there is no room. */
static void draw_beside(const struct app *a, struct frame *f, struct rect r, int x)
{
    struct canvas_style st = canvas_plain(a->message_bad ? CANVAS_BOLD : CANVAS_DIM);
    size_t n = strlen(a->message);
    if (!n || x + text_width(a->message, n, TEXT_PLAIN) <= r.w || r.y < 3) {
        canvas_put(f->canvas, r, x, 0, st, a->message);
        return;
    }
    int rows = 0;
    for (const char *s = a->message; *s && rows < r.y - 1; rows++)
        s += draw_wrap(s, r.w - 2), s += *s == ' ';
    struct rect above = {r.x, r.y - rows, r.w, rows};
    if (f->n_popups < FRAME_POPUPS_MAX)
        f->popup[f->n_popups++] = above;
    canvas_fill(f->canvas, above, canvas_plain(0), " ");
    const char *s = a->message;
    for (int y = 0; y < rows; y++) {
        size_t len = draw_wrap(s, r.w - 2);
        canvas_put_text(f->canvas, above, 1, y, st, s, len, TEXT_OWN);
        s += len + (s[len] == ' ');
    }
}

static void draw_message(struct app *a, struct frame *f, struct rect r)
{
    if (a->mode != LINE_NONE) {
        int x = canvas_put(f->canvas, r, 0, 0, canvas_plain(CANVAS_BOLD), line_marks[a->mode]);
        int caret = line_draw(&a->line, f->canvas, r, x, 0);
        f->caret_x = r.x + caret;
        f->caret_y = r.y;
        int used = x + text_width(line_text(&a->line), a->line.text.len, TEXT_PLAIN) + 3;
        draw_beside(a, f, r, used);
        return;
    }
    canvas_put(f->canvas, r, 1, 0, canvas_plain(a->message_bad ? CANVAS_BOLD : 0), a->message);
    if (a->count)
        canvas_putf(f->canvas, r, r.w - 8, 0, canvas_plain(0), "%7d", a->count);
}

/* ---- popups ---- */

static void draw_which_key(const struct app *a, struct frame *f)
{
    const struct keymap *m = a->opt.keymap;
    unsigned where = 1u << a->cur.view;
    int n = 0;
    for (int pass = 0; pass < 2; pass++) {
        struct rect in = {0};
        if (pass)
            in = frame_popup(f, (struct rect){0, a->h - 4 - n, a->w < 60 ? a->w : 60, n + 2},
                             "may follow");
        int y = 0;
        for (size_t i = 0; i < m->n; i++) {
            const struct binding *b = &m->binding[i];
            if (b->n <= a->n_pending || !keymap_is_active(m, i, where) ||
                memcmp(b->key, a->pending, (size_t)a->n_pending * sizeof b->key[0]) != 0)
                continue;
            char keys[KEYMAP_SEQ_MAX * KEYS_NAME_MAX];
            keymap_sequence(b->key + a->n_pending, b->n - a->n_pending, keys, sizeof keys);
            if (pass) {
                canvas_put(f->canvas, in, 1, y, canvas_plain(CANVAS_BOLD), keys);
                canvas_putf(f->canvas, in, 12, y, canvas_plain(0), "%s", b->command);
            }
            y++;
        }
        n = y;
    }
}

static void draw_completion(struct app *a, struct frame *f, int bottom)
{
    struct completion *c = &a->complete;
    struct bytes help = {0};
    complete_help(a, &help);
    int rows = c->n < COMPLETE_ROWS ? c->n : COMPLETE_ROWS;
    c->rows = (struct rect){0};
    if ((rows > 1 || (rows == 1 && c->at < 0)) && a->h > 14) {
        int width = 12;
        for (int i = 0; i < c->n; i++) {
            int w = text_width(c->item[i], strlen(c->item[i]), TEXT_PLAIN) + 4;
            width = w > width ? w : width;
        }
        int x = (int)c->begin;
        width = width > a->w ? a->w : width;
        x = x + width > a->w ? a->w - width : x;
        struct rect in = frame_popup(
            f, (struct rect){x, bottom - rows - 2 - (help.len > 0), width, rows + 2}, NULL);
        for (int i = 0; i < rows; i++)
            canvas_put_field(
                f->canvas, in, 1, i, canvas_plain(c->top + i == c->at ? CANVAS_REVERSE : 0),
                c->item[c->top + i], strlen(c->item[c->top + i]), TEXT_PLAIN, in.w - 2, true);
        c->rows = in;
    }
    if (help.len && !help.failed) {
        struct rect r = {0, bottom - 1, a->w, 1};
        if (f->n_popups < FRAME_POPUPS_MAX)
            f->popup[f->n_popups++] = r;
        canvas_fill(f->canvas, r, canvas_plain(0), " ");
        canvas_put_text(f->canvas, r, 1, 0, canvas_plain(CANVAS_DIM), help.data, help.len,
                        TEXT_OWN);
    }
    bytes_free(&help);
}

/* Lines that are there until the next key. */
static void draw_notice(const struct app *a, struct frame *f)
{
    int n = 0;
    for (const char *s = a->notice; *s; s += *s == '\n')
        s += strcspn(s, "\n"), n++;
    struct rect room = {0, 1, a->w, a->h - 3};
    int high = n + 2 < room.h ? n + 2 : room.h;
    struct rect in = frame_popup(f, rect_center(room, 110, high), "any key closes");
    int y = 0;
    for (const char *s = a->notice; *s && y < in.h; y++) {
        size_t len = strcspn(s, "\n");
        if (y + 1 == in.h && n > in.h)
            canvas_putf(f->canvas, in, 1, y, canvas_plain(CANVAS_DIM), "and %d more", n - y);
        else
            canvas_put_text(f->canvas, in, 1, y, canvas_plain(0), s, len, TEXT_OWN);
        s += len + (s[len] == '\n');
    }
}

/* ---- all of it ---- */

static bool draw_all(struct app *a, struct frame *f)
{
    if (!frame_begin(f, a->w, a->h))
        return false;
    bool side;
    a->pixels = frame_has_pixels(f);
    a->ascii = f->caps.ascii;
    a->no_color = f->caps.depth == COLOR_DEPTH_NONE;
    struct rect body = app_body(a, &side), message = {0, a->h - 1, a->w, 1};
    a->body = body;
    app_view(a)->layout(a, body);
    if (!is_small(a)) {
        status_draw(a, f->canvas);
        if (!a->keybar_off) {
            keybar_draw(a, f->canvas, message);
            message.y--;
        }
    }
    int bottom = message.y;
    if (a->other_tokens && !is_small(a))
        patch_draw(a, f->canvas, (struct rect){0, --bottom, a->w, 1});
    app_view(a)->draw(a, f, body);
    if (side) {
        struct rect r = {body.x + body.w, body.y, a->w - body.w, body.h};
        canvas_fill(f->canvas, (struct rect){r.x, r.y, 1, r.h}, canvas_plain(CANVAS_DIM), "│");
        rect_cut_left(&r, 2);
        app_view(a)->side(a, f, r);
    } else if (a->side_open && app_view(a)->side && !is_small(a)) {
        char named[KEYBAR_TEXT];
        struct rect in = frame_popup(f, rect_center(body, 56, body.h),
                                     keybar_text(a, "{enter} goes in · {back} closes", named));
        rect_cut_left(&in, 1);
        app_view(a)->side(a, f, in);
    }
    struct rect below = {0, body.y + body.h, a->w, bottom - body.y - body.h};
    if (!is_small(a))
        pins_draw(a, f->canvas,
                  rect_cut_top(&below, below.h - lesson_rows(a, a->w, below.h + body.h)));
    lesson_draw(a, f->canvas, below);
    if (a->mode == LINE_HELP)
        help_draw(a, f);
    else if (a->mode != LINE_NONE)
        draw_completion(a, f, message.y);
    if (a->which_key)
        draw_which_key(a, f);
    if (a->notice)
        draw_notice(a, f);
    draw_message(a, f, message);
    if (a->mode == LINE_NONE)
        present_draw(a, f->canvas, message);
    return true;
}

bool app_draw(struct app *a, struct frame *f)
{
    if (!a->present.apart)
        return draw_all(a, f);
    int cell_h = f->caps.cell_h;
    f->caps.cell_h = 2 * cell_h; /* a row of the views is two of the screen */
    bool ok = draw_all(a, f);
    f->caps.cell_h = cell_h;
    return ok && present_spread(f, a->present.rows);
}
