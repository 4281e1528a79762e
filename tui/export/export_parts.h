/* export_parts.h - what the files that implement export.h share. */
#ifndef EXPORT_PARTS_H
#define EXPORT_PARTS_H

#include "names/alias.h"
#include "model/arch.h"
#include "edit/edit.h"
#include "export/export.h"
#include "measure/metric.h"

/* A Python function that does what one edit does to a tensor; one for all places where it is the
 * same text. */
struct export_function {
    int32_t edit;
    int index, count; /* of those of the edit */
    bool weight;
    struct bytes body;
};

/* Helpers that the functions call, written only where they are used. */
enum {
    HELP_DIRECTION = 1,
    HELP_LOAD = 2,
    HELP_NOISE = 4,
    HELP_UNIT = 8,
    HELP_MEAN = 16,
    HELP_ROWS = 32,
    HELP_MASK = 64,
    HELP_WHITEN = 128,
    HELP_WEIGHT_NOISE = 256,
    HELP_FILES = HELP_LOAD | HELP_ROWS | HELP_MASK | HELP_WHITEN
};

/* The library's parameter that holds a weight. */
struct export_parameter {
    char name[LIMIT_NAME];            /* "%d" for the layer */
    char axes[5], named[5];           /* its axes, and those that the edit names: export_weight.c */
    const struct arch_tensor *joined; /* where it holds other weights too, else NULL */
    int part;                         /* of a joined one */
    int32_t layer;                    /* -1: outside the layers */
    int32_t expert;                   /* whose part it is of one that all experts share, else -1 */
    bool absent;                      /* a bias that this model has not */
    int64_t first; /* the row of the parameter that is row 0 of the weight: positions of OPT */
};

/* One edit at one place: an act, and where that is for the library. */
struct export_change {
    struct edit_instr act; /* on a value, a gradient (act.backward) or a weight (act.weight) */
    int32_t order;         /* among all, in program order */
    int point;             /* nnsight: index of the point; none for weights */
    int32_t function;      /* index */
    const struct export_parameter *parameter; /* of a weight; NULL: another change */
};

struct exporter {
    const struct export *x;
    const struct config *cfg;
    enum export_to to;
    struct bytes *out;
    struct edit_program *prog;
    struct metric metric;
    struct alias_pick *capture; /* each name once, in forward order within a pattern */
    int n_captures;
    struct export_change *change;
    int32_t n_changes;
    struct export_parameter *parameter; /* of the weights' changes */
    struct export_function *function;
    int32_t n_functions;
    unsigned helpers;
    bool reads_runs;        /* from(), mean(), frozen: other runs' values are needed */
    bool reads_sets;        /* mean(REF), resample() */
    bool edits_unembedding; /* directions are those of the unembedding as it was */
    bool in_docstring;
    struct err *e;
};

/* export_index.c */
enum index_form {
    INDEX_PLAIN, /* as one would write it: a single element drops its axis */
    INDEX_KEEP   /* no axis is dropped or moved, so that a value of the selection's shape fits */
};
/* The extents of an act's tensor, without the batch. */
void export_shape(const struct exporter *x, const struct edit_instr *act,
                  int64_t shape[SITE_RANK_MAX]);
/* "[:, 2:5, -1]": the batch (a weight has none), then the first n axes of the act, those that are
 * whole at the end left out; nothing, and false, where all are.  `outside`: of another run's
 * tensor, which may be longer. */
bool export_index(struct bytes *b, const struct exporter *x, const struct edit_instr *act, int n,
                  enum index_form form, bool outside);
/* The elements that are assigned to: "x[:, 2:5]", "x[:]". */
void export_target(struct bytes *b, const struct exporter *x, const struct edit_instr *act, int n,
                   enum index_form form);
/* "[0, 2, 3]", in `nested` more brackets each. */
void export_list(struct bytes *b, const struct edit_axis *a, int nested);

/* export_value.c */
/* The value at the index with its factor; false where there is none to write. */
bool export_value(struct exporter *x, struct bytes *b, const struct export_change *c,
                  const struct edit *ed);
/* direction(464, 611) */
void export_direction(struct exporter *x, struct bytes *b, const struct edit *ed);
/* load("steer.safetensors", "v6") */
void export_file(struct exporter *x, struct bytes *b, const struct edit *ed);
/* "steer.safetensors", "v6"; the path made absolute */
void export_place(struct bytes *b, const struct edit *ed);

/* export_helpers.c: the functions in x->helpers; the unembedding's difference of tokens a and b as
 * Python */
void export_helpers(struct exporter *x, const char *unembedding);

/* export_weight.c */
/* Changes of weights, added to the others; refuses what the library has no parameter for. */
int export_weights(struct exporter *x);
/* "blocks.0.attn.W_Q": the library's parameter that a change is made in. */
const char *export_parameter(const struct export_change *c, char buf[LIMIT_NAME]);
/* The lines of a function that make x, a copy of parameter w in the shape in which the edit names
 * it, and those that return w. */
void export_weight_begin(const struct exporter *x, struct bytes *b, const struct export_change *c);
void export_weight_end(const struct exporter *x, struct bytes *b, const struct export_change *c);
/* The list of edited weights and the context in which a model (`model`: its Python name) has them;
 * nothing where there are none. */
void export_weights_print(struct exporter *x, const char *model);

/* export_edit.c */
/* Changes of weights are added to those of hooks, and all get their functions; refuses what has no
 * text. */
int export_functions(struct exporter *x);
void export_functions_print(struct exporter *x);
/* "edit_3" or "edit_3_1" */
void export_function_name(const struct exporter *x, int32_t function, char buf[40]);
/* Refuse an edit of the list. */
int export_refuse(struct exporter *x, int32_t edit, const char *why);

/* export.c */
void export_string(struct bytes *out, const char *text, size_t len);
void export_float(struct bytes *out, float f);
/* AutoModelForCausalLM.from_pretrained(MODEL, ...) in float32 with eager attention. */
void export_hugging_face(struct exporter *x);
/* Text from outside, made harmless. */
void export_comment(struct exporter *x, const char *text, size_t len);
/* The module's docstring. */
void export_title(struct exporter *x, const char *library, const char *needs);
/* Those from "import sys" to "import torch". */
void export_imports(struct exporter *x);
void export_tokens(struct exporter *x);
void export_metric(struct exporter *x);
void export_save(struct exporter *x);
/* The end of a list whose beginning is "NAME = [" and a new line. */
void export_list_end(struct exporter *x);
/* "blocks.{layer}.attn.hook_z" with the layers of sites[0..n) that follow each other; the count
 * used up. */
int export_layers(const struct site_ref *sites, int n);
/* The site of a capture that is one, else id SITE_COUNT. */
struct site_ref export_site(const struct alias_pick *p);

/* export_lens.c, export_nnsight.c: changes and checks first, then the text. */
int export_lens(struct exporter *x);
int export_nnsight(struct exporter *x);

#endif
