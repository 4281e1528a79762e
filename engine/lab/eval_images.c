/* eval_images.c - see eval_images.h. */
#include "lab/eval_images.h"

#include <string.h>

#include "lab/eval_parts.h"
#include "model/image_input.h"

struct job {
    struct eval_flow flow;
    const struct eval_work *w;
    const struct images_source *s;
    struct labelled_image at;
};

/* The next image of the set: 1, 0 at the end, or negative. */
static int image_next(struct job *j, bool wanted, struct err *e)
{
    image_drop(j->at.image);
    j->at.image = NULL;
    int rc = j->s->next(j->s->from, wanted, &j->at, e);
    if (rc > 0) {
        fingerprint_add(&j->flow.seen, j->at.name, strlen(j->at.name));
        fingerprint_add(&j->flow.seen, &j->at.label, sizeof j->at.label);
        fingerprint_add(&j->flow.seen, &j->at.content, sizeof j->at.content);
        j->flow.number++;
    }
    return rc;
}

static int piece_next(void *from, struct text_piece *out, struct err *e)
{
    struct job *j = from;
    bool wanted;
    int rc;
    do {
        if (j->s->limit && j->flow.number >= j->s->skip + j->s->limit)
            return 0;
        wanted = j->flow.number >= j->flow.first &&
                 ranks_mine(j->w->ranks, eval_flow_unit(&j->flow, j->flow.number));
        if ((rc = image_next(j, wanted, e)) <= 0)
            return rc;
    } while (!wanted);
    *out = (struct text_piece){.tokens = j->at.image->ids,
                               .n = j->at.image->rows,
                               .image = j->at.image,
                               .next = j->at.label,
                               .unit = eval_flow_unit(&j->flow, j->flow.number - 1),
                               .text = j->flow.number - 1,
                               .length = j->at.image->rows};
    return 1;
}

static int piece_done(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    struct job *j = user;
    struct run *base = pair_run(pair, FACE_BASE), *edited = pair_run(pair, FACE_EDITED);
    struct lens_next x = {0}, y;
    double kl = 0, *sum = eval_flow_text(&j->flow, p->text);
    int rc = sum ? lens_tokens(base, 0, 1, &p->next, &x, e) : err_memory(e, "an image");
    y = x;
    if (!rc && j->flow.v->edited)
        rc = lens_tokens(edited, 0, 1, &p->next, &y, e);
    if (!rc && j->flow.v->edited)
        rc = lens_kl(base, edited, 0, &kl, e);
    if (!rc)
        eval_token_add(&j->flow, sum, p->next, 0, &x, &y, kl);
    return rc;
}

static double share_of(const void *job)
{
    const struct job *j = job;
    return j->s->share(j->s->from);
}

/* To where an earlier run was, by the same images. */
static int seek(struct job *j, const struct texts_place *to, struct err *e)
{
    int rc = 1;
    while (j->flow.number < to->text && (rc = image_next(j, false, e)) > 0)
        ;
    if (!eval_flow_resume(&j->flow, to, j->s->skip) && rc >= 0)
        rc = err_set(e, ERR_BAD_INPUT,
                     "these are not the images that were read before · go on with the same set, or "
                     "begin anew");
    return rc < 0 ? rc : 0;
}

int eval_images_run(struct eval *v, const struct images_source *s, const struct eval_work *w,
                    struct err *e)
{
    struct job j = {
        .flow = {.v = v, .w = w, .share = share_of, .units = eval_flow_units}, .w = w, .s = s};
    const struct batch_source source = {piece_next, eval_flow_place, &j};
    int rc = lens_check(w->m, e);
    if (!rc && !w->m->cfg.patch_size)
        rc = err_set(e, ERR_BAD_INPUT, "images · %s takes text", w->m->name);
    v->edited = w->target->n_edits > 0, v->top = w->top, v->images = true;
    if (!rc)
        rc = seek(&j, &v->place, e);
    if (!rc)
        rc = eval_flow_run(&j.flow, &source, piece_done, e);
    image_drop(j.at.image);
    if (!rc && !v->texts && !ranks_rank(w->ranks))
        rc = err_set(e, ERR_BAD_INPUT,
                     "eval · no image · the set, or what --skip leaves of it, is "
                     "empty");
    return rc;
}
