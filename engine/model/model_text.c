/* model_text.c - a model and its texts: which token begins them, their ids, what the sizes of the
 * tokenizer and of the vocabulary say. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limit.h"
#include "model/arch.h"
#include "model/checkpoint.h"
#include "model/gguf.h"
#include "model/model.h"
#include "token/token_ids.h"

/* ---- the beginning of a text ---- */

/* The token that "bos_token" or the like names: "<s>" or {"content": "<s>", …}; -1: none. */
static int32_t named_token(const struct model *m, struct js_node node)
{
    const char *text;
    size_t len;
    struct js_node content = js_is_object(node) ? js_get(node, "content") : node;
    if (!js_is_set(content) || js_string(content, &text, &len, NULL))
        return -1;
    int32_t id = tokenizer_find(m->tok, text, len);
    return id < m->cfg.d_vocab ? id : -1;
}

/* TransformerLens begins texts with the tokenizer's bos_token, and where that is null with its
 * eos_token.  A key that is not there says nothing, since classes have defaults of their own. */
static int32_t configured_bos(const struct model *m, struct js_node names)
{
    struct js_node bos = js_get(names, "bos_token");
    int32_t id = named_token(m, bos);
    if (id < 0 && bos.value && !js_is_set(bos))
        id = named_token(m, js_get(names, "eos_token"));
    return id;
}

/* The token that tokenizer_config.json names, else what it is called where it is not named. */
static void find_named(const struct model *m, struct js_node names, const char *key,
                       const char *usual, int32_t *out)
{
    int32_t id = named_token(m, js_get(names, key));
    if (id < 0 && *out < 0)
        id = tokenizer_find(m->tok, usual, strlen(usual));
    *out = id >= 0 && id < m->cfg.d_vocab ? id : *out;
}

void model_find_special(struct model *m)
{
    if (m->cfg.patch_size)
        return;
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/tokenizer_config.json", m->folder);
    struct js_doc *doc = access(path, R_OK) ? NULL : js_open_texts(path, NULL);
    struct js_node names = doc ? js_root(doc) : (struct js_node){0};
    int32_t id = m->files && checkpoint_gguf(m->files) ? -1 : configured_bos(m, names);
    if (m->cfg.n_types)
        find_named(m, names, "sep_token", "[SEP]", &m->cfg.sep_id);
    if (m->cfg.bidirectional)
        find_named(m, names, "mask_token", "[MASK]", &m->cfg.mask_id);
    js_close(doc);
    if (id >= 0)
        m->cfg.bos_id = id;
    else if (m->cfg.bos_id < 0 && tokenizer_bos(m->tok) < m->cfg.d_vocab)
        m->cfg.bos_id = tokenizer_bos(m->tok);
}

/* ---- ids ---- */

bool model_takes_ids(const struct model *m)
{
    return strcmp(tokenizer_kind(m->tok), "none") == 0;
}

/* At least one token and no more than can be run, or *ids is freed. */
static int count_check(int32_t **ids, int32_t n, const char *give, struct err *e)
{
    if (n > 0 && n <= LIMIT_TOKENS)
        return 0;
    free(*ids);
    *ids = NULL;
    return n ? err_set(e, ERR_BAD_INPUT, "prompt · %d tokens · at most %d can be run", (int)n,
                       LIMIT_TOKENS)
             : err_set(e, ERR_BAD_INPUT, "prompt · it has no tokens · give %s", give);
}

int model_ids(const char *text, size_t len, int32_t **ids, int32_t *n, struct err *e)
{
    int rc = token_ids_read(text, len, ids, n, e);
    return rc ? rc : count_check(ids, *n, "ids like 1,2,3", e);
}

/* Ids all over the vocabulary, and the same as text. */
static int sample_ids(const struct config *cfg, char *text, size_t room, int32_t **ids, int32_t *n,
                      struct err *e)
{
    int32_t count = cfg->n_ctx < 16 ? cfg->n_ctx : 16;
    size_t at = 0; /* 11 bytes each at most */
    *ids = malloc((size_t)count * sizeof **ids);
    if (!*ids)
        return err_memory(e, "prompt");
    for (int32_t i = 0; i < count; i++) {
        (*ids)[i] = (int32_t)((i + 1) * (int64_t)7919 % cfg->d_vocab);
        at += (size_t)snprintf(text + at, room - at, "%s%d", i ? "," : "", (int)(*ids)[i]);
    }
    *n = count;
    return 0;
}

int model_sample(const struct model *m, int bos, char **text, int32_t **ids, int32_t *n,
                 struct err *e)
{
    static const char words[] = "When Mary and John went to the store, John gave a bag to";
    const struct config *cfg = &m->cfg;
    size_t len = 0, room = 256;
    const char *mask = cfg->mask_id >= 0 ? tokenizer_text(m->tok, cfg->mask_id, &len) : NULL;
    char *out = malloc(room);
    if (!out)
        return err_memory(e, "prompt");
    snprintf(out, room, "%s%s%.*s%s", words, mask ? " " : "", mask && len < 32 ? (int)len : 0,
             mask ? mask : "", mask ? "." : "");
    int rc = model_takes_ids(m) ? ERR_BAD_INPUT : model_tokens(m, out, strlen(out), bos, ids, n, e);
    if (rc == ERR_BAD_INPUT) /* this text is none to it */
        rc = sample_ids(cfg, out, room, ids, n, e);
    if (!rc && *n > cfg->n_ctx)
        *n = cfg->n_ctx;
    if (rc)
        free(out);
    else
        *text = out;
    return rc;
}

