/* lesson_fact.c - figures by name (see lesson_fact.h). */
#include "lesson/lesson_fact.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "names/alias.h"

/* ---- reading ---- */

/* What stands behind a fact's name: P position, S source, L layer, C column of the lens (emb or a
 * layer), H head, K kind of score, T token, N hook. */
static const struct {
    const char *name, *args, *usage;
    enum fact_type type;
} table[FACT_COUNT] = {{"delta", "", "delta", FACT_NUMBER},
                       {"kl", "", "kl", FACT_NUMBER},
                       {"top", "PC", "top POS LAYER", FACT_TOKEN},
                       {"p", "PCT", "p POS LAYER \"TOKEN\"", FACT_NUMBER},
                       {"rank", "PCT", "rank POS LAYER \"TOKEN\"", FACT_NUMBER},
                       {"norm", "PN", "norm POS HOOK", FACT_NUMBER},
                       {"source", "LHP", "source LAYER HEAD POS", FACT_POSITION},
                       {"weight", "LHPS", "weight LAYER HEAD POS SRC", FACT_NUMBER},
                       {"score", "KLH", "score KIND LAYER HEAD", FACT_NUMBER},
                       {"head", "KL", "head KIND LAYER", FACT_INDEX},
                       {"edits", "", "edits", FACT_NUMBER}};

static const struct {
    const char *name;
    size_t offset; /* of its float in struct lens_head */
} scores[] = {{"previous", offsetof(struct lens_head, previous)},
              {"duplicate", offsetof(struct lens_head, duplicate)},
              {"induction", offsetof(struct lens_head, induction)},
              {"first", offsetof(struct lens_head, first)},
              {"self", offsetof(struct lens_head, self)},
              {"entropy", offsetof(struct lens_head, entropy)}};

enum fact_type fact_type(const struct fact *f)
{
    return table[f->kind].type;
}

/* The next word, or quoted text without its quotes; false at the end. */
static bool next_word(const char **s, const char *end, const char **word, size_t *n, bool *quoted)
{
    while (*s < end && **s == ' ')
        (*s)++;
    if (*s == end)
        return false;
    *quoted = **s == '"';
    *word = *s + *quoted;
    const char *stop = *word;
    while (stop < end && *stop != (*quoted ? '"' : ' '))
        stop++;
    *n = (size_t)(stop - *word);
    if (*quoted && stop == end)
        return false;
    *s = stop + *quoted;
    return true;
}

static bool is_word(const char *word, size_t n, const char *what)
{
    return strlen(what) == n && memcmp(word, what, n) == 0;
}

static bool read_int(const char *word, size_t n, int32_t least, int32_t *out)
{
    char buf[12], *end;
    if (!n || n >= sizeof buf)
        return false;
    memcpy(buf, word, n);
    buf[n] = 0;
    long v = strtol(buf, &end, 10);
    if (end != buf + n || isspace((unsigned char)buf[0]) || v < least || v > 1000000)
        return false;
    *out = (int32_t)v;
    return true;
}

static bool read_score(const char *word, size_t n, int32_t *out)
{
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++)
        if (is_word(word, n, scores[i].name)) {
            *out = (int32_t)i;
            return true;
        }
    return false;
}

static bool read_argument(char what, const char *word, size_t n, bool quoted, struct fact *f)
{
    if (quoted != (what == 'T'))
        return false;
    switch (what) {
    case 'P': return read_int(word, n, -1000000, &f->pos);
    case 'S': return read_int(word, n, -1000000, &f->src);
    case 'L': return read_int(word, n, 0, &f->layer);
    case 'H': return read_int(word, n, 0, &f->head);
    case 'C':
        f->layer = FACT_EMBEDDING;
        return is_word(word, n, "emb") || read_int(word, n, 0, &f->layer);
    case 'K': return read_score(word, n, &f->score);
    default: /* a token or a hook */
        if (!n || n >= sizeof f->text)
            return false;
        memcpy(f->text, word, n);
        f->text[n] = 0;
        return true;
    }
}

static bool refuse(char why[160], const char *what, const char *usage)
{
    snprintf(why, 160, "%s · %s", what, usage);
    return false;
}

