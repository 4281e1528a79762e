/* tokenizer_parse.c - from the JSON of a tokenizer.json to struct tokenizer.
 *
 * Everything the tokenizer keeps is copied out of the document.  Ids are checked to be unique and
 * few enough for the number of tokens before anything is allocated by them.  Tested in
 * tests/engine/test_tokenizer.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "base/list.h"
#include "token/tokenizer_parts.h"

static int out_of_memory(struct js_node node, struct err *e)
{
    return err_memory(e, "%s", js_name(node.doc));
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
    for (size_t i = 0; i < js_count(list) && !rc; i++) {
        struct added_token *a = &t->added[t->n_added++];
        rc = parse_added_token(js_at(list, i), a, e);
        if (!rc && !a->content_len) /* the reference passes it over */
            free(t->added[--t->n_added].content);
    }
    return rc;
}

/* ---- the vocabulary
 * ---------------------------------------------------------------------------------- */

/* The tokens of "model.vocab": an object of ids by token, or a list of [token, score] whose places
 * are the ids.  Such a list goes from the end, since of a token that stands there twice the last
 * place holds. */
struct vocab_walk {
    struct js_node vocab;
    const struct tokenizer_stream *stream; /* or NULL */
    struct js_iter members;
    size_t left; /* of the list, of the stream */
    const char *token;
    size_t len;
    int64_t id;
};

static size_t vocab_count(const struct tokenizer *t, struct js_node vocab)
{
    return t->stream ? t->stream->n_tokens : js_count(vocab);
}

static struct vocab_walk vocab_start(const struct tokenizer *t, struct js_node vocab)
{
    return (struct vocab_walk){.vocab = vocab,
                               .stream = t->stream,
                               .members = js_members(vocab),
                               .left = vocab_count(t, vocab)};
}

/* 1: the next token; 0: there is none; else an error. */
static int vocab_next(struct vocab_walk *v, struct err *e)
{
    if (v->stream) {
        if (!v->left)
            return 0;
        const struct stream_token *t = &v->stream->token[v->stream->n_tokens - v->left--];
        v->token = t->text, v->len = t->len, v->id = t->id;
        return 1;
    }
    if (js_is_array(v->vocab)) {
        if (!v->left)
            return 0;
        v->id = (int64_t)--v->left;
        int rc = js_string(js_at(js_at(v->vocab, v->left), 0), &v->token, &v->len, e);
        return rc ? rc : 1;
    }
    if (!js_next(&v->members))
        return 0;
    v->token = v->members.key;
    v->len = v->members.key_len;
    int rc = js_int(v->members.value, 0, LIMIT_VOCAB - 1, &v->id, e);
    return rc ? rc : 1;
}

/* Have the slot of a token that comes later on its way from memory. */
static void vocab_ahead(const struct tokenizer *t, const struct vocab_walk *v)
{
    enum { AHEAD = 8 };
    if (!v->stream || v->left < AHEAD)
        return;
    const struct stream_token *later = &v->stream->token[v->stream->n_tokens - v->left + AHEAD - 1];
    (void)strmap_hash(&t->by_spelling, later->text, later->len);
}

/* Sizes of what build_vocab will fill, with every id in range. */
static int measure(const struct tokenizer *t, struct js_node vocab, size_t *count, size_t *bytes,
                   struct err *e)
{
    int64_t last = -1;
    size_t tokens = vocab_count(t, vocab) + t->n_added;
    int rc;
    *bytes = 0;
    for (struct vocab_walk v = vocab_start(t, vocab); (rc = vocab_next(&v, e)) > 0;) {
        last = v.id > last ? v.id : last;
        *bytes += v.len + 1;
    }
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < t->n_added; i++) {
        last = t->added[i].id > last ? t->added[i].id : last;
        *bytes += t->added[i].content_len + 1;
    }
    if ((size_t)(last + 1) > 2 * tokens + 1024 || last >= LIMIT_VOCAB)
        return err_set(e, ERR_BAD_INPUT, "%s · ids go up to %lld for only %zu tokens",
                       js_name(vocab.doc), (long long)last, tokens);
    *count = (size_t)(last + 1);
    return 0;
}

/* Put a token at its id; the spelling is copied to *at. */
static int place(struct tokenizer *t, struct js_node node, int32_t id, const char *spelling,
                 size_t len, char **at, struct err *e)
{
    struct token *k = &t->token[id];
    if (k->spelling)
        return err_set(e, ERR_BAD_INPUT, "%s · tokens \"%.60s\" and \"%.60s\" have the same id %d",
                       js_name(node.doc), k->spelling, spelling, (int)id);
    memcpy(*at, spelling, len);
    (*at)[len] = '\0';
    *k = (struct token){.spelling = *at, .spelling_len = (uint32_t)len};
    *at += len + 1;
    return 0;
}

