/* pretokenize_steps.h - the step functions, for pretokenize_parse.c only (which fields of struct step each
 * reads stands there). */
#ifndef PRETOKENIZE_STEPS_H
#define PRETOKENIZE_STEPS_H

#include "token/pretokenize.h"

/* Each applies one step to the pieces of w. */
int step_split(const struct step *s, struct pretokenize_work *w, struct err *e);
int step_prefix(const struct step *s, struct pretokenize_work *w, struct err *e);
int step_replace(const struct step *s, struct pretokenize_work *w, struct err *e);
int step_bytes(const struct step *s, struct pretokenize_work *w, struct err *e);
int step_unicode(const struct step *s, struct pretokenize_work *w, struct err *e);
int step_lower(const struct step *s, struct pretokenize_work *w, struct err *e);
int step_strip(const struct step *s, struct pretokenize_work *w, struct err *e);
int step_strip_accents(const struct step *s, struct pretokenize_work *w, struct err *e);

#endif