bool fact_read(const char *text, size_t len, struct fact *out, char why[160])
{
    static const char names[] = "delta, kl, top, p, rank, norm, source, weight, score, head, edits";
    struct fact f = {.score = -1};
    const char *s = text, *end = text + len, *word = NULL;
    size_t n = 0;
    bool quoted = false, there = next_word(&s, end, &word, &n, &quoted);
    if (there && !quoted && is_word(word, n, "base")) {
        f.base = true;
        there = next_word(&s, end, &word, &n, &quoted);
    }
    int kind = 0;
    while (there && !quoted && kind < FACT_COUNT && !is_word(word, n, table[kind].name))
        kind++;
    if (!there || quoted || kind == FACT_COUNT)
        return refuse(why, "no such figure", names);
    f.kind = (enum fact_kind)kind;
    for (const char *what = table[kind].args; *what; what++)
        if (!next_word(&s, end, &word, &n, &quoted) || !read_argument(*what, word, n, quoted, &f))
            return refuse(why, "not a figure", table[kind].usage);
    while (s < end && *s == ' ')
        s++;
    if (s != end)
        return refuse(why, "more than a figure", table[kind].usage);
    *out = f;
    return true;
}

/* ---- values ---- */

static int32_t row_of(const struct app *a, int32_t pos)
{
    return pos < 0 ? a->n + pos : pos;
}

/* Of all the model's heads, or of what it has: false where there is no such place. */
static bool fits(const struct app *a, const struct fact *f)
{
    const char *args = table[f->kind].args;
    const struct config *cfg = &a->m->cfg;
    int32_t row = row_of(a, f->pos), src = row_of(a, f->src);
    return (!strchr(args, 'P') || (row >= 0 && row < a->n)) &&
           (!strchr(args, 'S') || (src >= 0 && src < a->n)) &&
           (!strpbrk(args, "LC") || f->layer < cfg->n_layers) &&
           (!strchr(args, 'H') || f->head < cfg->n_heads) && (!strchr(args, 'C') || !cfg->headless);
}

/* The token as it stands, else with the space in front that words have. */
static int32_t token_of(const struct app *a, const char *text)
{
    char spaced[FACT_TEXT_MAX + 1];
    int32_t id = tokenizer_find(a->m->tok, text, strlen(text));
    int n = snprintf(spaced, sizeof spaced, " %s", text);
    return id >= 0 ? id : tokenizer_find(a->m->tok, spaced, (size_t)n);
}

/* What a fact is read from; false: nothing of a run, or not in this model. */
static bool want_of(const struct app *a, const struct fact *f, struct want *w)
{
    if (!fits(a, f))
        return false;
    int32_t row = row_of(a, f->pos);
    struct alias_value v;
    struct err e;
    switch (f->kind) {
    case FACT_DELTA: *w = app_pair_want(a); return a->pair[0] >= 0 && a->pair[1] >= 0;
    case FACT_KL: *w = app_kl_want(a); return true;
    case FACT_TOP:
    case FACT_P:
    case FACT_RANK:
        *w = want_make(WANT_CELL, run_lens_site(a->m, f->layer + 1), row, row + 1);
        w->id[0] = f->kind == FACT_TOP ? -1 : token_of(a, f->text);
        return f->kind == FACT_TOP || w->id[0] >= 0;
    case FACT_NORM:
        if (alias_find(&a->m->cfg, f->text, &v, &e) < 0)
            return false;
        *w = want_make(WANT_NORM, v.site[0], row, row + 1);
        return true;
    case FACT_SOURCE:
    case FACT_WEIGHT:
        *w = want_make(WANT_VALUES, (struct site_ref){SITE_PATTERN, f->layer}, row, row + 1);
        w->head0 = f->head;
        w->head1 = f->head + 1;
        return true;
    case FACT_SCORE:
    case FACT_HEAD:
        *w = want_whole(WANT_HEADS, (struct site_ref){SITE_PATTERN, f->layer});
        return true;
    default: return false;
    }
}

void fact_want(const struct app *a, const struct fact *f, struct want_list *l)
{
    struct want w;
    if (want_of(a, f, &w))
        want_add(l, w);
}

static int32_t largest(const float *v, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (v[i] > v[best] || isnan(v[best]))
            best = i;
    return best;
}

static float score_of(const struct lens_head *h, int32_t score)
{
    float v;
    memcpy(&v, (const char *)h + scores[score].offset, sizeof v);
    return v;
}

static int32_t best_head(const struct lens_head *h, int32_t n, int32_t score)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (score_of(&h[i], score) > score_of(&h[best], score) || isnan(score_of(&h[best], score)))
            best = i;
    return best;
}

static double read_value(const struct app *a, const struct fact *f, const void *data)
{
    const struct want_cell *cell = data;
    const float *v = data;
    switch (f->kind) {
    case FACT_DELTA: return (double)v[0] - (double)v[1];
    case FACT_KL: return *(const double *)data;
    case FACT_TOP: return cell->top.id;
    case FACT_P: return exp((double)cell->cell.target_logit - (double)cell->cell.lse);
    case FACT_RANK: return cell->cell.target_rank;
    case FACT_NORM: return (double)v[0];
    case FACT_SOURCE: return largest(v, a->n);
    case FACT_WEIGHT: return (double)v[row_of(a, f->src)];
    case FACT_SCORE: return (double)score_of((const struct lens_head *)data + f->head, f->score);
    case FACT_HEAD: return best_head(data, a->m->cfg.n_heads, f->score);
    default: return NAN;
    }
}

