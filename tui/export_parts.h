/* export_parts.h - what the files that implement export.h share. */
#ifndef EXPORT_PARTS_H
#define EXPORT_PARTS_H

#include "alias.h"
#include "edit.h"
#include "export.h"
#include "metric.h"

/* A Python function that does what one edit does to a tensor; one for all sites where it is the same text. */
struct export_function {
    int32_t edit;
    int index, count; /* of those of the edit */
    struct bytes body;
};

/* Helpers that the functions call, written only where they are used. */
enum { HELP_DIRECTION = 1, HELP_LOAD = 2, HELP_NOISE = 4, HELP_UNIT = 8, HELP_MEAN = 16, HELP_ROWS = 32, HELP_MASK = 64, HELP_WHITEN = 128,
       HELP_FILES = HELP_LOAD | HELP_ROWS | HELP_MASK | HELP_WHITEN };

/* One edit at one place: an act, and where that is for the library. */
struct export_change {
    struct edit_act act;
    int32_t order;    /* among all, in program order */
    int point;        /* nnsight: index of the point */
    int32_t function; /* index */
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
    struct export_function *function;
    int32_t n_functions;
    unsigned helpers;
    bool reads_runs;  /* from(), mean(), frozen: other runs' values are needed */
    bool reads_sets;  /* mean(REF), resample() */
    bool in_docstring;
    struct err *e;
};

/* export_edit.c */
/* The functions of all changes; refuses what has no text. */
int export_functions(struct exporter *x);
void export_functions_print(struct exporter *x);
/* "edit_3" or "edit_3_1" */
void export_function_name(const struct exporter *x, int32_t function, char buf[40]);
/* Refuse an edit of the list. */
int export_refuse(struct exporter *x, int32_t edit, const char *why);

/* export.c */
void export_string(struct bytes *out, const char *text, size_t len);
void export_float(struct bytes *out, float f);
/* Text from outside, made harmless. */
void export_comment(struct exporter *x, const char *text, size_t len);
/* The module's docstring. */
void export_title(struct exporter *x, const char *library, const char *needs);
void export_tokens(struct exporter *x);
void export_helpers(struct exporter *x, const char *unembedding);
void export_metric(struct exporter *x);
void export_save(struct exporter *x);
/* "blocks.{layer}.attn.hook_z" with the layers of sites[0..n) that follow each other; the count used up. */
int export_layers(const struct site_ref *sites, int n);
/* The site of a capture that is one, else id SITE_COUNT. */
struct site_ref export_site(const struct alias_pick *p);

/* export_lens.c, export_nnsight.c: changes and checks first, then the text. */
int export_lens(struct exporter *x);
int export_nnsight(struct exporter *x);

#endif
