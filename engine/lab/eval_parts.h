/* eval_parts.h - what the files eval*.c share; nobody else includes it. */
#ifndef EVAL_PARTS_H
#define EVAL_PARTS_H

#include "lab/eval.h"
#include "measure/lens.h"

/* What is said of a token, without and with edits, to the text at hand. */
void eval_token_add(struct eval *v, int32_t token, size_t bytes, const struct lens_next *base,
                    const struct lens_next *other, double kl);
/* What text[] holds is all of a text. */
void eval_text_end(struct eval *v);
/* eval_run of a model that sees all tokens. */
int eval_masked_run(struct eval *v, struct texts *t, const struct eval_work *w, struct err *e);

#endif
