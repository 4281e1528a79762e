/* say.c - small pieces of sentences (see say.h). */
#include "say.h"

#include <string.h>

static void quoted(struct bytes *b, const char *text, size_t len)
{
    bytes_add_char(b, '"');
    text_add(b, text, len, TEXT_TOKEN);
    bytes_add_char(b, '"');
}

void say_token(const struct app *a, struct bytes *b, int32_t id)
{
    size_t len;
    const char *text = tokenizer_text(a->m->tok, id, &len);
    quoted(b, text, len);
}

void say_position(const struct app *a, struct bytes *b, int32_t row)
{
    size_t len;
    const char *text = model_input_text(a->m, a->tokens[row], &len);
    bytes_addf(b, "position %d, ", (int)row);
    quoted(b, text, len);
}

void say_number(struct bytes *b, double v, int decimals, unsigned flags)
{
    char n[NUMBER_BYTES];
    bytes_add_string(b, number_fit(n, v, 24, decimals, flags | NUMBER_LEFT | NUMBER_ASCII));
}

void say_line(struct bytes *b)
{
    bytes_add_char(b, '\n');
}
