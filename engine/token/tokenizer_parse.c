/* tokenizer_parse.c - from the JSON of a tokenizer.json to struct tokenizer.
 *
 * Everything the tokenizer keeps is copied out of the document.  Ids are checked to be unique and
 * few enough for the number of tokens before anything is allocated by them.  Tested in
 * tests/engine/test_tokenizer.c. */
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "token/tokenizer_parts.h"

static int out_of_memory(struct js_node node, struct err *e)
{
    return err_set(e, ERR_SYSTEM, "%s · out of memory", js_name(node.doc));
}

/* ---- added tokens
 * ------------------------------------------------------------------------------------ */

static int parse_added_token(struct js_node node, struct added_token *t, struct err *e)
{
    const char *content;
    int64_t id;
    struct js_node text = js_get(node, "content");
    int rc = js_string(text, &content, &t->content_len, e);
    if (!rc && t->content_len > LIMIT_TOKEN_BYTES)
        rc = js_expected(text, "at most 4096 bytes", e);
    if (!rc)
        rc = js_int(js_get(node, "id"), 0, LIMIT_VOCAB - 1, &id, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "single_word"), false, &t->single_word, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "lstrip"), false, &t->lstrip, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "rstrip"), false, &t->rstrip, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "special"), false, &t->special, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "normalized"), !t->special, &t->normalized, e);
    if (rc)
        return rc;
    t->id = (int32_t)id;
    t->content = malloc(t->content_len + 1);
    if (!t->content)
        return out_of_memory(node, e);
    memcpy(t->content, content, t->content_len);
    t->content[t->content_len] = '\0';
    return 0;
}

static int parse_added(struct tokenizer *t, struct js_node list, struct err *e)
{
    if (!js_is_set(list))
        return 0;
    if (!js_is_array(list))
        return js_expected(list, "a list", e);
    t->added = calloc(js_count(list) + 1, sizeof *t->added);
    if (!t->added)
        return out_of_memory(list, e);
    int rc = 0;
    for (size_t i = 0; i < js_count(list) && !rc; i++, t->n_added++)
        rc = parse_added_token(js_at(list, i), &t->added[i], e);
    return rc;
}

/* ---- the vocabulary
 * ---------------------------------------------------------------------------------- */

/* Sizes of what build_vocab will fill, with every id in range. */
static int measure(const struct tokenizer *t, struct js_node vocab, size_t *count, size_t *bytes,
                   struct err *e)
{
    int64_t last = -1, id;
    size_t tokens = js_count(vocab) + t->n_added;
    *bytes = 0;
    for (struct js_iter it = js_members(vocab); js_next(&it);) {
        int rc = js_int(it.value, 0, LIMIT_VOCAB - 1, &id, e);
        if (rc)
            return rc;
        last = id > last ? id : last;
        *bytes += it.key_len + 1;
    }
    for (size_t i = 0; i < t->n_added; i++) {
        last = t->added[i].id > last ? t->added[i].id : last;
        *bytes += t->added[i].content_len + 1;
    }
    if ((size_t)(last + 1) > 2 * tokens + 1024)
        return err_set(e, ERR_BAD_INPUT, "%s · ids go up to %lld for only %zu tokens",
                       js_name(vocab.doc), (long long)last, tokens);
    *count = (size_t)(last + 1);
    return 0;
}

/* Put a token at its id; the spelling is copied to *at. */
static int place(struct tokenizer *t, struct js_node node, int32_t id, const char *spelling,
                 size_t len, bool special, char **at, struct err *e)
{
    struct token *k = &t->token[id];
    if (k->spelling)
        return err_set(e, ERR_BAD_INPUT, "%s · tokens \"%.60s\" and \"%.60s\" have the same id %d",
                       js_name(node.doc), k->spelling, spelling, (int)id);
    memcpy(*at, spelling, len);
    (*at)[len] = '\0';
    *k = (struct token){.spelling = *at, .spelling_len = (uint32_t)len, .special = special};
    *at += len + 1;
    return 0;
}

static int place_added(struct tokenizer *t, struct js_node root, const struct added_token *a,
                       char **at, struct err *e)
{
    uint32_t known = strmap_get(&t->bpe.by_spelling, a->content, a->content_len);
    if (known == STRMAP_NONE)
        return place(t, root, a->id, a->content, a->content_len, a->special, at, e);
    if (known != (uint32_t)a->id)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · added token \"%.100s\" has id %d, in the vocabulary %u",
                       js_name(root.doc), a->content, (int)a->id, known);
    t->token[a->id].special = a->special;
    return 0;
}

