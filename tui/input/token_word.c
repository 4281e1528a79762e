/* token_word.c - see token_word.h. */
#include "input/token_word.h"

#include <string.h>

#include "base/limit.h"
#include "edit/token_nearest.h"

/* The token that a text is as a whole, -1: none. */
static int32_t token_of(const struct model *m, const char *text, size_t len)
{
    int32_t id = tokenizer_find(m->tok, text, len);
    struct token_list l = {0};
    struct err ignored;
    if (id < 0 && !model_takes_ids(m) &&
        tokenizer_encode(m->tok, text, len, 0, &l, &ignored) == 0 && l.count == 1)
        id = l.id[0];
    token_list_free(&l);
    return id < m->cfg.d_vocab ? id : -1;
}

static int id_of(const struct model *m, const char *text, size_t len, int32_t *id, struct err *e)
{
    int64_t v = 0;
    for (size_t i = 0; i < len && v < m->cfg.d_vocab; i++)
        v = v * 10 + (text[i] - '0');
    if (v >= m->cfg.d_vocab)
        return err_set(e, ERR_BAD_INPUT, "token %.*s · this model's vocabulary is 0..%d",
                       len < 40 ? (int)len : 40, text, (int)m->cfg.d_vocab - 1);
    *id = (int32_t)v;
    return 0;
}

int token_word(const struct model *m, const char *text, size_t len, int32_t *id, bool *spaced,
               struct err *e)
{
    char with[LIMIT_NAME + 1] = " ", near[TOKEN_NEAREST_MAX];
    *spaced = false;
    if (len && strspn(text, "0123456789") >= len)
        return id_of(m, text, len, id, e);
    bool quoted = len >= 2 && text[0] == '"' && text[len - 1] == '"';
    text += quoted, len -= 2 * (size_t)quoted;
    int32_t found = len ? token_of(m, text, len) : -1;
    if (found < 0 && len && len < LIMIT_NAME && text[0] != ' ') {
        memcpy(with + 1, text, len);
        found = token_of(m, with, len + 1);
        *spaced = found >= 0;
    }
    if (found < 0)
        return err_set(e, ERR_BAD_INPUT,
                       "\"%.*s\" is no single token, with or without a space in front · give one "
                       "token, or an id · %s",
                       len < 80 ? (int)len : 80, text, token_nearest(m->tok, text, len, near));
    *id = found;
    return 0;
}
