/* export_place.h - where nnsight finds a hook point: a module, its side, and how the tensor lies
 * there (see export_nnsight.c). */
#ifndef EXPORT_PLACE_H
#define EXPORT_PLACE_H

#include "export/export_parts.h"

struct point {
    char name[LIMIT_NAME];   /* key of its values */
    char module[LIMIT_NAME]; /* "model.transformer.h[0].attn" */
    bool output;
    int element;          /* of a tuple, -1: not a tuple */
    char view[80];        /* Python: the module's tensor in the site's shape, "None" as it is */
    int stage, site, row; /* order */
};

struct points {
    struct point *item;
    int n;
    struct alias_pick *nnsight, *hf; /* all names; the same rows in both */
    int n_names;
    struct site_ref *sites; /* in firing order */
    int n_sites;
    bool attention; /* the attention function is replaced */
};

/* The places of all changes of hooks, which are added to x, and of all captures, in the order in
 * which the model gets there: nnsight waits for one after the other.  Refuses what has no place. To
 * be freed also on failure. */
int export_places(struct exporter *x, struct points *p);
void export_places_free(struct points *p);
/* "model.x.y.output[0]" -> module, side, element; false for other texts. */
bool export_path_split(const char *path, struct point *out);

#endif
