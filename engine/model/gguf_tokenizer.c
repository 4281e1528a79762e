/* gguf_tokenizer.c - the tokenizer inside a GGUF file, by the tokenizer.json that Hugging Face has
 * for such a model (gguf_parts.h); vocabulary and merges, its long members, as a stream.
 *
 * Three kinds.  "gpt2": byte-level BPE, cut by the pattern that tokenizer.ggml.pre names.  "llama":
 * SentencePiece, as merges in the order of the tokens' scores.  "bert": WordPiece, whose tokens
 * begin a word where they begin with U+2581.
 *
 * Where transformers' own reader and the tokenizer that the model was published with differ, the
 * published one is meant: digits one by one for "smollm" and its like, NFC for "qwen2", whole words
 * before merges for Llama 3, a space in front also of a text that begins with one, tokens of spaces
 * that are matched whole. */
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/strmap.h"
#include "model/gguf_parts.h"
#include "token/tokenizer.h"
#include "token/tokenizer_stream.h"

/* As tokenizer.ggml.token_type numbers them. */
enum token_type { TYPE_NONE, TYPE_NORMAL, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER };

struct piece {
    const char *text; /* not NUL-terminated */
    size_t len;
    enum token_type type;
    bool respelled; /* text is our own memory */
    bool first;     /* no piece before it has its text */
};

struct kind;

struct making {
    const struct gguf *g;
    const struct kind *kind;
    const struct gguf_arch *arch;
    struct piece *piece;
    size_t n;
    struct strmap by_text; /* piece -> id */
    int64_t bos, eos, unk; /* -1: none */
    bool add_bos, add_eos;
    json_t *out;
    struct tokenizer_stream stream;
};

static int no_memory(const struct making *m, struct err *e)
{
    return err_memory(e, "%s, its tokenizer", gguf_file(m->g));
}

/* Takes value, as it comes from jansson. */
static int put(const struct making *m, json_t *object, const char *name, json_t *value,
               struct err *e)
{
    return json_object_set_new(object, name, value) ? no_memory(m, e) : 0;
}

static int append(const struct making *m, json_t *list, json_t *value, struct err *e)
{
    return json_array_append_new(list, value) ? no_memory(m, e) : 0;
}

static bool is_utf8(const char *s, size_t len)
{
    utf8proc_int32_t c;
    for (utf8proc_ssize_t n; len; s += n, len -= (size_t)n)
        if ((n = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, &c)) <= 0)
            return false;
    return true;
}

/* ---- the vocabulary ---- */

/* What a token of such a vocabulary is in tokenizer.json, where that is spelled otherwise. */
static int spell(struct making *m, struct piece *p, struct err *e);

/* Where each will stand is asked for some pieces ahead: memory takes its time. */
static void index_pieces(struct making *m)
{
    enum { AHEAD = 8 };
    for (size_t i = 0; i < m->n + AHEAD; i++) {
        if (i < m->n)
            (void)strmap_hash(&m->by_text, m->piece[i].text, m->piece[i].len);
        if (i < AHEAD)
            continue;
        struct piece *p = &m->piece[i - AHEAD];
        p->first = strmap_put(&m->by_text, p->text, p->len, (uint32_t)(i - AHEAD)) == i - AHEAD;
    }
}

static int read_pieces(struct making *m, struct err *e)
{
    const struct gguf_value *tokens, *types = NULL;
    const char *const key = "tokenizer.ggml.tokens";
    int rc = gguf_list(m->g, key, GGUF_STRING, &tokens, e);
    if (rc < 0 || gguf_list(m->g, "tokenizer.ggml.token_type", GGUF_I32, &types, e) < 0)
        return err_code(e);
    if (!rc || tokens->n > LIMIT_VOCAB || (types && types->n != tokens->n))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · key \"%s\" · expected at most %d tokens with as many types, found "
                       "%" PRIu64 " and %" PRIu64,
                       gguf_file(m->g), key, LIMIT_VOCAB, rc ? tokens->n : 0, types ? types->n : 0);
    m->piece = calloc((size_t)tokens->n + 1, sizeof *m->piece);
    if (!m->piece || strmap_init(&m->by_text, (size_t)tokens->n))
        return no_memory(m, e);
    const unsigned char *at = tokens->at;
    rc = 0;
    for (; m->n < tokens->n && !rc; m->n++) {
        struct piece *p = &m->piece[m->n];
        p->text = gguf_next_string(&at, &p->len);
        int32_t type = types ? gguf_list_i32(types, m->n) : TYPE_NORMAL;
        p->type = type > 0 && type <= TYPE_USER ? (enum token_type)type : TYPE_NONE;
        if (!is_utf8(p->text, p->len))
            return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · token %zu is not UTF-8",
                           gguf_file(m->g), key, m->n);
        rc = spell(m, p, e);
    }
    if (!rc)
        index_pieces(m);
    return rc;
}

