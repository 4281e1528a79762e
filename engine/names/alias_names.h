/* alias_names.h - rows and their names, shared by alias.c and alias_names.c. */
#ifndef ALIAS_NAMES_H
#define ALIAS_NAMES_H

#include "names/alias.h"

/* One row of arch_names.def. */
struct alias_meaning {
    enum alias_form form;
    enum site_scope scope;
    int n_sites;
    enum site_id sites[ALIAS_SITES_MAX];
    enum { EDIT_AS_SAME, EDIT_AS_SPREAD, EDIT_AS_NONE } edit;
    int n_edited;
    enum site_id edited[ALIAS_SITES_MAX];
    const char *why;
};
extern const struct alias_meaning alias_meanings[ALIAS_COUNT];

extern const struct alias_row alias_bridge[]; /* every architecture */

/* The tables of a model: the bridge's, the architecture's if it has one, then NULL. */
enum { ALIAS_TABLES = 3 };
void alias_tables(const struct config *cfg, const struct alias_row *tables[ALIAS_TABLES]);
bool alias_row_in_block(const struct alias_row *row);
/* Does what the row means exist in this model? */
bool alias_row_holds(const struct config *cfg, const struct alias_row *row);
/* The row's name with its layer; t may be LIBRARY_NNSIGHT for an HF row. */
char *alias_row_name(const struct alias_row *row, enum alias_library t, int32_t layer,
                     char buf[LIMIT_NAME]);
struct alias_value alias_row_value(const struct config *cfg, const struct alias_row *row,
                                   int32_t layer);

/* Does the text spell the pattern, in which "%d" stands for a layer?  *layer: the number there,
 * else SITE_ROOT. */
bool alias_spells(const char *pattern, const char *text, int32_t *layer);
/* The texts that a name may stand for: itself, without nnsight's "model.", with the outermost
 * module's name.  Returns how many. */
enum { ALIAS_VARIANTS = 4 };
int alias_variants(const struct config *cfg, const char *name,
                   char out[ALIAS_VARIANTS][LIMIT_PATTERN]);

#endif