int model_encode(const struct model *m, const char *text, size_t len, int bos, int32_t **ids,
                 int32_t *n, struct err *e)
{
    struct token_list l = {0};
    if (model_takes_ids(m)) {
        int bad = token_ids_read(text, len, ids, n, e);
        if (bad == ERR_BAD_INPUT)
            err_prefix(e, "no tokenizer reads text here");
        return bad;
    }
    bool prepend = bos < 0 ? m->cfg.prepend_bos : bos != 0;
    int rc = tokenizer_encode_from(m->tok, prepend ? m->cfg.bos_id : -1, text, len, &l, e);
    if (!rc) {
        *ids = l.id, *n = (int32_t)l.count;
        l.id = NULL;
    }
    token_list_free(&l);
    return rc;
}

int model_tokens(const struct model *m, const char *text, size_t len, int bos, int32_t **ids,
                 int32_t *n, struct err *e)
{
    int rc = model_encode(m, text, len, bos, ids, n, e);
    return rc ? rc : count_check(ids, *n, model_takes_ids(m) ? "ids like 1,2,3" : "some text", e);
}

int model_check_tokens(const struct model *m, const int32_t *ids, int32_t n, bool *over,
                       struct err *e)
{
    int32_t rows = m->cfg.patch_size ? m->cfg.n_ctx : m->cfg.d_vocab;
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= rows)
            return err_set(e, ERR_BAD_INPUT,
                           "token %d at position %d · this model's vocabulary is 0..%d", ids[i], i,
                           rows - 1);
    if (n > m->cfg.n_ctx && m->cfg.pos == POS_LEARNED)
        return err_set(
            e, ERR_BAD_INPUT,
            "prompt · %d tokens · this model has learned positions for %d; shorten the prompt", n,
            m->cfg.n_ctx);
    if (over)
        *over = n > m->cfg.n_ctx;
    return 0;
}

int model_check_types(const struct model *m, const int32_t *types, int32_t n, struct err *e)
{
    if (n && !m->cfg.n_types)
        return err_set(e, ERR_BAD_INPUT, "token types · %s",
                       config_lack(&m->cfg, PROPERTY_TOKEN_TYPES));
    for (int32_t i = 0; i < n; i++)
        if (types[i] < 0 || types[i] >= m->cfg.n_types)
            return err_set(e, ERR_BAD_INPUT, "token type %d at position %d · this model has 0..%d",
                           types[i], i, m->cfg.n_types - 1);
    return 0;
}

int32_t model_type_after(const struct model *m, int32_t type, int32_t token)
{
    return token == m->cfg.sep_id && type + 1 < m->cfg.n_types ? type + 1 : type;
}

const char *model_input_text(const struct model *m, int32_t id, size_t *len)
{
    static _Thread_local char patch[32];
    if (!m->cfg.patch_size)
        return tokenizer_text(m->tok, id, len);
    int32_t grid = image_grid(&m->cfg), at = id - m->cfg.n_prefix;
    *len = at < 0 ? (size_t)snprintf(patch, sizeof patch, id < 1 ? "[CLS]" : "[DIST]")
                  : (size_t)snprintf(patch, sizeof patch, "%d,%d", at / grid, at % grid);
    return patch;
}

int32_t model_answer_row(const struct model *m, const int32_t *ids, int32_t n)
{
    if (m->cfg.patch_size)
        return 0;
    for (int32_t i = 0; m->cfg.mask_id >= 0 && i < n; i++)
        if (ids[i] == m->cfg.mask_id)
            return i;
    return n - 1;
}

/* Does the name begin with one of "a.|b."? */
static bool begins_as(const char *name, const char *list)
{
    for (const char *p = list; *p; p += strcspn(p, "|"), p += *p == '|')
        if (!strncmp(name, p, strcspn(p, "|")))
            return true;
    return false;
}

const char *model_skipped_note(const struct model *m, char *buf, size_t size)
{
    const char *list = m->cfg.arch->skipped;
    int n = 0;
    for (size_t i = 0; list && m->files && i < checkpoint_count(m->files); i++)
        n += begins_as(checkpoint_at(m->files, i)->name, list);
    if (!n)
        return NULL;
    snprintf(buf, size, "%d tensors of the image part are left alone · only text can be run", n);
    return buf;
}

const char *model_vocabulary_note(const struct model *m, char *buf, size_t size)
{
    int32_t n = tokenizer_count(m->tok), rows = m->cfg.d_vocab;
    if (n == rows)
        return NULL;
    int32_t lo = n < rows ? n : rows, hi = n < rows ? rows : n;
    snprintf(buf, size, "the tokenizer has %d tokens, the model %d · ids %d..%d %s", n, rows, lo,
             hi - 1, n < rows ? "have no text" : "cannot be run");
    return buf;
}
