/* plan.c - `borescope plan`: the forward pass as the list of steps that the engine runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char *operand_name(struct operand o)
{
    switch (o.kind) {
    case OPERAND_NONE: return "";
    case OPERAND_SITE:
    case OPERAND_FLAT:
    case OPERAND_ALL:
    case OPERAND_PREV:
    case OPERAND_ROOT:
    case OPERAND_REPEAT: return site_table[o.id].name;
    case OPERAND_EXPERT:
    case OPERAND_WEIGHT: return weight_table[o.id].name;
    case OPERAND_TOKENS: return "tokens";
    case OPERAND_POSITIONS: return "positions";
    case OPERAND_TYPES: return "types";
    case OPERAND_PATCHES: return "patches";
    case OPERAND_COS: return "cos";
    case OPERAND_SIN: return "sin";
    }
    return "";
}

/* "hook_q, hook_k*": * = all rows, ^ = the previous stage's. */
static void operands(const struct step *s, char *buf, size_t size)
{
    size_t n = 0;
    *buf = '\0';
    for (int i = 0; i < KN_IN_MAX && n < size; i++) {
        if (s->in[i].kind == OPERAND_NONE)
            continue;
        const char *mark = s->in[i].kind == OPERAND_ALL    ? "*"
                           : s->in[i].kind == OPERAND_PREV ? "^"
                                                           : "";
        n += (size_t)snprintf(buf + n, size - n, "%s%s%s", n ? ", " : "", operand_name(s->in[i]),
                              mark);
    }
}

static const char *when_word(enum step_when w)
{
    return w == STEP_ALWAYS ? "always" : w == STEP_IF_WANTED ? "on request" : "if edited";
}

/* Floats that a site holds for the prompt. */
static double site_floats(const struct cli *c, enum site_id id)
{
    return (double)site_row_size(&c->m->cfg, id, c->n) * c->n;
}

/* What a whole plan adds up to. */
struct total {
    double flops, bytes, kept;
    int64_t calls; /* where nobody looks in between */
};

/* The calls of a stage (plan.h), a number for each of its steps; the caller frees them.  NULL:
 * memory is out. */
static int32_t *stage_calls(const struct cli *c, int32_t stage)
{
    int32_t n;
    const struct step *s = plan_stage(c->m->plan, stage, &n);
    int32_t *call = calloc((size_t)n + 1, sizeof *call);
    if (call)
        plan_calls(s, n, call);
    return call;
}

static bool is_kept(const struct cli *c, enum site_id id)
{
    return c->m->plan->carried[id];
}

static void stage_total(const struct cli *c, int32_t stage, struct total *t)
{
    int32_t n;
    const struct step *s = plan_stage(c->m->plan, stage, &n);
    t->calls += plan_calls(s, n, NULL);
    for (int32_t i = 0; i < n; i++) {
        if (s[i].when != STEP_ALWAYS)
            continue;
        t->flops += plan_step_flops(c->m->plan, &s[i], c->n);
        if (s[i].in_place)
            continue;
        t->bytes += 4 * site_floats(c, s[i].site);
        t->kept += is_kept(c, s[i].site) ? 4 * site_floats(c, s[i].site) : 0;
    }
}

static void json_step(const struct cli *c, struct json_out *j, const struct step *steps, int32_t i,
                      int32_t stage, int32_t call)
{
    const struct step *s = &steps[i];
    char name[LIMIT_NAME];
    struct site_ref site = {s->site,
                            site_table[s->site].scope == SCOPE_BLOCK ? stage - 1 : SITE_ROOT};
    json_out_object(j);
    json_out_int(json_out_key(j, "stage"), stage);
    json_out_string(json_out_key(j, "op"), kn_op_name(s->op));
    json_out_string(json_out_key(j, "site"), site_name(site, name));
    json_out_array(json_out_key(j, "reads"));
    for (int k = 0; k < KN_IN_MAX; k++)
        if (s->in[k].kind != OPERAND_NONE)
            json_out_string(j, operand_name(s->in[k]));
    json_out_close(j);
    json_out_string(json_out_key(j, "when"), when_word(s->when));
    if (call < 0)
        json_out_null(json_out_key(j, "call"));
    else
        json_out_int(json_out_key(j, "call"), call);
    json_out_bool(json_out_key(j, "written"), !plan_unwritten(steps, i));
    json_out_double(json_out_key(j, "flops"), plan_step_flops(c->m->plan, s, c->n));
    json_out_close(j);
}

