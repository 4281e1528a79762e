/* share_send.c - what watchers get: screens drawn for their kinds of terminals, queues, slow ones
 * (see share.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "share/share_parts.h"

/* ---- screens ---- */

/* A terminal as far as its screen is another one.  All have the teacher's layout, so that a cell
 * that one points at is the same to all: pixels only where the teacher has some, and where the
 * teacher has some, screens without are drawn with them and then flattened.  (Without colours
 * characters of another kind say more than flattened pictures.)  How many colours there are is for
 * each watcher to find the nearest. */
static struct share_look look_of(const struct share *s, const struct frame_caps *c)
{
    const struct frame_caps *t = &s->teacher_caps;
    struct share_look k = {.caps = *c};
    bool pixels = (c->graphics == GRAPHICS_SIXEL || c->graphics == GRAPHICS_KITTY) && c->cell_w > 0;
    if (c->depth > COLOR_DEPTH_16)
        k.caps.depth = COLOR_DEPTH_TRUE;
    k.flat = s->teacher_pixels && !pixels && c->depth != COLOR_DEPTH_NONE;
    k.caps.graphics = s->teacher_pixels && (pixels || k.flat) ? GRAPHICS_SIXEL : GRAPHICS_BLOCKS;
    if (k.caps.graphics == GRAPHICS_BLOCKS)
        k.caps.cell_w = k.caps.cell_h = 0;
    else if (k.flat)
        k.caps.cell_w = t->cell_w, k.caps.cell_h = t->cell_h;
    return k;
}

static bool same_look(const struct share_look *a, const struct share_look *b)
{
    return a->flat == b->flat && a->caps.graphics == b->caps.graphics &&
           a->caps.depth == b->caps.depth && a->caps.cell_w == b->caps.cell_w &&
           a->caps.cell_h == b->caps.cell_h && a->caps.ascii == b->caps.ascii;
}

static bool is_wanted(const struct share *s, const struct share_kind *k)
{
    for (int i = 0; i < s->n; i++) {
        struct share_look l = look_of(s, &s->watcher[i].caps);
        if (s->watcher[i].hello && same_look(&l, &k->look))
            return true;
    }
    return false;
}

/* The screen of this look, an empty one if nobody has it yet; NULL: there are too many. */
static struct share_kind *find_kind(struct share *s, const struct share_look *l)
{
    struct share_kind *unused = NULL;
    int pixels = 0;
    for (int i = 0; i < SHARE_KINDS_MAX; i++) {
        struct share_kind *k = &s->kind[i];
        bool wanted = k->used && is_wanted(s, k);
        if (k->used && same_look(&k->look, l))
            return k;
        unused = wanted ? unused : k;
        pixels += wanted && k->look.caps.cell_w > 0 && !k->look.flat;
    }
    if (!unused || (l->caps.cell_w > 0 && !l->flat && pixels >= SHARE_PIXEL_KINDS_MAX))
        return NULL;
    frame_free(&unused->frame);
    *unused = (struct share_kind){.look = *l, .frame = {.caps = l->caps}, .used = true};
    return unused;
}

/* With pixels as long as there are few sizes of cells among the watchers; flattened for the others.
 */
static struct share_kind *kind_for(struct share *s, const struct watcher *w)
{
    struct frame_caps none = w->caps;
    none.graphics = GRAPHICS_BLOCKS;
    struct share_look l = look_of(s, &w->caps), without = look_of(s, &none);
    struct share_kind *k = find_kind(s, &l);
    return k ? k : find_kind(s, &without);
}

/* ---- pictures as half blocks ---- */

static bool is_covered(const struct frame *f, int x, int y)
{
    for (int i = 0; i < f->n_popups; i++)
        if (rect_has(f->popup[i], x, y))
            return true;
    return false;
}

/* The colour of pixel (x, y) of a picture; the terminal's own outside of it. */
static uint32_t color_at(const struct picture *p, int x, int y)
{
    if (x >= p->w || y >= p->h)
        return COLOR_DEFAULT;
    int row = ((y + 1) * p->image.h - 1) / p->h, column = ((x + 1) * p->image.w - 1) / p->w;
    return p->image.palette[p->image.pixel[row * p->image.w + column]];
}