/* Of a token that is there twice the first id. */
static int stream_tokens(struct making *m, struct err *e)
{
    struct tokenizer_stream *s = &m->stream;
    if (!(s->token = malloc((m->n + 1) * sizeof *s->token)))
        return no_memory(m, e);
    for (size_t i = 0; i < m->n; i++) {
        const struct piece *p = &m->piece[i];
        if (p->first)
            s->token[s->n_tokens++] = (struct stream_token){p->text, (uint32_t)p->len, (int32_t)i};
    }
    s->dense = s->n_tokens == m->n;
    return 0;
}

/* Tokens that are matched in the text before all else. */
static json_t *added(const struct making *m)
{
    json_t *all = json_array();
    for (size_t i = 0; i < m->n; i++) {
        const struct piece *p = &m->piece[i];
        if (p->type == TYPE_NORMAL || p->type == TYPE_NONE || p->respelled || !p->len || !p->first)
            continue;
        json_t *one = json_pack("{s:I,s:o,s:b,s:b}", "id", (json_int_t)i, "content",
                                json_stringn_nocheck(p->text, p->len), "special",
                                (int)(p->type != TYPE_USER), "normalized", 0);
        if (json_array_append_new(all, one)) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *piece_string(const struct making *m, int64_t id)
{
    return json_stringn_nocheck(m->piece[id].text, m->piece[id].len);
}

/* ---- what stands around a text ---- */

static int put_special(const struct making *m, json_t *single, json_t *special, int64_t id,
                       struct err *e)
{
    json_t *name = piece_string(m, id);
    json_t *about = json_pack("{s:O,s:[I],s:[O]}", "id", name, "ids", (json_int_t)id, "tokens",
                              name);
    int rc = name ? put(m, special, json_string_value(name), about, e) : no_memory(m, e);
    if (!name)
        json_decref(about);
    if (!rc)
        rc = append(m, single, json_pack("{s:{s:O,s:i}}", "SpecialToken", "id", name, "type_id", 0),
                    e);
    json_decref(name);
    return rc;
}

static int put_around(const struct making *m, struct err *e)
{
    bool before = m->add_bos && m->bos >= 0, after = m->add_eos && m->eos >= 0;
    if (!before && !after)
        return 0;
    json_t *single = json_array(), *special = json_object();
    int rc = before ? put_special(m, single, special, m->bos, e) : 0;
    if (!rc)
        rc = append(m, single, json_pack("{s:{s:s,s:i}}", "Sequence", "id", "A", "type_id", 0), e);
    if (!rc && after)
        rc = put_special(m, single, special, m->eos, e);
    if (!rc)
        rc = put(m, m->out, "post_processor",
                 json_pack("{s:s,s:O,s:O}", "type", "TemplateProcessing", "single", single,
                           "special_tokens", special),
                 e);
    json_decref(single);
    json_decref(special);
    return rc;
}

/* ---- byte-level BPE ---- */

#define SHORT_WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define REST_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LETTERS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define LOWER(end)                                                                                  \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" end \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" end
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define SENTENCE \
    " ?[^(\\s|.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c)]+"

/* How the text is cut: names as tokenizer.ggml.pre has them, between spaces; patterns one after the
 * other. */
static const struct pre {
    const char *names, *split[3];
    bool whole_first; /* a word that is a token is not merged from its parts */
    bool nfc;
} pres[] = {
    {" gpt-2 default phi-2 mpt jais trillion modern-bert granite-docling ", {GPT2}, false, false},
    {" olmo gptneox ", {GPT2}, false, true},
    {" llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 ",
     {SHORT_WORDS LETTERS "|\\p{N}{1,3}" REST},
     true,
     false},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", {SHORT_WORDS LETTERS "|\\p{N}{1,3}" REST}, false, false},
    {" qwen2 deepseek-r1-qwen megrez ", {SHORT_WORDS LETTERS "|\\p{N}" REST}, false, true},
    {" stablelm2 hunyuan ", {SHORT_WORDS LETTERS "|\\p{N}" REST}, false, false},
    {" starcoder refact command-r smollm codeshell exaone minerva-7b ",
     {"\\p{N}", GPT2},
     false,
     false},
    {" tekken ", {LOWER("") "|\\p{N}" REST_SLASH}, true, false},
    {" gpt-4o llama4 kanana2 ", {LOWER(SHORT_WORDS "?") "|\\p{N}{1,3}" REST_SLASH}, false, false},
    {" falcon ", {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}, false, false},
    {" bloom poro-chat gpt3-finnish ", {SENTENCE}, false, false},
    {" viking ", {SENTENCE, "\\p{N}"}, false, false},
};

enum { PRES = sizeof pres / sizeof *pres };

static int find_pre(const struct making *m, const struct pre **out, struct err *e)
{
    const char *name = "default", *const key = "tokenizer.ggml.pre";
    size_t len = strlen(name);
    char wanted[64];
    if (gguf_string(m->g, key, &name, &len, e) < 0)
        return err_code(e);
    snprintf(wanted, sizeof wanted, " %.*s ", (int)(len < 60 ? len : 60), name);
    for (int i = 0; i < PRES; i++)
        if (len < 60 && !memchr(name, ' ', len) && strstr(pres[i].names, wanted)) {
            *out = &pres[i];
            return 0;
        }
    char known[400] = "";
    for (int i = 0; i < PRES; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%.*s",
                 (int)strlen(pres[i].names) - 1, pres[i].names);
    return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" ·%sis not supported · supported:%s",
                   gguf_file(m->g), key, wanted, known);
}

static json_t *cutting(const struct pre *pre)
{
    json_t *steps = json_array();
    for (int i = 0; i < 3 && pre->split[i]; i++)
        json_array_append_new(steps, json_pack("{s:s,s:{s:s},s:s}", "type", "Split", "pattern",
                                               "Regex", pre->split[i], "behavior", "Isolated"));
    json_array_append_new(steps, json_pack("{s:s,s:b,s:b}", "type", "ByteLevel", "add_prefix_space",
                                           0, "use_regex", 0));
    return json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", steps);
}

/* As the file lists them. */
static int put_merges(struct making *m, struct err *e)
{
    const struct gguf_value *list;
    const char *const key = "tokenizer.ggml.merges";
    struct tokenizer_stream *s = &m->stream;
    int rc = gguf_list(m->g, key, GGUF_STRING, &list, e);
    if (rc < 0)
        return rc;
    if (!rc || list->n > LIMIT_JSON_VALUES)
        return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · expected a list of at most %d merges",
                       gguf_file(m->g), key, LIMIT_JSON_VALUES);
    if (!(s->merge = malloc(((size_t)list->n + 1) * sizeof *s->merge)))
        return no_memory(m, e);
    const unsigned char *at = list->at;
    for (; s->n_merges < list->n; s->n_merges++) {
        size_t len;
        const char *text = gguf_next_string(&at, &len), *space = memchr(text, ' ', len);
        size_t left = space ? (size_t)(space - text) : 0, right = len - left - 1;
        if (!space || memchr(space + 1, ' ', right) || !is_utf8(text, len))
            return err_set(e, ERR_BAD_INPUT,
                           "%s · key \"%s\" · merge %zu is not two tokens in UTF-8 with a space "
                           "between them",
                           gguf_file(m->g), key, s->n_merges);
        s->merge[s->n_merges] = (struct stream_merge){.side = {text, space + 1},
                                                      .len = {(uint32_t)left, (uint32_t)right}};
    }
    return 0;
}