/* One that the model does not have is counted on from its vocabulary: *next is the reference's
 * count, whatever the file says. */
static int place_added(struct tokenizer *t, struct js_node root, const struct added_token *a,
                       size_t *next, char **at, struct err *e)
{
    uint32_t known = strmap_get(&t->by_spelling, a->content, a->content_len);
    if (known == STRMAP_NONE) {
        int rc = place(t, root, a->id, a->content, a->content_len, at, e);
        if (!rc && (size_t)a->id != *next)
            rc = err_set(e, ERR_BAD_INPUT,
                         "%s · added token \"%.100s\" has id %d, where counting on gives %zu",
                         js_name(root.doc), a->content, (int)a->id, *next);
        ++*next;
        return rc;
    }
    if (known != (uint32_t)a->id)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · added token \"%.100s\" has id %d, in the vocabulary %u",
                       js_name(root.doc), a->content, (int)a->id, known);
    return 0;
}

/* For models that look for tokens at the beginning of what is left: the vocabulary as a trie. */
static int build_trie(struct tokenizer *t, struct js_node root, struct err *e)
{
    struct trie_key *key = malloc((t->count + 1) * sizeof *key);
    size_t n = 0;
    if (!key)
        return out_of_memory(root, e);
    for (size_t i = 0; i < t->count; i++)
        if (t->token[i].spelling)
            key[n++] = (struct trie_key){t->token[i].spelling, t->token[i].spelling_len,
                                         (int32_t)i};
    int rc = trie_make(&t->trie, key, n, e);
    if (rc)
        err_prefix(e, "%s", js_name(root.doc));
    free(key);
    return rc;
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
    if (!t->token || !t->spellings || strmap_init(&t->by_spelling, vocab_count(t, vocab)))
        return out_of_memory(root, e);
    char *at = t->spellings;
    for (struct vocab_walk v = vocab_start(t, vocab); !rc && (rc = vocab_next(&v, e)) > 0;) {
        const char *spelling = at;
        vocab_ahead(t, &v);
        if (!(rc = place(t, root, (int32_t)v.id, v.token, v.len, &at, e)))
            (void)strmap_put(&t->by_spelling, spelling, v.len, (uint32_t)v.id);
    }
    if (!rc && t->stream && t->by_spelling.count < t->stream->n_tokens)
        rc = err_set(e, ERR_BAD_INPUT, "%s · a token stands there twice", js_name(root.doc));
    if (!rc && t->model->beginnings)
        rc = build_trie(t, root, e);
    size_t next = vocab_count(t, vocab);
    for (size_t i = 0; i < t->n_added && !rc; i++)
        rc = place_added(t, root, &t->added[i], &next, &at, e);
    return rc;
}

/* The bytes that every token contributes, in one block. */
static int build_texts(struct tokenizer *t, struct js_node root, struct err *e)
{
    struct byte_buffer all = {0};
    struct decode_work w = {0};
    size_t spelled = 0;
    int rc = 0;
    for (size_t i = 0; i < t->count; i++)
        spelled += t->token[i].spelling_len + 1;
    all.len_max = spelled * 8 + 4096;
    for (size_t i = 0; i < t->count && !rc; i++) {
        struct token *k = &t->token[i];
        decode_work_clear(&w);
        buffer_push(&w.have.text, k->spelling, k->spelling ? k->spelling_len : 0);
        decode_list_end(&w.have);
        decoder_token(&t->decoder, &w);
        k->text_len = (uint32_t)w.have.text.len;
        buffer_push(&all, w.have.text.at, w.have.text.len);
        buffer_push(&all, "", 1);
        if (w.have.text.out_of_memory || all.out_of_memory)
            rc = out_of_memory(root, e);
        else if (w.have.text.too_long || all.too_long)
            rc = err_set(e, ERR_BAD_INPUT, "%s · the decoder makes token %zu too long",
                         js_name(root.doc), i);
    }
    decode_work_free(&w);
    t->texts = all.at;
    for (size_t i = 0, at = 0; i < t->count && !rc; at += t->token[i++].text_len + 1)
        t->token[i].text = t->texts + at;
    return rc;
}

static void index_bytes(struct tokenizer *t)
{
    for (int b = 0; b < 256; b++)
        t->byte_id[b] = t->of_byte[b];
    for (size_t i = 0; i < t->count; i++) {
        const struct token *k = &t->token[i];
        int32_t *id = k->text_len == 1 && !k->special ? &t->byte_id[(unsigned char)k->text[0]]
                                                      : NULL;
        if (id && *id < 0)
            *id = (int32_t)i;
    }
}

