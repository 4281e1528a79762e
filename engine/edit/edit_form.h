/* edit_form.h - the parsed form of an edit, shared by the files that implement edit.h.
 *
 *     edit   pattern [ '[' sel {',' sel} ']' ] op value [ ',' 'renormalize' ]
 *     sel    [dim '='] ( [place] ':' [place] [':' step] | place | '{' span {',' span} '}' )
 *     span   place [ '..' place ]
 *     place  INT | 'end' | "token" ['#' INT]
 *     value  NUMBER | [NUMBER '*'] word
 *
 * An edit is one block of memory, immutable, counted. */
#ifndef EDIT_FORM_H
#define EDIT_FORM_H

#include "edit/edit.h"

#include <stdatomic.h>

#define EDIT_RENORMALIZE "renormalize"

enum place_kind { PLACE_NONE, PLACE_INT, PLACE_END, PLACE_TOKEN };

struct edit_place {
    enum place_kind kind;
    int32_t
        value; /* INT: as written, negative from the end; TOKEN: which occurrence, 1.., -1 = last */
    const char *text; /* TOKEN: bytes, not NUL-terminated */
    int32_t len;
};

struct edit_span {
    struct edit_place lo, hi; /* hi NONE in a set: lo alone; either may be NONE in a range */
};

enum sel_kind { SEL_RANGE, SEL_ONE, SEL_SET };

struct edit_sel {
    enum site_dim dim; /* DIM_NONE: the axis at this place */
    enum sel_kind kind;
    int32_t step; /* RANGE: >= 1; its hi is exclusive */
    int32_t n;    /* spans; 1 unless SET */
    struct edit_span *spans;
};

struct edit {
    atomic_int refs;
    const char *pattern; /* site name or pattern, without blanks */
    enum edit_op op;
    enum edit_value_kind value;
    float number;                   /* EDIT_NUMBER, or the factor before a word */
    enum edit_value_kind direction; /* EDIT_PROJECT_OUT: EDIT_DIR or EDIT_FILE */
    enum edit_mask_fn mask_fn;
    const char *text[2]; /* EDIT_FROM: run; EDIT_MEAN_REF, EDIT_RESAMPLE: set; EDIT_DIR: two tokens,
                            NULL for ids; EDIT_FILE: path, tensor */
    int32_t text_len[2];
    int32_t token[2];   /* EDIT_DIR: ids */
    float lo, hi;       /* EDIT_CLAMP */
    float sigma;        /* EDIT_NOISE */
    int32_t seed;       /* EDIT_NOISE, EDIT_RESAMPLE */
    int32_t source_pos; /* see struct edit_instr */
    bool renormalize;
    int32_t n_sels;
    struct edit_sel sels[SITE_RANK_MAX];
    struct edit_span spans[]; /* the pool behind sels; after it the bytes of all texts */
};

/* The pattern without a final "_grad"; true if there was one. */
bool edit_hook_pattern(const struct edit *ed, char pattern[LIMIT_PATTERN]);
/* Write a number so that it reads back to the same float, in as few digits as that takes. */
int edit_number_print(float f, char buf[32]);
/* Read a number in any form of strtof; returns the end, or text itself where none begins.  Both pay
 * no attention to the locale.  A finite number beyond float range sets *over. */
const char *edit_number_parse(const char *text, float *out, bool *over);
/* Write a token in quotes with its escapes; returns the length as snprintf does. */
int edit_token_print(const char *text, int32_t len, char *buf, size_t size);

#endif
