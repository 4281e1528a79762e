/* info.c - `borescope info`: what kind of model this is. */
#include <stdio.h>
#include <string.h>

#include "model/arch.h"
#include "cli_device.h"
#include "long_work.h"
#include "model/hub.h"
#include "model/process.h"
#include "text.h"

/* One fact, in both forms.  `text` NULL: a number (or null where it is negative). */
struct fact {
    const char *key, *text;
    int64_t number;
};

static void json_facts(struct json_out *j, const struct fact *f, int n)
{
    for (int i = 0; i < n; i++) {
        json_out_key(j, f[i].key);
        if (f[i].text)
            json_out_string(j, f[i].text);
        else if (f[i].number < 0)
            json_out_null(j);
        else
            json_out_int(j, f[i].number);
    }
}

static void plain_facts(struct bytes *out, const struct fact *f, int n)
{
    for (int i = 0; i < n; i++) {
        bytes_addf(out, "%-18s ", f[i].key);
        if (f[i].text)
            text_add(out, f[i].text, strlen(f[i].text), TEXT_PLAIN);
        else if (f[i].number < 0)
            bytes_add_string(out, "none");
        else
            bytes_addf(out, "%lld", (long long)f[i].number);
        bytes_add_char(out, '\n');
    }
}

static const char *const positions[] = {
    [POS_LEARNED] = "learned", [POS_ROTARY] = "rotary", [POS_ALIBI] = "alibi"};

static const char *act_name(enum kn_act act)
{
    static const char *const names[KN_ACT_COUNT] = {
        [KN_ACT_NONE] = "none", [KN_ACT_GELU] = "gelu", [KN_ACT_GELU_NEW] = "gelu_new",
        [KN_ACT_RELU] = "relu", [KN_ACT_SILU] = "silu", [KN_ACT_QUICK_GELU] = "quick_gelu"};
    return names[act];
}

/* Is there anything to compute with?  A folder with a config alone is still a model shape. */
static int has_weights(struct cli *c, bool *out)
{
    struct hub_model h;
    int rc = hub_resolve(c->model_name, &h, &c->err);
    if (rc)
        return rc;
    *out = h.weights[0] != '\0';
    return 0;
}

/* NULL: the model takes none. */
static const char *image_text(const struct config *g, char *buf, size_t size)
{
    if (!g->patch_size)
        return NULL;
    snprintf(buf, size, "%d x %d x %d, patches of %d x %d", g->image_size, g->image_size,
             g->n_channels, g->patch_size, g->patch_size);
    return buf;
}

/* The plan of memory, a line a device. */
static void plain_places(struct cli *c)
{
    char line[256];
    for (int i = 0; i < c->place.n; i++) {
        cli_part_text(&c->place, i, line, sizeof line);
        bytes_addf(&c->out, "%-18s ", i ? "" : "memory_plan");
        text_add(&c->out, line, strlen(line), TEXT_PLAIN);
        bytes_add_char(&c->out, '\n');
    }
}

static void json_places(const struct cli *c, struct json_out *j)
{
    json_out_array(json_out_key(j, "memory_plan"));
    for (int i = 0; i < c->place.n; i++) {
        json_out_object(j);
        cli_json_part(j, &c->place, i);
        json_out_close(j);
    }
    json_out_close(j);
}

int cli_info(struct cli *c)
{
    bool weights;
    int rc = has_weights(c, &weights);
    rc = rc ? rc : cli_model(c, weights);
    if (rc)
        return rc;
    const struct config *g = &c->m->cfg;
    struct site_ref first = run_lens_site(c->m, 0);
    char lens[LIMIT_NAME], process[PROCESS_TEXT_MAX], note[160], skipped[160], image[80],
        rope[ROPE_TEXT_MAX], rope_local[ROPE_TEXT_MAX], backends[160];
    kn_built(backends, sizeof backends);
    bool rotary = g->pos == POS_ROTARY, local = rotary && g->rope_by_window, moe = g->n_moe > 0;
    const struct fact facts[] = {
        {"model", c->m->name, 0},
        {"architecture", g->arch->model_type, 0},
        {"layers", NULL, g->n_layers},
        {"heads", NULL, g->n_heads},
        {"kv_heads", NULL, g->n_kv_heads},
        {"d_model", NULL, g->d_model},
        {"d_head", NULL, g->d_head},
        {"d_mlp", NULL, config_dense(g, -1) ? g->d_mlp : -1},
        {"experts", NULL, moe ? g->n_experts : -1},
        {"experts_per_token", NULL, moe ? g->n_active : -1},
        {"expert_layers", NULL, moe ? g->n_moe : -1},
        {"d_expert", NULL, moe ? g->d_expert : -1},
        {"d_vocab", NULL, g->d_vocab},
        {"context", NULL, g->n_ctx},
        {"image", image_text(g, image, sizeof image), -1},
        {"window", NULL, g->window ? g->window : -1},
        {"positions", positions[g->pos], 0},
        {"rotary_dims", NULL, g->pos == POS_ROTARY ? g->n_rot : -1},
        {"rope_scaling", g->pos == POS_ROTARY ? rope_scaling_name(g->rope.scaling) : "none", 0},
        {"rope_numbers", rotary ? rope_text(&g->rope, rope) : NULL, -1},
        {"rope_local", local ? rope_text(&g->rope_local, rope_local) : NULL, -1},
        {"norm", g->norm_center ? "layer norm" : "rms norm", 0},
        {"activation", act_name(g->act), 0},
        {"mlp", g->gated ? "gated" : "plain", 0},
        {"residual", g->parallel ? "parallel" : "sequential", 0},
        {"unembedding", g->tied ? "tied" : "own", 0},
        {"lens_start", site_name(first, lens), 0},
        {"tokenizer", tokenizer_kind(c->m->tok), 0},
        {"vocabulary", NULL, tokenizer_count(c->m->tok)},
        {"vocabulary_note", model_vocabulary_note(c->m, note, sizeof note), -1},
        {"skipped", model_skipped_note(c->m, skipped, sizeof skipped), -1},
        {"bos_id", NULL, g->bos_id},
        {"bos_default", g->prepend_bos && g->bos_id >= 0 ? "prepended" : "not prepended", 0},
        {"eos_id", NULL, g->eos_id},
        {"dtype", weights ? c->m->dtype : "no weights here", 0},
        {"parameters", NULL, weights ? (int64_t)c->m->params : -1},
        {"active_parameters", NULL, weights ? (int64_t)c->m->active : -1},
        {"weight_bytes", NULL, weights ? (int64_t)c->m->bytes : -1},
        {"copied_bytes", NULL, weights ? (int64_t)c->m->copied : -1},
        {"processing", process_text(c->m->process, process, sizeof process), 0},
        {"backends", backends, 0},
        {"ranks", long_work_mpi(), 0},
        {"backend", c->be ? c->be->describe : "none opened", 0},
    };
    int n = sizeof facts / sizeof *facts;
    if (!c->opt->json) {
        plain_facts(&c->out, facts, n);
        plain_places(c);
        return 0;
    }
    struct json_out j;
    json_out_begin(&j, &c->out);
    json_out_object(&j);
    json_facts(&j, facts, n);
    json_places(c, &j);
    return cli_json_end(c, &j);
}
