/* lesson.c - reading lessons (see lesson.h). */
#include "lesson/lesson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embed.h"

extern const struct embedded lesson_texts[]; /* made from lessons/ by embed.cmake */

const char *lesson_builtin(const char *name, size_t *len)
{
    for (const struct embedded *t = lesson_texts; t->name; t++)
        if (strcmp(t->name, name) == 0) {
            *len = t->len;
            return t->text;
        }
    return NULL;
}

const char *lesson_name(int i)
{
    return lesson_texts[i].name;
}

static void step_free(struct lesson_step *s)
{
    for (int i = 0; i < s->n_actions; i++)
        free(s->action[i].text);
    free(s->title);
    free(s->say);
    free(s->ask);
    free(s->attempt);
    free(s->right);
    free(s->wrong);
    free(s->solve);
}

void lesson_free(struct lesson *l)
{
    for (int i = 0; i < l->n; i++)
        step_free(&l->step[i]);
    free(l->step);
    free(l->title);
    free(l->about);
    free(l->model);
    *l = (struct lesson){0};
}

bool lesson_text(const char *s, void (*each)(void *, const char *, size_t, const struct fact *),
                 void *to, char why[160])
{
    while (*s) {
        size_t n = strcspn(s, "{}");
        if (n)
            each(to, s, n, NULL);
        s += n;
        if (!*s)
            break;
        struct fact f;
        size_t len = strcspn(s, "}");
        if (*s == '}' || !s[len]) {
            snprintf(why, 160, "a brace alone · {FIGURE}");
            return false;
        }
        if (!fact_read(s + 1, len - 1, &f, why))
            return false;
        each(to, NULL, 0, &f);
        s += len + 1;
    }
    return true;
}

/* ---- lines ---- */

struct reader {
    struct lesson *l;
    char why[160]; /* what is wrong with the line, "" = nothing */
    bool failed;   /* out of memory */
};

static struct lesson_step *step_of(struct reader *r)
{
    return r->l->n ? &r->l->step[r->l->n - 1] : NULL;
}

static void ignore(void *to, const char *text, size_t n, const struct fact *f)
{
    (void)to, (void)text, (void)n, (void)f;
}

/* One text to each name. */
static void set_text(struct reader *r, char **to, const char *text)
{
    if (*to)
        snprintf(r->why, sizeof r->why, "said twice");
    else if (!*text)
        snprintf(r->why, sizeof r->why, "nothing behind it");
    else if (lesson_text(text, ignore, NULL, r->why) && !(*to = strdup(text)))
        r->failed = true;
}

/* `say` lines join; an empty one ends a paragraph. */
static void add_say(struct reader *r, struct lesson_step *s, const char *text)
{
    if (!lesson_text(text, ignore, NULL, r->why))
        return;
    struct bytes b = {0};
    const char *was = s->say ? s->say : "";
    size_t n = strlen(was);
    bytes_add_string(&b, was);
    bytes_add_string(&b, !*text ? "\n" : n && was[n - 1] != '\n' ? " " : "");
    bytes_add_string(&b, text);
    r->failed |= b.failed;
    free(s->say);
    s->say = b.data;
}

static void add_action(struct reader *r, struct lesson_step *s, enum lesson_act act,
                       const char *text)
{
    const char *at = text;
    uint32_t key;
    while (act == LESSON_KEYS && *at)
        if (!keys_read_name(&at, &key)) {
            snprintf(r->why, sizeof r->why,
                     "not a key · write x, <C-x>, <Up>, <Space>, <lt> for <");
            return;
        }
    if (act == LESSON_DO && action_find(text, NULL) == ACTION_COUNT)
        snprintf(r->why, sizeof r->why, "no such command · those of the : line");
    else if (!*text != (act == LESSON_FRESH))
        snprintf(r->why, sizeof r->why, "%s", *text ? "fresh stands alone" : "nothing behind it");
    else if (s->n_actions == LESSON_ACTIONS_MAX)
        snprintf(r->why, sizeof r->why, "more than %d actions in a step", LESSON_ACTIONS_MAX);
    else if (!(s->action[s->n_actions].text = strdup(text)))
        r->failed = true;
    else
        s->action[s->n_actions++].act = act;
}

