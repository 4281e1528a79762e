/* font.c - see font.h. */
#include "save/font.h"

#include <fontconfig/fontconfig.h>
#include <stdlib.h>

#include <ft2build.h>
#include FT_FREETYPE_H

enum { LIGHT, HEAVY, WEIGHTS, UNITS = 64 /* of FreeType's sizes in a pixel */ };

struct font {
    FcConfig *config;
    FT_Library library;
    FcFontSet *set[WEIGHTS]; /* best first */
    FT_Face *face[WEIGHTS];  /* [set->nfont], NULL: not opened yet */
    int cell_w, base;
    FT_F26Dot6 size;
};

/* The i-th best face of a weight in the size of the first; NULL: it cannot be opened. */
static FT_Face face_at(struct font *f, int weight, int i)
{
    FcChar8 *path;
    int index = 0;
    FT_Face *face = &f->face[weight][i];
    FcPattern *p = f->set[weight]->fonts[i];
    if (*face || FcPatternGetString(p, FC_FILE, 0, &path) != FcResultMatch)
        return *face;
    FcPatternGetInteger(p, FC_INDEX, 0, &index);
    if (FT_New_Face(f->library, (const char *)path, index, face))
        *face = NULL;
    else if (f->size)
        FT_Set_Char_Size(*face, 0, f->size, 72, 72);
    return *face;
}

static bool find_fonts(struct font *f, int weight)
{
    FcResult result;
    /* DejaVu where it is there: lines, blocks and arrows of one width */
    FcPattern *p = FcPatternBuild(NULL, FC_FAMILY, FcTypeString, "DejaVu Sans Mono", FC_FAMILY,
                                  FcTypeString, "monospace", FC_SCALABLE, FcTypeBool, FcTrue,
                                  FC_WEIGHT, FcTypeInteger,
                                  weight == HEAVY ? FC_WEIGHT_BOLD : FC_WEIGHT_NORMAL, NULL);
    if (p && FcConfigSubstitute(f->config, p, FcMatchPattern)) {
        FcDefaultSubstitute(p);
        f->set[weight] = FcFontSort(f->config, p, FcTrue, NULL, &result);
    }
    if (p)
        FcPatternDestroy(p);
    int n = f->set[weight] ? f->set[weight]->nfont : 0;
    f->face[weight] = n ? calloc((size_t)n, sizeof(FT_Face)) : NULL;
    return f->face[weight] && face_at(f, weight, 0);
}

/* The size in which the first font's advance is a cell wide. */
static int measure(struct font *f, int cell_h)
{
    FT_Face face = f->face[LIGHT][0];
    FT_Long advance = face->max_advance_width > 0 ? face->max_advance_width : face->units_per_EM;
    if (!FT_Load_Char(face, 'M', FT_LOAD_NO_SCALE))
        advance = face->glyph->advance.x;
    double em = (double)f->cell_w * face->units_per_EM / (double)advance;
    f->size = (FT_F26Dot6)(em * UNITS);
    for (int w = 0; w < WEIGHTS; w++)
        FT_Set_Char_Size(f->face[w][0], 0, f->size, 72, 72);
    double px = em / face->units_per_EM, below = -px * face->descender,
           spare = cell_h - px * face->ascender - below;
    return (int)(cell_h - below - (spare > 0 ? spare / 2 : 0));
}

int font_open(struct font **out, int cell_w, int cell_h, int *base, struct err *e)
{
    struct font *f = calloc(1, sizeof *f);
    if (!f)
        return err_memory(e, "the picture");
    f->cell_w = cell_w;
    f->config = FcInitLoadConfigAndFonts();
    bool ok = f->config && !FT_Init_FreeType(&f->library);
    for (int w = 0; w < WEIGHTS && ok; w++)
        ok = find_fonts(f, w);
    if (!ok) {
        font_close(f);
        return err_set(
            e, ERR_SYSTEM,
            "no monospaced font is installed · install fonts-dejavu-core, or write .svg");
    }
    *base = f->base = measure(f, cell_h);
    *out = f;
    return 0;
}

void font_close(struct font *f)
{
    for (int w = 0; f && w < WEIGHTS; w++) {
        for (int i = 0; f->face[w] && i < f->set[w]->nfont; i++)
            if (f->face[w][i])
                FT_Done_Face(f->face[w][i]);
        free(f->face[w]);
        if (f->set[w])
            FcFontSetDestroy(f->set[w]);
    }
    if (f && f->library)
        FT_Done_FreeType(f->library);
    if (f && f->config)
        FcConfigDestroy(f->config);
    free(f);
}

/* What is too wide for its cells, as glyphs of another font may be, is made smaller; *left: what
 * puts it in their middle. */
static bool load(struct font *f, FT_Face face, uint32_t code, int room, int *left)
{
    const FT_Int32 how = FT_LOAD_RENDER | FT_LOAD_TARGET_LIGHT;
    const FT_GlyphSlot slot = face->glyph;
    bool ok = !FT_Load_Char(face, code, how);
    int wide = (int)(slot->advance.x + UNITS / 2) / UNITS;
    if (ok && wide > room) {
        FT_Set_Char_Size(face, 0, f->size * room / wide, 72, 72);
        ok = !FT_Load_Char(face, code, how);
        FT_Set_Char_Size(face, 0, f->size, 72, 72);
        wide = room;
    }
    *left = wide > 0 ? (room - wide) / 2 : 0;
    return ok && slot->bitmap.pixel_mode == FT_PIXEL_MODE_GRAY;
}

bool font_glyph(struct font *f, uint32_t code, bool bold, int columns, struct glyph *g)
{
    int w = bold ? HEAVY : LIGHT;
    for (int i = 0; i < f->set[w]->nfont; i++) {
        FcCharSet *has;
        int left;
        if (FcPatternGetCharSet(f->set[w]->fonts[i], FC_CHARSET, 0, &has) != FcResultMatch ||
            !FcCharSetHasChar(has, code))
            continue;
        FT_Face face = face_at(f, w, i);
        if (!face || !load(f, face, code, columns * f->cell_w, &left))
            continue;
        const FT_GlyphSlot slot = face->glyph;
        *g = (struct glyph){slot->bitmap.buffer,      (int)slot->bitmap.width,
                            (int)slot->bitmap.rows,   slot->bitmap.pitch,
                            left + slot->bitmap_left, f->base - slot->bitmap_top};
        if (g->x + g->w <= 0) /* a mark that stands over what was before it */
            g->x += columns * f->cell_w;
        return true;
    }
    return false;
}
