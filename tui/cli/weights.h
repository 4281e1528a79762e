/* weights.h - what the files of `borescope weights` share.  Tested in tests/tui/test_cli_weights.c.
 */
#ifndef CLI_WEIGHTS_H
#define CLI_WEIGHTS_H

#include "measure/circuit.h"
#include "cli.h"
#include "weight_index.h"

/* weight_values.c: one weight, or some of its elements: printed, as tokens. */
int weights_values(struct cli *c, const struct weight_cut *cut);
int weights_as_tokens(struct cli *c, const struct weight_cut *cut);
/* Elements of a cut, malloc'ed. */
float *weights_read(struct cli *c, const struct weight_cut *cut);
/* Which of the edits (-e) change some of a weight: on[c->n_edits]; malloc'ed, NULL without edits.
 */
bool *weights_edited(const struct cli *c, const struct named_weight *w);
/* The --top tokens of a direction as a cell ("Mary" 1.23, ...), or as "key": [{id, text, value}].
 */
void weights_table_tokens(const struct cli *c, struct table *t, const struct lens_top *top);
void weights_tokens_json(const struct cli *c, struct json_out *j, const char *key,
                         const struct lens_top *top);

/* weight_circuits.c: --svd, --eigenvalues, --target. */
int weights_svd(struct cli *c);
int weights_eigenvalues(struct cli *c);
int weights_token(struct cli *c);

#endif