/* Outside quotes; NULL: there is none. */
static const char *find_op(const char *s)
{
    bool quoted = false;
    for (; *s; s++) {
        if (*s == '"')
            quoted = !quoted;
        else if (!quoted && strchr("<>=", *s))
            return s;
    }
    return NULL;
}

static bool read_claim(struct reader *r, const char *text, struct lesson_claim *c)
{
    const char *op = find_op(text);
    if (!op) {
        snprintf(r->why, sizeof r->why, "no <, > or = · p -1 3 \" Mary\" > 0.9");
        return false;
    }
    *c = (struct lesson_claim){.op = *op};
    if (!fact_read(text, (size_t)(op - text), &c->fact, r->why))
        return false;
    const char *value = op + 1 + strspn(op + 1, " ");
    size_t n = strlen(value);
    if (fact_type(&c->fact) == FACT_TOKEN) {
        bool quoted = n > 2 && value[0] == '"' && value[n - 1] == '"' && n - 2 < sizeof c->token;
        if (*op != '=' || !quoted) {
            snprintf(r->why, sizeof r->why, "a token is compared with = and quotes");
            return false;
        }
        memcpy(c->token, value + 1, n - 2);
        return true;
    }
    char *end;
    c->number = strtod(value, &end);
    if (end == value || *end || !isfinite(c->number)) {
        snprintf(r->why, sizeof r->why, "no number behind %c", *op);
        return false;
    }
    return true;
}

static void add_claim(struct reader *r, struct lesson_step *s, const char *text)
{
    if (s->n_claims == LESSON_CLAIMS_MAX)
        snprintf(r->why, sizeof r->why, "more than %d claims in a step", LESSON_CLAIMS_MAX);
    else if (read_claim(r, text, &s->claim[s->n_claims]))
        s->n_claims++;
}

/* FACT [within NUMBER] */
static void set_answer(struct reader *r, struct lesson_step *s, const char *text)
{
    const char *within = strstr(text, " within ");
    size_t n = within ? (size_t)(within - text) : strlen(text);
    char *end = NULL;
    s->within = within ? strtod(within + 8, &end) : 0;
    if (s->has_answer)
        snprintf(r->why, sizeof r->why, "said twice");
    else if (within && (*end || end == within + 8 || !(s->within >= 0) || !isfinite(s->within)))
        snprintf(r->why, sizeof r->why, "within what number?");
    else if (fact_read(text, n, &s->answer, r->why))
        s->has_answer = true;
}

static void begin_step(struct reader *r, const char *title, int line)
{
    struct lesson *l = r->l;
    if (l->n == LESSON_STEPS_MAX) {
        snprintf(r->why, sizeof r->why, "more than %d steps", LESSON_STEPS_MAX);
        return;
    }
    struct lesson_step *more = realloc(l->step, (size_t)(l->n + 1) * sizeof *more);
    if (!more) {
        r->failed = true;
        return;
    }
    l->step = more;
    l->step[l->n++] = (struct lesson_step){.line = line};
    set_text(r, &l->step[l->n - 1].title, title);
}

static bool step_line(struct reader *r, struct lesson_step *s, const char *word, const char *text)
{
    if (!strcmp(word, "say"))
        add_say(r, s, text);
    else if (!strcmp(word, "do"))
        add_action(r, s, LESSON_DO, text);
    else if (!strcmp(word, "fresh"))
        add_action(r, s, LESSON_FRESH, text);
    else if (!strcmp(word, "keys"))
        add_action(r, s, LESSON_KEYS, text);
    else if (!strcmp(word, "type"))
        add_action(r, s, LESSON_TYPE, text);
    else if (!strcmp(word, "claim"))
        add_claim(r, s, text);
    else if (!strcmp(word, "ask"))
        set_text(r, &s->ask, text);
    else if (!strcmp(word, "answer"))
        set_answer(r, s, text);
    else if (!strcmp(word, "try"))
        set_text(r, &s->attempt, text);
    else if (!strcmp(word, "until"))
        s->has_until = read_claim(r, text, &s->until);
    else if (!strcmp(word, "solve"))
        set_text(r, &s->solve, text);
    else if (!strcmp(word, "right"))
        set_text(r, &s->right, text);
    else if (!strcmp(word, "wrong"))
        set_text(r, &s->wrong, text);
    else
        return false;
    return true;
}

