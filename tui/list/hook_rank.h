/* hook_rank.h - how well a typed part fits a hook's name: for the filter and for completion.
 * Pure.  Tested in tests/tui/test_commands.c. */
#ifndef HOOK_RANK_H
#define HOOK_RANK_H

enum hook_rank {
    HOOK_EXACT,   /* the name, or all behind one of its dots: "hook_z" of blocks.0.attn.hook_z */
    HOOK_WORD,    /* from the beginning of a word on: "z" or "attn.h" */
    HOOK_PART,    /* anywhere */
    HOOK_LETTERS, /* its letters, in this order; or a pattern with wildcards */
    HOOK_NOT
};

/* Case means nothing.  Of several words, with blanks between them, the worst. */
enum hook_rank hook_rank(const char *name, const char *part);

#endif
