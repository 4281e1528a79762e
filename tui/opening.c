/* opening.c - see opening.h. */
#include "opening.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "draw.h"
#include "keybar.h"
#include "status.h"

/* ---- the work ---- */

void opening_init(struct opening *o, const char *name, struct keymap *keymap)
{
    *o = (struct opening){.name = name ? name : "", .fd = {-1, -1}};
    o->app.opt.keymap = keymap;
}

static void *work(void *of)
{
    struct opening *o = of;
    o->rc = o->work(o->of, &o->err);
    close(o->fd[1]); /* the other end becomes readable */
    o->fd[1] = -1;
    return NULL;
}

int opening_begin(struct opening *o, opening_work *todo, void *of, struct err *e)
{
    o->work = todo;
    o->of = of;
    if (pipe2(o->fd, O_CLOEXEC))
        return err_set(e, ERR_SYSTEM, "pipe · %s", strerror(errno));
    int code = pthread_create(&o->thread, NULL, work, o);
    if (!code)
        return 0;
    close(o->fd[1]);
    return err_set(e, ERR_SYSTEM, "a thread · %s", strerror(code));
}

int opening_fd(const struct opening *o)
{
    return o->fd[0];
}

int opening_end(struct opening *o, struct err *e)
{
    pthread_join(o->thread, NULL);
    if (o->rc)
        *e = o->err;
    return o->rc;
}

static void drop_kept(struct opening *o)
{
    for (size_t i = 0; i < o->n_kept; i++)
        free((void *)(uintptr_t)o->kept[i].text);
    free(o->kept);
    o->kept = NULL;
    o->n_kept = 0;
    o->n_pending = 0;
}

void opening_free(struct opening *o)
{
    drop_kept(o);
    if (o->fd[0] >= 0)
        close(o->fd[0]);
    o->fd[0] = -1;
}

/* ---- keys ---- */

/* Without memory it is lost, as a key that was never pressed. */
static void keep(struct opening *o, const struct input *in)
{
    struct input own = *in;
    char *text = in->kind == INPUT_PASTE ? malloc(in->len + 1) : NULL;
    own.text = text;
    if (text)
        memcpy(text, in->text, in->len);
    if (o->n_kept < OPENING_KEPT_MAX && (text || in->kind != INPUT_PASTE) &&
        list_room(&o->kept, o->n_kept, sizeof *o->kept))
        o->kept[o->n_kept++] = own;
    else
        free(text);
}

/* What these keys would run in the first view; NULL: nothing, or not yet. */
static const char *command_of(struct opening *o, uint32_t key)
{
    const struct binding *b = NULL;
    o->pending[o->n_pending++] = key;
    enum keymap_match match = keymap_find(o->app.opt.keymap, CTX_GRID, o->pending, o->n_pending,
                                          &b);
    if (match == KEYMAP_PREFIX && o->n_pending < KEYMAP_SEQ_MAX)
        return NULL;
    return match == KEYMAP_RUN ? b->command : "";
}

unsigned opening_input(struct opening *o, const struct input *in)
{
    if (in->kind == INPUT_PASTE)
        keep(o, in);
    if (in->kind != INPUT_KEY)
        return 0;
    const char *command = command_of(o, in->key);
    size_t before = (size_t)o->n_pending - 1; /* keys of the same command */
    bool first = o->n_kept == before;
    o->n_pending = command ? 0 : o->n_pending;
    enum action_id id = command ? action_find(command, NULL) : ACTION_COUNT;
    if (id == ACTION_QUIT && first) /* else it may be a letter of what is being typed */
        return REACT_QUIT;
    if (id == ACTION_CANCEL) {
        bool leave = o->n_kept == 0;
        drop_kept(o);
        return leave ? REACT_QUIT : 0;
    }
    if (id == ACTION_SUSPEND || id == ACTION_REDRAW)
        return id == ACTION_SUSPEND ? REACT_SUSPEND : REACT_REPAINT;
    keep(o, in);
    return 0;
}

/* ---- the frame ---- */

static void draw_message(const struct opening *o, struct canvas *c, struct rect r)
{
    char quit[KEYBAR_KEY], cancel[KEYBAR_KEY];
    keybar_key(&o->app, "quit", quit);
    keybar_key(&o->app, "cancel", cancel);
    if (o->n_kept)
        canvas_putf(c, r, 1, 0, canvas_plain(0), "opening · %zu key%s wait%s for it · %s drops %s",
                    o->n_kept, o->n_kept == 1 ? "" : "s", o->n_kept == 1 ? "s" : "", cancel,
                    o->n_kept == 1 ? "it" : "them");
    else
        canvas_putf(c, r, 1, 0, canvas_plain(0), "opening · keys wait for it · %s leaves", quit);
}

bool opening_draw(struct opening *o, struct frame *f)
{
    struct app *a = &o->app;
    if (!frame_begin(f, a->w, a->h))
        return false;
    bool side;
    struct rect body = app_body(a, &side), message = {0, a->h - 1, a->w, 1};
    a->ascii = f->caps.ascii;
    if (body.h < a->h - 1) { /* more than the grid and the message */
        status_draw_opening(a, o->name, f->canvas);
        keybar_draw(a, f->canvas, message);
        message.y--;
    }
    if (side)
        canvas_fill(f->canvas, (struct rect){body.w, body.y, 1, body.h}, canvas_plain(CANVAS_DIM),
                    "│");
    draw_message(o, f->canvas, message);
    return true;
}
