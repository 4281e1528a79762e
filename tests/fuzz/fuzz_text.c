/* fuzz_text.c - any bytes as text: the sanitizer's promises (tests/render/rule.h), and that what
 * the canvas, the table and the JSON writer print holds no control character but our own newlines
 * and SGR sequences. The first byte chooses the TEXT_* flags, the second the geometry. */
#include <stdlib.h>

#include "canvas.h"
#include "json_out.h"
#include "table.h"
#include "../render/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

/* Newlines, tabs if allowed, "ESC [ digits ; m" if allowed; everything else as the rule says. */
static void expect_clean(const struct bytes *b, bool sgr, bool tabs)
{
    const char *p = b->data, *end = b->data + b->len;
    while (p < end) {
        const char *stop = p;
        while (stop < end && *stop != '\n' && !(sgr && *stop == '\033') && !(tabs && *stop == '\t'))
            stop++;
        struct text_reader r;
        struct text_item item;
        for (text_open(&r, p, (size_t)(stop - p), TEXT_PLAIN); text_next(&r, &item);)
            expect(!item.escaped && !rule_broken(&item, TEXT_PLAIN));
        if (stop < end && *stop == '\033') {
            expect(*++stop == '[');
            do
                stop++;
            while (rule_in(*stop, '0', '9') || *stop == ';');
            expect(*stop == 'm');
        }
        p = stop + 1;
    }
}

static void items(const char *s, size_t n, unsigned flags)
{
    struct text_reader r;
    struct text_item item;
    size_t covered = 0;
    int width = 0;
    for (text_open(&r, s, n, flags); text_next(&r, &item); width += item.width) {
        expect(!rule_broken(&item, flags));
        expect(item.source_len ? item.source == s + covered : item.escaped);
        covered += item.source_len;
    }
    expect(covered == n && width == text_width(s, n, flags));
}

static void drawn(const char *s, size_t n, unsigned flags, unsigned geometry)
{
    struct bytes out = {0};
    struct canvas *c = canvas_new(1 + (int)(geometry % 32), 2);
    c->ascii = flags & TEXT_ASCII;
    canvas_put_text(c, canvas_rect(c), (int)(geometry / 32) - 2, 0,
                    canvas_style(0xffffff, 0x204060, 0), s, n, flags);
    canvas_put_field(c, canvas_rect(c), 1, 1, canvas_plain(0), s, n, flags, (int)(geometry % 9),
                     true);
    canvas_dump_ansi(c, COLOR_DEPTH_TRUE, &out);
    expect_clean(&out, true, false);
    for (int y = 0; y < c->h; y++) { /* every row is as wide as the canvas */
        int width = 0;
        for (int x = 0; x < c->w; x++)
            width += canvas_at(c, x, y)->width;
        expect(width == c->w);
    }
    canvas_free(c);
    bytes_free(&out);
}

static void printed(const char *s, size_t n, unsigned flags, unsigned geometry)
{
    struct table_column column = {"text", TABLE_TEXT, 0, (int)(geometry % 20),
                                  flags & ~(unsigned)TEXT_UTF8PROC};
    struct table *t = table_new(&column, 1);
    struct bytes out = {0};
    struct json_out j;
    table_text(t, s, n);
    table_plain(t, &out);
    expect_clean(&out, false, false);
    bytes_clear(&out);
    table_tsv(t, &out);
    expect_clean(&out, false, true);
    bytes_clear(&out);
    json_out_begin(&j, &out);
    json_out_text(&j, s, n);
    json_out_end(&j);
    expect_clean(&out, false, false);
    bytes_free(&out);
    table_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!rule_locale)
        expect(rule_open());
    if (size < 2)
        return 0;
    const char *s = (const char *)data + 2;
    items(s, size - 2, data[0] & 31U);
    drawn(s, size - 2, data[0] & 15U, data[1]);
    printed(s, size - 2, data[0] & 31U, data[1]);
    return 0;
}
