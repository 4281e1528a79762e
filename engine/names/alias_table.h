/* alias_table.h - the tables of names; each ends with a row whose name is NULL.  For alias*.c and
 * arch_*.c. */
#ifndef ALIAS_TABLE_H
#define ALIAS_TABLE_H

#include "names/alias.h"

extern const struct alias_row alias_bridge[]; /* every architecture */
extern const struct alias_row alias_gpt2[], alias_gpt_neox[], alias_llama[];

#endif