static int make_byte_level(struct making *m, json_t *model, struct err *e)
{
    const struct pre *pre;
    int rc = find_pre(m, &pre, e);
    if (rc)
        return rc;
    m->add_bos = m->add_bos || pre->whole_first;
    if ((rc = put_merges(m, e)) ||
        (rc = put(m, model, "ignore_merges", json_boolean(pre->whole_first), e)) ||
        (rc = put(m, m->out, "pre_tokenizer", cutting(pre), e)) ||
        (pre->nfc && (rc = put(m, m->out, "normalizer", json_pack("{s:s}", "type", "NFC"), e))))
        return rc;
    return put(m, m->out, "decoder", json_pack("{s:s}", "type", "ByteLevel"), e);
}

/* ---- SentencePiece ---- */

/* Merges in the order of the scores of what they make. */
static int put_scored_merges(struct making *m, struct err *e)
{
    const struct gguf_value *scores = NULL;
    const char *const key = "tokenizer.ggml.scores";
    int rc = m->arch->by_place ? 1 : gguf_list(m->g, key, GGUF_F32, &scores, e);
    if (rc < 0)
        return rc;
    if (!m->arch->by_place && (!rc || scores->n != m->n))
        return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · expected %zu scores, found %" PRIu64,
                       gguf_file(m->g), key, m->n, rc ? scores->n : 0);
    return gguf_scored_merges(&m->stream, &m->by_text, scores, gguf_file(m->g), e);
}