static void read_line(struct reader *r, const char *word, const char *text, int line)
{
    static const char words[] =
        "title, about, model, step, fresh, do, keys, type, say, claim, ask, answer, try, until, solve, "
        "right, wrong";
    struct lesson_step *s = step_of(r);
    if (!strcmp(word, "step"))
        begin_step(r, text, line);
    else if (!s && !strcmp(word, "title"))
        set_text(r, &r->l->title, text);
    else if (!s && !strcmp(word, "about"))
        set_text(r, &r->l->about, text);
    else if (!s && !strcmp(word, "model"))
        set_text(r, &r->l->model, text);
    else if (!s || !step_line(r, s, word, text))
        snprintf(r->why, sizeof r->why, "%s · %s",
                 s ? "no such line" : "not a line in front of the first step", words);
}

/* What no line alone can say. */
static const char *step_lacks(const struct lesson_step *s)
{
    if (!s->ask != !s->has_answer)
        return "ask and answer belong together";
    if (!s->attempt != !s->has_until || (s->solve && !s->attempt))
        return "try, until and solve belong together";
    if (s->ask && s->attempt)
        return "a step asks or lets try, not both";
    return !s->say ? "a step without say" : NULL;
}

static int check_whole(const struct lesson *l, const char *name, struct bytes *errors)
{
    int bad = 0;
    if (!l->title || !l->about || !l->model || !l->n) {
        bytes_addf(errors, "%s: a lesson has title, about, model and steps\n", name);
        bad++;
    }
    for (int i = 0; i < l->n; i++) {
        const char *lacks = step_lacks(&l->step[i]);
        if (lacks)
            bytes_addf(errors, "%s:%d: %s\n", name, l->step[i].line, lacks);
        bad += lacks != NULL;
    }
    return bad;
}

/* One line in buf, without its newline: a word and what follows it, of `type` without its quotes.
 * False: nothing in it. */
static bool split_line(char *buf, char **word, char **text)
{
    size_t n = strlen(buf);
    while (n && strchr(" \t\r", buf[n - 1]))
        buf[--n] = 0;
    *word = buf + strspn(buf, " \t");
    if (!**word || **word == '#')
        return false;
    *text = *word + strcspn(*word, " \t");
    if (**text)
        *(*text)++ = 0;
    *text += strspn(*text, " \t");
    n = strlen(*text);
    if (!strcmp(*word, "type") && n > 1 && **text == '"' && (*text)[n - 1] == '"') {
        (*text)[n - 1] = 0;
        (*text)++;
    }
    return true;
}

int lesson_parse(struct lesson *l, const char *name, const char *text, size_t len,
                 struct bytes *errors)
{
    struct reader r = {.l = l};
    int bad = 0, number = 0;
    *l = (struct lesson){0};
    if (len > LESSON_BYTES_MAX) {
        bytes_addf(errors, "%s: longer than %d bytes\n", name, LESSON_BYTES_MAX);
        return errors->failed ? -1 : 1;
    }
    for (size_t at = 0; at < len && !r.failed;) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t n = newline ? (size_t)(newline - (text + at)) : len - at;
        char *line = strndup(text + at, n), *word, *rest;
        number++;
        r.why[0] = 0;
        if (!line)
            r.failed = true;
        else if (memchr(text + at, 0, n))
            snprintf(r.why, sizeof r.why, "NUL byte");
        else if (split_line(line, &word, &rest))
            read_line(&r, word, rest, number);
        if (r.why[0]) {
            bytes_addf(errors, "%s:%d: %s\n", name, number, r.why);
            bad++;
        }
        free(line);
        at += n + 1;
    }
    bad += r.failed ? 0 : check_whole(l, name, errors);
    return r.failed || errors->failed ? -1 : bad;
}
