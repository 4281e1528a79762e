/* image.c - `:image`: another image, and the one to patch from. */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "save/image_file.h"
#include "list/patch.h"

/* The worker reads the file. */
struct image_task {
    struct task task;
    const struct model *m;
    struct image_input *image;
    bool other;
    char path[];
};

static int read_image(struct session_task *t, struct err *e)
{
    struct image_task *i = (struct image_task *)t;
    return image_file_open(i->m, i->path, &i->image, e);
}

bool app_set_image(struct app *a, const struct image_input *im, const char *path, bool other)
{
    int32_t *ids = app_image_ids(im);
    char *copy = strdup(path);
    if (!ids || !copy) {
        free(ids), free(copy);
        app_complain(a, "out of memory");
        return false;
    }
    free(other ? a->other : a->prompt), free(other ? a->other_tokens : a->tokens);
    image_drop(other ? a->other_image : a->image);
    *(other ? &a->other : &a->prompt) = copy;
    *(other ? &a->other_tokens : &a->tokens) = ids;
    *(other ? &a->other_image : &a->image) = image_hold(im);
    *(other ? &a->n_other : &a->n) = im->rows;
    a->pair_wanted |= !other && a->pair_given[0] < 0;
    patch_realign(a);
    app_values_changed(a);
    return true;
}

static void take_image(struct app *a, struct task *t)
{
    struct image_task *i = (struct image_task *)t;
    char path[200];
    if (t->work.err.code < 0) {
        app_complain(a, "%s", t->work.err.text);
        return;
    }
    text_copy(path, sizeof path, i->path, strlen(i->path), TEXT_PLAIN);
    if (app_set_image(a, i->image, i->path, i->other))
        app_say(a, "%s: %s", i->other ? "other" : "image", path);
}

static void free_image(struct task *t)
{
    image_drop(((struct image_task *)t)->image);
    free(t);
}

void app_begin_image(struct app *a, const char *path, bool other)
{
    size_t size = strlen(path) + 1;
    struct image_task *i = calloc(1, sizeof *i + size);
    if (!i) {
        app_complain(a, "out of memory");
        return;
    }
    i->task = (struct task){.work.run = read_image, .finish = take_image, .free = free_image};
    i->m = a->m, i->other = other;
    memcpy(i->path, path, size);
    app_begin(a, &i->task);
}

unsigned act_IMAGE(struct app *a, const char *args)
{
    if (!a->image)
        app_complain(a, "%s takes text, no image · prompt TEXT", a->m->name);
    else if (!*args)
        app_say(
            a,
            "%d x %d pixels in patches of %d · image FILE reads another, other FILE one to patch from",
            (int)a->m->cfg.image_size, (int)a->m->cfg.image_size, (int)a->m->cfg.patch_size);
    else
        app_begin_image(a, args, false);
    return 0;
}
