/* export_lens.h - what the files of programs for TransformerLens share. */
#ifndef EXPORT_LENS_H
#define EXPORT_LENS_H

#include "export/export_parts.h"

/* Which of the library's switches are on. */
struct switches {
    bool result, split, attn_in, mlp_in, tokens;
};

/* load_model(): a HookedTransformer with its processing and switches. */
void export_lens_model(struct exporter *x, const struct switches *sw);

#endif