static int make_sentencepiece(struct making *m, json_t *model, struct err *e)
{
    static const char mark[] = "\xe2\x96\x81";
    bool prefix = true;
    int rc = gguf_bool(m->g, "tokenizer.ggml.add_space_prefix", &prefix, e);
    if (rc < 0)
        return rc;
    json_t *spaces = json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern", "String", " ",
                               "content", mark);
    if (prefix)
        spaces = json_pack("{s:s,s:[{s:s,s:s},o]}", "type", "Sequence", "normalizers", "type",
                           "Prepend", "prepend", mark, spaces);
    json_t *text = json_pack("[{s:s,s:{s:s},s:s},{s:s},{s:s}]", "type", "Replace", "pattern",
                             "String", mark, "content", " ", "type", "ByteFallback", "type",
                             "Fuse");
    if (prefix)
        json_array_append_new(text, json_pack("{s:s,s:s,s:i,s:i}", "type", "Strip", "content", " ",
                                              "start", 1, "stop", 0));
    if ((rc = put(m, m->out, "normalizer", spaces, e)) ||
        (rc = put(m, m->out, "decoder",
                  json_pack("{s:s,s:o}", "type", "Sequence", "decoders", text), e)) ||
        (rc = put(m, model, "byte_fallback", json_true(), e)) ||
        (rc = put(m, model, "fuse_unk", json_true(), e)))
        return rc;
    return gguf_find(m->g, "tokenizer.ggml.merges") ? put_merges(m, e) : put_scored_merges(m, e);
}

/* Gemma's tokens of spaces stand in the file as they are in texts, not as in the vocabulary. */
static int spell_spaces(struct making *m, struct piece *p, struct err *e)
{
    static const char mark[] = "\xe2\x96\x81"; /* U+2581 */
    for (size_t i = 0; i < p->len; i++)
        if (p->text[i] != ' ' || !m->arch->by_place)
            return 0;
    char *text = malloc(3 * p->len + 1);
    if (!text)
        return no_memory(m, e);
    for (size_t i = 0; i < p->len; i++)
        memcpy(text + 3 * i, mark, 3);
    p->text = text;
    p->len *= 3;
    p->respelled = true;
    return 0;
}

/* ---- WordPiece ---- */

/* Tokens that begin a word have U+2581 in front, others nothing; here others have "##". */
static int spell_wordpiece(struct making *m, struct piece *p, struct err *e)
{
    if (p->type == TYPE_CONTROL || p->type == TYPE_UNKNOWN)
        return 0;
    if (p->len >= 3 && memcmp(p->text, "\xe2\x96\x81", 3) == 0) {
        p->text += 3;
        p->len -= 3;
        return 0;
    }
    char *text = malloc(p->len + 2);
    if (!text)
        return no_memory(m, e);
    memcpy(text, "##", 2);
    memcpy(text + 2, p->text, p->len);
    p->text = text;
    p->len += 2;
    p->respelled = true;
    return 0;
}