bool fact_value(const struct app *a, const struct fact *f, struct fact_value *out)
{
    struct want w;
    out->type = fact_type(f);
    if (f->kind == FACT_EDITS) {
        out->number = edit_list_count_on(&a->edits);
        return true;
    }
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    if (!s || stale || !want_of(a, f, &w))
        return false;
    const void *data = snapshot_at(s, s->edited && !f->base ? FACE_EDITED : FACE_BASE, &w, w.row0);
    if (data)
        out->number = read_value(a, f, data);
    return data != NULL;
}

/* ---- shown and typed ---- */

void fact_add(const struct app *a, const struct fact *f, struct bytes *out)
{
    struct fact_value v;
    char n[NUMBER_BYTES];
    size_t len;
    if (!fact_value(a, f, &v)) {
        bytes_add_string(out, "…");
        return;
    }
    switch (v.type) {
    case FACT_TOKEN:
        bytes_add_char(out, '"');
        draw_add_token(a, (int32_t)v.number, out);
        bytes_add_char(out, '"');
        break;
    case FACT_POSITION: {
        const char *text = model_input_text(a->m, a->tokens[(int32_t)v.number], &len);
        bytes_addf(out, "%d \"", (int)v.number);
        text_add(out, text, len, TEXT_TOKEN);
        bytes_add_char(out, '"');
        break;
    }
    case FACT_INDEX: bytes_addf(out, "L%dH%d", (int)f->layer, (int)v.number); break;
    default: {
        bool whole = f->kind == FACT_RANK || f->kind == FACT_EDITS;
        bool small = f->kind == FACT_P || f->kind == FACT_WEIGHT || f->kind == FACT_SCORE;
        bytes_add_string(out, number_fit(n, v.number, 10,
                                         whole   ? 0
                                         : small ? 3
                                                 : 2,
                                         NUMBER_LEFT | (f->kind == FACT_DELTA ? NUMBER_SIGN : 0)));
    }
    }
}

/* A token as people type it: without quotes and the leading space. */
static bool same_token(const char *text, size_t len, const char *typed, size_t n)
{
    if (n > 1 && typed[0] == '"' && typed[n - 1] == '"') {
        typed++;
        n -= 2;
    }
    while (n && *typed == ' ')
        typed++, n--;
    while (len && *text == ' ')
        text++, len--;
    return len == n && memcmp(text, typed, n) == 0;
}

/* "3", "H3" or "L1H3". */
static bool same_head(const struct fact *f, const char *typed, long head)
{
    char *end;
    long layer = f->layer;
    if (*typed == 'L' || *typed == 'l') {
        layer = strtol(typed + 1, &end, 10);
        if (end == typed + 1 || (*end != 'H' && *end != 'h' && *end != '.'))
            return false;
        typed = end + 1;
    } else if (*typed == 'H' || *typed == 'h') {
        typed++;
    }
    long h = strtol(typed, &end, 10);
    return end != typed && !*end && h == head && layer == f->layer;
}

bool fact_matches(const struct app *a, const struct fact *f, const char *typed, double within)
{
    struct fact_value v;
    size_t n, len;
    char *end, buf[FACT_TEXT_MAX];
    typed += strspn(typed, " ");
    n = strlen(typed);
    while (n && typed[n - 1] == ' ')
        n--;
    if (!n || n >= sizeof buf || !fact_value(a, f, &v))
        return false;
    memcpy(buf, typed, n);
    buf[n] = 0;
    const char *minus = "−"; /* as the program itself writes it */
    if (strncmp(buf, minus, strlen(minus)) == 0) {
        memmove(buf + 1, buf + strlen(minus), n + 1 - strlen(minus));
        buf[0] = '-';
    }
    double number = strtod(buf, &end);
    bool numeric = end != buf && !*end;
    const char *text;
    switch (v.type) {
    case FACT_NUMBER: return numeric && fabs(number - v.number) <= within;
    case FACT_INDEX: return same_head(f, buf, (long)v.number);
    case FACT_POSITION:
        text = model_input_text(a->m, a->tokens[(int32_t)v.number], &len);
        return numeric ? number == v.number || number == v.number - a->n
                       : same_token(text, len, buf, strlen(buf));
    case FACT_TOKEN:
        text = tokenizer_text(a->m->tok, (int32_t)v.number, &len);
        return same_token(text, len, buf, strlen(buf));
    }
    return false;
}
