/* arch_names.h - rows of names that libraries give to the hook points of an architecture.
 *
 * Each arch_*.c ends in such a table; what a row's meaning is made of stands in arch_names.def.
 * alias.c reads both.  Tested in tests/engine/test_alias.c. */
#ifndef ARCH_NAMES_H
#define ARCH_NAMES_H

#include "model/config.h"

enum alias_library {
    LIBRARY_LENS,
    LIBRARY_BRIDGE,
    LIBRARY_HF,
    LIBRARY_NNSIGHT,
    LIBRARY_TAKER,
    LIBRARY_COUNT
};

enum alias_id {
#define ALIAS(id, form, scope, sites, edit, edited, why) ALIAS_##id,
#include "model/arch_names.def"
    ALIAS_COUNT
};

/* One name of a table, which ends with a row whose name is NULL: "%d" stands for the layer; a
 * number in a tuple is written ".0". */
struct alias_row {
    enum alias_library library; /* nnsight's names follow from the HF rows */
    const char *name;
    enum alias_id means;
    enum property when;
    bool second;      /* accepted, but never shown, and outside every pattern */
    const char *note; /* what to know about it; why it is refused */
};

#endif