static int build_vocab(struct tokenizer *t, struct js_node root, struct js_node vocab,
                       struct err *e)
{
    size_t bytes;
    int rc = measure(t, vocab, &t->count, &bytes, e);
    if (rc)
        return rc;
    t->token = calloc(t->count + 1, sizeof *t->token);
    t->spellings = malloc(bytes + 1);
    if (!t->token || !t->spellings || strmap_init(&t->bpe.by_spelling, js_count(vocab)))
        return out_of_memory(root, e);
    char *at = t->spellings;
    for (struct js_iter it = js_members(vocab); js_next(&it) && !rc;) {
        int64_t id = -1;
        (void)js_int(it.value, 0, LIMIT_VOCAB - 1, &id, NULL); /* measure has seen it */
        const char *spelling = at;
        if (!(rc = place(t, root, (int32_t)id, it.key, it.key_len, false, &at, e)))
            (void)strmap_put(&t->bpe.by_spelling, spelling, it.key_len, (uint32_t)id);
    }
    for (size_t i = 0; i < t->n_added && !rc; i++)
        rc = place_added(t, root, &t->added[i], &at, e);
    return rc;
}

/* The bytes that every token contributes, in one block. */
static int build_texts(struct tokenizer *t, struct js_node root, struct err *e)
{
    struct byte_buffer all = {0}, one = {.len_max = LIMIT_TOKEN_BYTES * 4};
    size_t spelled = 0;
    for (size_t i = 0; i < t->count; i++)
        spelled += t->token[i].spelling_len + 1;
    all.len_max = spelled * 8 + 4096;
    for (size_t i = 0; i < t->count; i++) {
        struct token *k = &t->token[i];
        one.len = 0;
        if (k->spelling)
            decoder_token(&t->decoder, k->spelling, k->spelling_len, false, &one);
        k->text_len = (uint32_t)one.len;
        buffer_push(&all, one.at, one.len);
        buffer_push(&all, "", 1);
        if (one.too_long || all.too_long) {
            free(one.at);
            free(all.at);
            return err_set(e, ERR_BAD_INPUT, "%s · the decoder makes token %zu too long",
                           js_name(root.doc), i);
        }
    }
    free(one.at);
    t->texts = all.at;
    if (one.out_of_memory || all.out_of_memory)
        return out_of_memory(root, e);
    for (size_t i = 0, at = 0; i < t->count; at += t->token[i++].text_len + 1)
        t->token[i].text = t->texts + at;
    return 0;
}

static void index_bytes(struct tokenizer *t)
{
    for (int b = 0; b < 256; b++)
        t->byte_id[b] = t->bpe.of_byte[b];
    for (size_t i = 0; i < t->count; i++) {
        const struct token *k = &t->token[i];
        int32_t *id = k->text_len == 1 && !k->special ? &t->byte_id[(unsigned char)k->text[0]]
                                                      : NULL;
        if (id && *id < 0)
            *id = (int32_t)i;
    }
}

/* What is looked for in normalized text is the normalized content; so is what the token is spelled.
 */
static int build_patterns(struct tokenizer *t, struct js_node root, struct err *e)
{
    struct pretokenize_work w = {.len_max = LIMIT_TOKEN_BYTES * 16};
    int rc = 0;
    for (size_t i = 0; i < t->n_added && !rc; i++) {
        struct added_token *a = &t->added[i];
        w.text.len = w.pieces.count = 0;
        mapped_push_original(&w, &w.text, a->content, a->content_len, 0);
        piece_push(&w, &w.pieces, 0, w.text.len);
        if (a->normalized && (rc = steps_run(&t->normalizer, &w, e)))
            err_prefix(e, "%s", js_name(root.doc));
        a->pattern = rc ? NULL : malloc(w.text.len + 1);
        a->pattern_len = w.text.len;
        if (!rc && (!a->pattern || w.out_of_memory))
            rc = out_of_memory(root, e);
        if (rc)
            break;
        if (w.text.len)
            memcpy(a->pattern, w.text.byte, w.text.len);
        a->pattern[w.text.len] = '\0';
        t->token[a->id]
            .spelling = a->pattern; /* the reference decodes it to what it stands for in the text */
        t->token[a->id].spelling_len = (uint32_t)w.text.len;
    }
    work_free(&w);
    if (!rc && (added_set_make(&t->raw, t->added, t->n_added, false) ||
                added_set_make(&t->normalized, t->added, t->n_added, true)))
        rc = out_of_memory(root, e);
    return rc;
}