static int make_wordpiece(struct making *m, json_t *model, struct err *e)
{
    bool lower = true;
    int64_t last = (int64_t)m->n - 1;
    if (gguf_bool(m->g, "tokenizer.ggml.normalizer.lowercase", &lower, e) < 0 ||
        gguf_int(m->g, "tokenizer.ggml.cls_token_id", 0, last, &m->bos, e) < 0 ||
        gguf_int(m->g, "tokenizer.ggml.seperator_token_id", 0, last, &m->eos, e) < 0)
        return err_code(e);
    m->add_eos = true;
    int rc = put(m, m->out, "normalizer",
                 json_pack("{s:s,s:b}", "type", "BertNormalizer", "lowercase", (int)lower), e);
    if (!rc)
        rc = put(m, m->out, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"), e);
    if (!rc)
        rc = put(m, m->out, "decoder",
                 json_pack("{s:s,s:s,s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1), e);
    if (!rc)
        rc = put(m, model, "continuing_subword_prefix", json_string("##"), e);
    return rc ? rc : put(m, model, "max_input_chars_per_word", json_integer(100), e);
}

/* ---- the whole ---- */

static const struct kind {
    const char *name, *model;
    bool add_bos; /* where the file does not say */
    int (*spell)(struct making *m, struct piece *p, struct err *e);
    int (*make)(struct making *m, json_t *model, struct err *e);
} kinds[] = {
    {"gpt2", "BPE", false, NULL, make_byte_level},
    {"llama", "BPE", true, spell_spaces, make_sentencepiece},
    {"bert", "WordPiece", true, spell_wordpiece, make_wordpiece},
};

static int spell(struct making *m, struct piece *p, struct err *e)
{
    return m->kind->spell ? m->kind->spell(m, p, e) : 0;
}

/* NULL: there is none, or *e. */
static const struct kind *find_kind(const struct gguf *g, struct err *e)
{
    const char *name = "", *const key = "tokenizer.ggml.model";
    size_t len = 0;
    if (gguf_string(g, key, &name, &len, e) < 0)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].name) == len && memcmp(kinds[i].name, name, len) == 0)
            return &kinds[i];
    err_set(e, ERR_BAD_INPUT,
            "%s · key \"%s\" · \"%.*s\" is not supported · supported: gpt2, llama, bert",
            gguf_file(g), key, (int)(len < 60 ? len : 60), name);
    return NULL;
}

bool gguf_has_tokenizer(const struct gguf *g)
{
    const char *name = "";
    size_t len = 0;
    return gguf_string(g, "tokenizer.ggml.model", &name, &len, NULL) != 0 &&
           !(len == 4 && memcmp(name, "none", 4) == 0);
}

static int read_ids(struct making *m, struct err *e)
{
    int64_t last = (int64_t)m->n - 1;
    m->bos = m->eos = m->unk = -1;
    return gguf_int(m->g, "tokenizer.ggml.bos_token_id", 0, last, &m->bos, e) < 0 ||
                   gguf_int(m->g, "tokenizer.ggml.eos_token_id", 0, last, &m->eos, e) < 0 ||
                   gguf_int(m->g, "tokenizer.ggml.unknown_token_id", 0, last, &m->unk, e) < 0
               ? err_code(e)
               : 0;
}

static int make(struct making *m, struct err *e)
{
    int rc = read_pieces(m, e);
    if (rc || (rc = read_ids(m, e)))
        return rc;
    json_t *model = json_pack("{s:s}", "type", m->kind->model);
    if ((rc = put(m, m->out, "model", model, e)) ||
        (rc = put(m, model, "vocab", json_object(), e)) ||
        (rc = put(m, model, "merges", json_array(), e)) || (rc = stream_tokens(m, e)) ||
        (m->unk >= 0 && (rc = put(m, model, "unk_token", piece_string(m, m->unk), e))) ||
        (rc = put(m, m->out, "added_tokens", added(m), e)) || (rc = m->kind->make(m, model, e)))
        return rc;
    if (gguf_bool(m->g, "tokenizer.ggml.add_bos_token", &m->add_bos, e) < 0 ||
        gguf_bool(m->g, "tokenizer.ggml.add_eos_token", &m->add_eos, e) < 0)
        return err_code(e);
    return put_around(m, e);
}

struct tokenizer *gguf_tokenizer(const struct gguf *g, struct err *e)
{
    const struct kind *kind = find_kind(g, e);
    struct making m = {.g = g, .kind = kind, .arch = kind ? gguf_arch_of(g, e) : NULL};
    if (!m.arch)
        return NULL;
    m.add_bos = kind->add_bos;
    m.out = json_object();
    int rc = m.out ? make(&m, e) : no_memory(&m, e);
    struct js_doc *doc = rc ? NULL : js_take(gguf_file(g), m.out, e);
    struct tokenizer *t = doc ? tokenizer_from(doc, &m.stream, e) : NULL;
    if (rc)
        json_decref(m.out);
    for (size_t i = 0; i < m.n; i++)
        if (m.piece[i].respelled)
            free((char *)(uintptr_t)m.piece[i].text);
    free(m.piece);
    strmap_free(&m.by_text);
    tokenizer_stream_free(&m.stream);
    return t;
}