static void flatten_one(struct frame *f, const struct picture *p)
{
    int w = f->caps.cell_w, h = f->caps.cell_h;
    for (int y = 0; y < p->r.h; y++)
        for (int x = 0; x < p->r.w; x++) {
            struct rect cell = {p->r.x + x, p->r.y + y, 1, 1};
            if (is_covered(f, cell.x, cell.y))
                continue;
            uint32_t top = color_at(p, x * w + w / 2, y * h + h / 4),
                     bottom = color_at(p, x * w + w / 2, y * h + 3 * h / 4);
            if (top == bottom || f->caps.ascii)
                canvas_fill(f->canvas, cell, canvas_style(COLOR_DEFAULT, top, 0), " ");
            else if (top == COLOR_DEFAULT)
                canvas_fill(f->canvas, cell, canvas_style(bottom, top, 0), "▄");
            else
                canvas_fill(f->canvas, cell, canvas_style(top, bottom, 0), "▀");
        }
}

static void flatten(struct frame *f)
{
    for (int i = 0; i < f->n_pictures; i++) {
        flatten_one(f, &f->picture[i]);
        image_free(&f->picture[i].image);
    }
    f->n_pictures = 0;
}

/* Drawing is a pure function of state, size and kind: it works on a copy, so that nothing of the
 * teacher's screen moves by it. */
static bool draw_kind(struct share_kind *k, const struct app *a)
{
    struct app *copy = malloc(sizeof *copy);
    if (!copy)
        return false;
    *copy = *a;
    bool ok = app_draw(copy, &k->frame);
    if (ok && k->look.flat)
        flatten(&k->frame);
    free(copy);
    return ok;
}

static void add_screen(struct share *s, const struct app *a, struct watcher *w)
{
    struct share_kind *k = kind_for(s, w);
    if (!k)
        return;
    if (k->drawn != s->generation) {
        if (!draw_kind(k, a))
            return;
        k->drawn = s->generation;
        wire_hash(&k->frame, k->hash);
    }
    wire_frame_add(&w->out, &k->frame, k->hash, &w->sent);
    w->seen = s->generation;
}

void share_kinds_free(struct share *s)
{
    for (int i = 0; i < SHARE_KINDS_MAX; i++)
        frame_free(&s->kind[i].frame);
}

/* ---- queues ---- */

static void add_people(const struct share *s, struct watcher *w)
{
    struct person p[WIRE_PEOPLE_MAX];
    int n = share_people(s, p);
    for (int i = 0, at = 1; i < s->n; i++)
        if (s->watcher[i].hello)
            p[at++].you = &s->watcher[i] == w;
    p[0].you = false;
    wire_people_add(&w->out, p, n);
    w->people_due = false;
}

/* False: the line is dead, or memory is out. */
static bool pump(struct watcher *w, int64_t now)
{
    if (w->out.failed)
        return false;
    while (w->out_at < w->out.len) {
        ssize_t did = send(w->fd, w->out.data + w->out_at, w->out.len - w->out_at,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        if (did < 0 && errno != EINTR)
            return errno == EAGAIN && now - w->moved_ms < SHARE_SLOW_MS;
        if (did > 0) {
            w->out_at += (size_t)did;
            w->moved_ms = now;
        }
    }
    bytes_clear(&w->out);
    w->out_at = 0;
    w->moved_ms = now;
    return true;
}

void share_send(struct share *s, struct app *a, int64_t now)
{
    bool due = now - s->sent_ms >= SHARE_FRAME_MS;
    for (int i = s->n - 1; i >= 0; i--) {
        struct watcher *w = &s->watcher[i];
        bool silent = !w->hello && now - w->came_ms >= SHARE_HELLO_MS;
        if (silent) {
            share_drop(s, w);
            continue;
        }
        if (w->hello && !w->out.len) {
            if (w->people_due)
                add_people(s, w);
            if (due && w->seen != s->generation) {
                add_screen(s, a, w);
                s->sent_ms = now;
            }
        }
        if (!pump(w, now))
            share_drop(s, w);
    }
}

void share_changed(struct share *s, const struct frame_caps *teacher)
{
    s->teacher_caps = *teacher;
    s->teacher_pixels = (teacher->graphics == GRAPHICS_SIXEL ||
                         teacher->graphics == GRAPHICS_KITTY) &&
                        teacher->cell_w > 0;
    s->generation++;
}

int share_wait_ms(const struct share *s, int64_t now)
{
    int64_t least = -1;
    for (int i = 0; i < s->n; i++) {
        const struct watcher *w = &s->watcher[i];
        int64_t at = -1;
        if (!w->hello)
            at = w->came_ms + SHARE_HELLO_MS;
        else if (w->out.len)
            at = w->moved_ms + SHARE_SLOW_MS;
        else if (w->people_due)
            at = now;
        else if (w->seen != s->generation)
            at = s->sent_ms + SHARE_FRAME_MS;
        if (at >= 0 && (least < 0 || at < least))
            least = at;
    }
    return least < 0 ? -1 : least > now ? (int)(least - now) : 0;
}
