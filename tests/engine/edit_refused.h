/* edit_refused.h - test support: a text that is no edit, and what is said of it. */
#ifndef EDIT_REFUSED_H
#define EDIT_REFUSED_H

#include <string.h>

#include "edit/edit.h"

/* Parsing `text` fails with exactly the line `want` and leaves its output untouched. */
static void refused(const char *text, const char *want)
{
    struct edit *untouched = (struct edit *)&untouched, *ed = untouched;
    struct err e = {0, ""};
    if (edit_parse(&ed, text, &e) == 0) {
        edit_free(ed);
        fail_msg("%s was accepted", text);
    }
    assert_ptr_equal(ed, untouched);
    assert_int_equal(e.code, ERR_BAD_INPUT);
    if (strcmp(e.text, want) != 0)
        fail_msg("%s\n  said   %s\n  wanted %s", text, e.text, want);
}

#endif
