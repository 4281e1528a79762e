/* texts.h - a set of texts as the command line names it: TEXTS, --window and what stands beside it.
 * Tested in tests/tui/test_cli_texts.c. */
#ifndef CLI_TEXTS_H
#define CLI_TEXTS_H

#include "cli.h"
#include "lab/token_filter.h"

/* What the options say; ERR_USAGE for an unknown --format.  Their strings are argv's. */
int texts_options(struct cli *c, struct texts_options *out);
/* The command's second word, a path; `what` it is, and as which `forms`.  Standard input is refused
 * to several ranks. */
int texts_path(struct cli *c, const char *what, const char *forms, const char **path);
/* The set that the command's second word names, for c->m; texts_close. */
int texts_open_named(struct cli *c, struct texts **out);
/* --pos, --only-token, --skip-token and --next-token.  *ids, which the filter points to, is
 * malloc'ed, also on failure (NULL: nothing was). */
int texts_filter(struct cli *c, struct token_filter *out, int32_t **ids);

#endif