static int json_plan(struct cli *c, const struct total *t)
{
    struct json_out j;
    json_out_begin(&j, &c->out);
    json_out_object(&j);
    json_out_string(json_out_key(&j, "model"), c->m->name);
    json_out_int(json_out_key(&j, "positions"), c->n);
    json_out_double(json_out_key(&j, "flops"), t->flops);
    json_out_double(json_out_key(&j, "site_bytes"), t->bytes);
    json_out_double(json_out_key(&j, "kept_bytes"), t->kept);
    json_out_int(json_out_key(&j, "calls"), t->calls);
    json_out_array(json_out_key(&j, "steps"));
    bool whole = true;
    for (int32_t stage = 0; whole && stage < plan_stages(c->m->plan); stage++) {
        int32_t n, *call = stage_calls(c, stage);
        const struct step *s = plan_stage(c->m->plan, stage, &n);
        whole = call;
        for (int32_t i = 0; whole && i < n; i++)
            json_step(c, &j, s, i, stage, call[i]);
        free(call);
    }
    return whole ? cli_json_end(c, &j) : cli_memory(c);
}

/* false: memory is out */
static bool table_stage(struct cli *c, struct table *t, int32_t stage, const char *label,
                        double flops)
{
    int32_t n, *call = stage_calls(c, stage);
    char reads[256], number[16];
    const struct step *s = plan_stage(c->m->plan, stage, &n);
    for (int32_t i = 0; call && i < n; i++) {
        double f = plan_step_flops(c->m->plan, &s[i], c->n);
        operands(&s[i], reads, sizeof reads);
        table_string(t, label);
        table_string(t, site_table[s[i].site].name);
        table_string(t, kn_op_name(s[i].op));
        table_string(t, reads);
        table_string(t, when_word(s[i].when));
        const char *mark = plan_unwritten(s, i) ? "~" : "";
        if (call[i] < 0)
            snprintf(number, sizeof number, "%s", mark);
        else
            snprintf(number, sizeof number, "%d%s", (int)call[i], mark);
        table_string(t, number);
        table_number(t, (float)(f * 1e-6));
        table_number(t, (float)(flops > 0 ? 100 * f / flops : 0));
    }
    bool whole = call;
    free(call);
    return whole;
}

/* "block 0", "blocks 1..5, 7" for the layers with the steps of one stage; false: an earlier one has
 * named them. */
static bool blocks_label(const struct cli *c, int32_t stage, char *buf, size_t size)
{
    int32_t n, last = plan_stages(c->m->plan) - 1, count = 0;
    const struct step *own = plan_stage(c->m->plan, stage, &n);
    char list[80] = "";
    for (int32_t s = 1, end; s < last; s = end) {
        for (end = s; end < last && plan_stage(c->m->plan, end, &n) == own;)
            end++;
        if (end > s && s < stage)
            return false;
        size_t at = strlen(list);
        if (end > s)
            snprintf(list + at, sizeof list - at, end - s > 1 ? "%s%d..%d" : "%s%d", at ? ", " : "",
                     (int)s - 1, (int)end - 2);
        count += end - s;
        end += end == s;
    }
    snprintf(buf, size, "block%s %s", count > 1 ? "s" : "", list);
    return true;
}

int cli_plan(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_TEXT("stage"),      COLUMN_TEXT("writes"),
                                                  COLUMN_TEXT("op"),         COLUMN_TEXT("reads"),
                                                  COLUMN_TEXT("when"),       COLUMN_TEXT("call"),
                                                  COLUMN_NUMBER("Mflop", 3), COLUMN_NUMBER("%", 2)};
    int rc = cli_open(c, CLI_SHAPE);
    if (rc)
        return rc;
    c->n = c->n ? c->n : 1;
    struct total total = {0};
    int32_t stages = plan_stages(c->m->plan);
    for (int32_t s = 0; s < stages; s++)
        stage_total(c, s, &total);
    if (c->opt->json)
        return json_plan(c, &total);
    if (!c->opt->tsv)
        bytes_addf(
            &c->out,
            "# %d positions: %.4g Mflop; all sites %.4g MB, of which always kept %.4g MB; "
            "* all rows, ^ the stage before; shares are of one block\n"
            "# %lld calls where nobody looks in between: steps with the same number are one; "
            "~ lies nowhere then, and makes calls of their own where it is kept, edited or "
            "called back\n",
            (int)c->n, total.flops * 1e-6, total.bytes * 1e-6, total.kept * 1e-6,
            (long long)total.calls);
    struct table *t = table_new(columns, 8);
    char label[96];
    bool whole = t && table_stage(c, t, 0, "embed", total.flops);
    for (int32_t s = 1; whole && s < stages - 1; s++)
        if (blocks_label(c, s, label, sizeof label))
            whole = table_stage(c, t, s, label, total.flops);
    whole = whole && table_stage(c, t, stages - 1, "final", total.flops);
    if (whole)
        return cli_table(c, t);
    table_free(t);
    return cli_memory(c);
}
