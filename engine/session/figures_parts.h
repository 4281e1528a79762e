/* figures_parts.h - what figures.c (what stays true), figures_work.c (computing) and figures_show.c
 * (copying out) share; nobody else includes it. */
#ifndef FIGURES_PARTS_H
#define FIGURES_PARTS_H

#include "session/figures.h"
#include "session/snapshot.h"

enum { NORM_PRE, NORM_MID, NORM_POST, NORM_ATTN, NORM_MLP, NORM_COUNT };

/* A site's values at one time. */
struct picture {
    struct site_ref site;
    int32_t row0, row1, n;
    struct blob *blob; /* NULL = not there */
};

/* Figures of one face.  Per-row arrays have the stride figures.cap. */
struct face_figures {
    struct lens_cell *cells; /* [columns][cap] */
    struct lens_top *top;
    bool *cell_done;
    float *norm[NORM_COUNT]; /* [layers][cap] */
    bool *norm_done;         /* [layers][cap]: all of them */
    float *losses;           /* [cap], of rows [0, losses_done) */
    int32_t losses_done;
    struct lens_stats *stats; /* [figures_site], n < 0 = not there */
    struct picture pattern, scores, tensor;
    struct lens_head *heads; /* [n_heads] of pattern */
    struct lens_cell detail;
    struct lens_top detail_top[LENS_TOP_MAX];
    float detail_cross[LENS_TOP_MAX]; /* this face's logits of the other face's best tokens */
    float detail_norm[3];             /* the residual, attention's and MLP's part of it */
    int32_t detail_column, detail_row, detail_k; /* k < 0: not there */
    double pair_logits[2];
    int32_t pair[2];
    bool pair_done;
};

struct figures {
    const struct model *m;
    int32_t cap, n, target;
    bool edited;
    double kl;
    bool kl_done;
    struct face_figures face[FACE_COUNT];
};

extern const enum site_id figures_norm_sites[NORM_COUNT];
size_t figures_site(struct site_ref s); /* index of a site in `stats` */
int32_t figures_column_stage(const struct figures *f, int32_t column);
bool figures_norm_exists(const struct figures *f, int i);

#endif