/* The reference knows a token to be special by its spelling: by what it decodes to. */
static int mark_special(struct tokenizer *t, struct js_node root, struct err *e)
{
    struct strmap special = {0};
    if (strmap_init(&special, t->n_added))
        return out_of_memory(root, e);
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].special)
            (void)strmap_put(&special, t->added[i].content, t->added[i].content_len, 1);
    for (size_t i = 0; i < t->count && special.count; i++)
        if (t->token[i].spelling)
            t->token[i].special = strmap_get(&special, t->token[i].spelling,
                                             t->token[i].spelling_len) != STRMAP_NONE;
    strmap_free(&special);
    return 0;
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
        if (!rc && a->content_len && !a->pattern_len)
            rc = err_set(e, ERR_BAD_INPUT,
                         "%s · the normalizer leaves nothing of added token \"%.100s\"",
                         js_name(root.doc), a->content);
        if (rc)
            break;
        if (w.text.len)
            memcpy(a->pattern, w.text.byte, w.text.len);
        a->pattern[w.text.len] = '\0';
        /* The reference decodes it to what it stands for in the text. */
        t->token[a->id].spelling = a->pattern;
        t->token[a->id].spelling_len = (uint32_t)w.text.len;
    }
    work_free(&w);
    if (!rc)
        rc = mark_special(t, root, e);
    if (rc)
        return rc;
    rc = added_set_make(&t->raw, t->added, t->n_added, false, e);
    if (!rc)
        rc = added_set_make(&t->normalized, t->added, t->n_added, true, e);
    if (rc)
        err_prefix(e, "%s", js_name(root.doc));
    return rc;
}

/* ---- the post-processor
 * ------------------------------------------------------------------------------ */

/* What one processor puts around a text. */
struct around {
    int32_t *id;
    size_t n, n_before; /* id[0 .. n_before) in front of it */
};

static int around_add(struct tokenizer *t, struct around *a, struct js_node node, struct err *e)
{
    int64_t id = 0;
    int rc = js_int(node, 0, (int64_t)t->count - 1, &id, e);
    if (rc)
        return rc;
    if (!list_room(&a->id, a->n, sizeof *a->id))
        return out_of_memory(node, e);
    a->id[a->n++] = (int32_t)id;
    return 0;
}

/* "single": special tokens around the one sequence A. */
static int parse_template(struct tokenizer *t, struct around *a, struct js_node node, struct err *e)
{
    struct js_node list = js_get(node, "single"), special = js_get(node, "special_tokens");
    bool behind = false;
    int rc = 0;
    if (!js_is_array(list))
        return js_expected(list, "a list", e);
    for (size_t i = 0; i < js_count(list) && !rc; i++) {
        struct js_node item = js_at(list, i);
        const char *name;
        if (js_is_object(js_get(item, "Sequence"))) {
            rc = behind ? js_expected(item, "one Sequence only", e) : 0;
            a->n_before = a->n;
            behind = true;
        } else if (!(rc = js_string(js_get(js_get(item, "SpecialToken"), "id"), &name, NULL, e))) {
            struct js_node ids = js_get(js_get(special, name), "ids");
            if (!js_is_array(ids))
                return js_expected(ids, "a list of ids", e);
            for (size_t k = 0; k < js_count(ids) && !rc; k++)
                rc = around_add(t, a, js_at(ids, k), e);
        }
    }
    return rc || behind ? rc : js_expected(list, "a Sequence among them", e);
}

/* BertProcessing, RobertaProcessing: "cls" and "sep" as [token, id]. */
static int parse_cls_sep(struct tokenizer *t, struct around *a, struct js_node node, struct err *e)
{
    int rc = around_add(t, a, js_at(js_get(node, "cls"), 1), e);
    a->n_before = a->n;
    return rc ? rc : around_add(t, a, js_at(js_get(node, "sep"), 1), e);
}

/* Trims offsets, changes no ids. */
static int parse_offsets(struct tokenizer *t, struct around *a, struct js_node node, struct err *e)
{
    (void)t, (void)a, (void)node, (void)e;
    return 0;
}

static const struct {
    const char *type;
    int (*parse)(struct tokenizer *t, struct around *a, struct js_node node, struct err *e);
} processors[] = {{"ByteLevel", parse_offsets},
                  {"TemplateProcessing", parse_template},
                  {"BertProcessing", parse_cls_sep},
                  {"RobertaProcessing", parse_cls_sep}};

