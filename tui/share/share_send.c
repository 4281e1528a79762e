/* share_send.c - what watchers get: screens drawn for their kinds of terminals, queues, slow ones
 * (see share.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "share/share_parts.h"

/* ---- screens ---- */

/* How many colours there are matters only to who shows them: each watcher finds the nearest. */
static struct frame_caps kind_of(const struct frame_caps *c)
{
    struct frame_caps k = *c;
    if (k.depth > COLOR_DEPTH_16)
        k.depth = COLOR_DEPTH_TRUE;
    bool pixels = (k.graphics == GRAPHICS_SIXEL || k.graphics == GRAPHICS_KITTY) && k.cell_w > 0;
    if (!pixels)
        k = (struct frame_caps){GRAPHICS_BLOCKS, k.depth, 0, 0, k.ascii};
    else
        k.graphics = GRAPHICS_SIXEL; /* the same pixels */
    return k;
}

static bool same_kind(const struct frame_caps *a, const struct frame_caps *b)
{
    return a->graphics == b->graphics && a->depth == b->depth && a->cell_w == b->cell_w &&
           a->cell_h == b->cell_h && a->ascii == b->ascii;
}

static bool is_wanted(const struct share *s, const struct share_kind *k)
{
    for (int i = 0; i < s->n; i++) {
        struct frame_caps c = kind_of(&s->watcher[i].caps);
        if (s->watcher[i].hello && same_kind(&c, &k->frame.caps))
            return true;
    }
    return false;
}

/* The screen of this kind, an empty one if nobody has it yet; NULL: there are too many. */
static struct share_kind *find_kind(struct share *s, const struct frame_caps *c)
{
    struct share_kind *unused = NULL;
    int pixels = 0;
    for (int i = 0; i < SHARE_KINDS_MAX; i++) {
        struct share_kind *k = &s->kind[i];
        bool wanted = k->used && is_wanted(s, k);
        if (k->used && same_kind(&k->frame.caps, c))
            return k;
        unused = wanted ? unused : k;
        pixels += wanted && k->frame.caps.cell_w > 0;
    }
    if (!unused || (c->cell_w > 0 && pixels >= SHARE_PIXEL_KINDS_MAX))
        return NULL;
    frame_free(&unused->frame);
    *unused = (struct share_kind){.frame = {.caps = *c}, .used = true};
    return unused;
}

/* With pixels as long as there are few sizes of cells among the watchers; blocks for the others. */
static struct share_kind *kind_for(struct share *s, const struct watcher *w)
{
    struct frame_caps c = kind_of(&w->caps), blocks = {GRAPHICS_BLOCKS, c.depth, 0, 0, c.ascii};
    struct share_kind *k = find_kind(s, &c);
    return k ? k : find_kind(s, &blocks);
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

void share_changed(struct share *s)
{
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
