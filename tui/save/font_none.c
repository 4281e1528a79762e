/* font_none.c - the program without fontconfig and FreeType: no font (see font.h). */
#include "save/font.h"

int font_open(struct font **out, int cell_w, int cell_h, int *base, struct err *e)
{
    (void)out, (void)cell_w, (void)cell_h, (void)base;
    return err_set(
        e, ERR_USAGE,
        "this borescope was built without fonts · install libfontconfig-dev, configure and "
        "build again, or write .svg");
}

void font_close(struct font *f)
{
    (void)f;
}

bool font_glyph(struct font *f, uint32_t code, bool bold, int columns, struct glyph *g)
{
    (void)f, (void)code, (void)bold, (void)columns, (void)g;
    return false;
}