/* Put what is around the text so far inside what this processor adds. */
static int wrap(struct tokenizer *t, const struct around *a, struct js_node node, struct err *e)
{
    size_t n_after = a->n - a->n_before;
    int32_t *prefix = realloc(t->prefix, (t->n_prefix + a->n_before + 1) * sizeof *prefix);
    t->prefix = prefix ? prefix : t->prefix;
    int32_t *suffix = realloc(t->suffix, (t->n_suffix + n_after + 1) * sizeof *suffix);
    t->suffix = suffix ? suffix : t->suffix;
    if (!prefix || !suffix)
        return out_of_memory(node, e);
    if (!a->n)
        return 0;
    memmove(prefix + a->n_before, prefix, t->n_prefix * sizeof *prefix);
    memcpy(prefix, a->id, a->n_before * sizeof *prefix);
    memcpy(suffix + t->n_suffix, a->id + a->n_before, n_after * sizeof *suffix);
    t->n_prefix += a->n_before;
    t->n_suffix += n_after;
    return 0;
}

static int parse_post_processor(struct tokenizer *t, struct js_node node, struct err *e)
{
    const char *type;
    struct js_node list = js_get(node, "processors");
    if (!js_is_set(node))
        return 0;
    int rc = js_string(js_get(node, "type"), &type, NULL, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++) {
        struct around a = {0};
        if (strcmp(type, processors[i].type) != 0)
            continue;
        rc = processors[i].parse(t, &a, node, e);
        if (!rc)
            rc = wrap(t, &a, node, e);
        free(a.id);
        return rc;
    }
    if (strcmp(type, "Sequence") != 0)
        return js_expected(js_get(node, "type"),
                           "Sequence, ByteLevel, TemplateProcessing, BertProcessing or "
                           "RobertaProcessing",
                           e);
    if (!js_is_array(list))
        return js_expected(list, "a list", e);
    for (size_t i = 0; i < js_count(list) && !rc; i++)
        rc = parse_post_processor(t, js_at(list, i), e);
    return rc;
}

/* ---- the model
 * --------------------------------------------------------------------------------------- */

static const struct token_model models[] = {
    {"BPE", "bpe", "merges", false, false, bpe_parse, bpe_encode},
    {"WordPiece", "wordpiece", "max_input_chars_per_word", false, true, wordpiece_parse,
     wordpiece_encode},
    {"WordLevel", "wordlevel", "unk_token", false, false, wordlevel_parse, wordlevel_encode},
    {"Unigram", "unigram", "vocab", true, true, unigram_parse, unigram_encode},
};

static int find_model(struct tokenizer *t, struct js_node model, struct err *e)
{
    const char *name;
    struct js_node type = js_get(model, "type");
    int rc = js_string_or(type, NULL, &name, e);
    for (size_t i = 0; i < sizeof models / sizeof *models && !rc && !t->model; i++)
        if (name ? strcmp(name, models[i].type) == 0 : js_is_set(js_get(model, models[i].mark)))
            t->model = &models[i];
    return rc || t->model ? rc : js_expected(type, "BPE, WordPiece, WordLevel or Unigram", e);
}

/* What models have in common: the unknown token, by name, and the tokens of bytes. */
static int parse_fallbacks(struct tokenizer *t, struct js_node model, struct err *e)
{
    const char *unk;
    size_t len;
    bool bytes;
    struct js_node node = js_get(model, "unk_token");
    t->unk = -1;
    int rc = js_bool_or(js_get(model, "byte_fallback"), false, &bytes, e);
    if (!rc && js_is_set(node) && !(rc = js_string(node, &unk, &len, e)))
        t->unk = (int32_t)strmap_get(&t->by_spelling, unk, len); /* none: -1 */
    for (int i = 0; i < 256 && !rc; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        t->of_byte[i] = bytes ? (int32_t)strmap_get(&t->by_spelling, text, 6) : -1;
    }
    return rc;
}

static int parse_model(struct tokenizer *t, struct js_node root, struct js_node model,
                       struct err *e)
{
    struct js_node vocab = js_get(model, "vocab");
    int rc = find_model(t, model, e);
    if (!rc && t->model->list && !js_is_array(vocab))
        rc = js_expected(vocab, "a list of tokens and scores", e);
    if (!rc && !t->model->list && !js_is_object(vocab))
        rc = js_expected(vocab, "an object of tokens and ids", e);
    if (!rc)
        rc = build_vocab(t, root, vocab, e);
    if (!rc)
        rc = parse_fallbacks(t, model, e);
    return rc ? rc : t->model->parse(t, model, e);
}

/* ---- the whole
 * --------------------------------------------------------------------------------------- */

int tokenizer_build(struct tokenizer *t, struct js_node root, const struct tokenizer_stream *stream,
                    struct err *e)
{
    struct js_node model = js_get(root, "model");
    t->stream = stream;
    if (!js_is_object(model))
        return js_expected(model, "an object (is this a tokenizer.json?)", e);
    int rc = parse_added(t, js_get(root, "added_tokens"), e);
    if (!rc)
        rc = parse_model(t, root, model, e);
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
    t->stream = NULL;
    return rc;
}
