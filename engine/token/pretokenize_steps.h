/* pretokenize_steps.h - the step functions, for pretokenize_parse.c only (which fields of struct
 * pretokenize_step each reads stands there). */
#ifndef PRETOKENIZE_STEPS_H
#define PRETOKENIZE_STEPS_H

#include "token/pretokenize.h"

/* Each applies one step to the pieces of w. */
int step_split(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_prefix(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_replace(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_bytes(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_unicode(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_lower(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_strip(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_strip_accents(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);

#endif