/* ---- the post-processor
 * ------------------------------------------------------------------------------ */

static int add_ids(struct tokenizer *t, struct js_node ids, int32_t **list, size_t *n,
                   struct err *e)
{
    if (!js_is_array(ids))
        return js_expected(ids, "a list of ids", e);
    int32_t *grown = realloc(*list, (*n + js_count(ids) + 1) * sizeof *grown);
    if (!grown)
        return out_of_memory(ids, e);
    *list = grown;
    for (size_t i = 0; i < js_count(ids); i++) {
        int64_t id = 0;
        int rc = js_int(js_at(ids, i), 0, (int64_t)t->count - 1, &id, e);
        if (rc)
            return rc;
        grown[(*n)++] = (int32_t)id;
    }
    return 0;
}

/* "single": special tokens around the one sequence A. */
static int parse_template(struct tokenizer *t, struct js_node node, struct err *e)
{
    struct js_node list = js_get(node, "single"), special = js_get(node, "special_tokens");
    bool behind = false;
    int rc = 0;
    if (t->prefix || t->suffix)
        return js_expected(node, "one TemplateProcessing only", e);
    if (!js_is_array(list))
        return js_expected(list, "a list", e);
    for (size_t i = 0; i < js_count(list) && !rc; i++) {
        struct js_node item = js_at(list, i);
        const char *name;
        if (js_is_object(js_get(item, "Sequence"))) {
            rc = behind ? js_expected(item, "one Sequence only", e) : 0;
            behind = true;
        } else if (!(rc = js_string(js_get(js_get(item, "SpecialToken"), "id"), &name, NULL, e))) {
            struct js_node ids = js_get(js_get(special, name), "ids");
            rc = behind ? add_ids(t, ids, &t->suffix, &t->n_suffix, e)
                        : add_ids(t, ids, &t->prefix, &t->n_prefix, e);
        }
    }
    return rc || behind ? rc : js_expected(list, "a Sequence among them", e);
}

static int parse_post_processor(struct tokenizer *t, struct js_node node, struct err *e)
{
    const char *type;
    if (!js_is_set(node))
        return 0;
    int rc = js_string(js_get(node, "type"), &type, NULL, e);
    if (rc || strcmp(type, "ByteLevel") == 0) /* trims offsets, changes no ids */
        return rc;
    if (strcmp(type, "TemplateProcessing") == 0)
        return parse_template(t, node, e);
    if (strcmp(type, "Sequence") != 0)
        return js_expected(js_get(node, "type"), "Sequence, ByteLevel or TemplateProcessing", e);
    struct js_node list = js_get(node, "processors");
    if (!js_is_array(list))
        return js_expected(list, "a list", e);
    for (size_t i = 0; i < js_count(list) && !rc; i++)
        rc = parse_post_processor(t, js_at(list, i), e);
    return rc;
}

/* ---- the whole
 * --------------------------------------------------------------------------------------- */

int tokenizer_build(struct tokenizer *t, struct js_node root, struct err *e)
{
    struct js_node model = js_get(root, "model"), vocab = js_get(model, "vocab"),
                   type = js_get(model, "type");
    const char *name;
    if (!js_is_object(model))
        return js_expected(model, "an object (is this a tokenizer.json?)", e);
    int rc = js_string_or(type, "BPE", &name, e);
    if (!rc && strcmp(name, "BPE") != 0)
        rc = js_expected(type, "\"BPE\", the one model that is supported", e);
    if (!rc && !js_is_object(vocab))
        rc = js_expected(vocab, "an object of tokens and ids", e);
    if (!rc)
        rc = parse_added(t, js_get(root, "added_tokens"), e);
    if (!rc)
        rc = build_vocab(t, root, vocab, e);
    if (!rc)
        rc = bpe_parse_model(model, &t->bpe, e);
    if (!rc)
        rc = normalizer_parse(js_get(root, "normalizer"), &t->normalizer, e);
    if (!rc)
        rc = pretokenizer_parse(js_get(root, "pre_tokenizer"), &t->pre_tokenizer, e);
    if (!rc)
        rc = decoder_parse(js_get(root, "decoder"), &t->decoder, e);
    if (!rc)
        rc = parse_post_processor(t, js_get(root, "post_processor"), e);
    if (!rc)
        rc = build_patterns(t, root, e);
    if (!rc)
        rc = build_texts(t, root, e);
    if (!rc)
        index_bytes(t);
    return rc;
}
