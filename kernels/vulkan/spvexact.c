/* spvexact.c - a tool of the build: spvexact OUT.c NAME=MODULE.spv...
 *
 * Makes modules that every driver has to compute exactly as they are written, and embeds them:
 *   - every operation on floats is decorated NoContraction, so that none is fused or reassociated
 *     (Mesa joins the two parts of ln 2 in an exp: 10 ulp);
 *   - SignedZeroInfNanPreserve: a NaN, an infinity and a -0 are what they are.
 * OUT.c has the table vk_modules[] in the order of the arguments; NAME= alone is a row without a
 * module.  Numbers are SPIR-V's (its specification, 1.6).  Tested in
 * tests/kernels/test_vulkan.c. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAGIC = 0x07230203,
    HEADER = 5, /* words */
    MAX = 1 << 20,

    OP_EXTENSION = 10,
    OP_EXT_INST_IMPORT = 11,
    OP_EXT_INST = 12,
    OP_ENTRY_POINT = 15,
    OP_EXECUTION_MODE = 16,
    OP_CAPABILITY = 17,
    OP_TYPE_FIRST = 19,
    OP_TYPE_LAST = 39,
    OP_DECORATE = 71,
    OP_F_NEGATE = 127,
    OP_F_ADD = 129,
    OP_F_SUB = 131,
    OP_F_MUL = 133,
    OP_F_DIV = 136,
    OP_VECTOR_TIMES_SCALAR = 142,
    GLSL_FMA = 50,
    NO_CONTRACTION = 42,
    CAPABILITY_PRESERVE = 4466,
    MODE_PRESERVE = 4461
};

struct words {
    uint32_t *at;
    size_t n, room;
};

static void put(struct words *w, uint32_t word)
{
    if (w->n == w->room) {
        w->room = w->room ? 2 * w->room : 4096;
        w->at = realloc(w->at, w->room * sizeof *w->at);
        if (!w->at)
            exit(1);
    }
    w->at[w->n++] = word;
}

static void put_head(struct words *w, int op, int n_words)
{
    put(w, (uint32_t)n_words << 16 | (uint32_t)op);
}

static uint32_t op_of(const uint32_t *instruction)
{
    return *instruction & 0xffff;
}

static bool is_float_operation(const uint32_t *instruction)
{
    switch (op_of(instruction)) {
    case OP_F_NEGATE:
    case OP_F_ADD:
    case OP_F_SUB:
    case OP_F_MUL:
    case OP_F_DIV:
    case OP_VECTOR_TIMES_SCALAR: return true;
    case OP_EXT_INST: return instruction[4] == GLSL_FMA;
    default: return false;
    }
}

/* The instruction after one; NULL at the end, and where a module is cut short. */
static const uint32_t *next(const struct words *in, const uint32_t *instruction)
{
    size_t left = in->n - (size_t)(instruction - in->at), n = *instruction >> 16;
    return n > 0 && n < left ? instruction + n : NULL;
}

static bool has_decoration(const struct words *in, uint32_t id)
{
    for (const uint32_t *i = in->at + HEADER; i; i = next(in, i))
        if (op_of(i) == OP_DECORATE && i[1] == id && i[2] == NO_CONTRACTION)
            return true;
    return false;
}

static void put_decorations(struct words *out, const struct words *in)
{
    for (const uint32_t *i = in->at + HEADER; i; i = next(in, i))
        if (is_float_operation(i) && !has_decoration(in, i[2])) {
            put_head(out, OP_DECORATE, 3);
            put(out, i[2]);
            put(out, NO_CONTRACTION);
        }
}

static void put_extension(struct words *out)
{
    static const char NAME[24] = "SPV_KHR_float_controls";
    put_head(out, OP_EXTENSION, 1 + (int)sizeof NAME / 4);
    for (size_t i = 0; i < sizeof NAME; i += 4)
        put(out, (uint32_t)NAME[i] | (uint32_t)NAME[i + 1] << 8 | (uint32_t)NAME[i + 2] << 16 |
                     (uint32_t)NAME[i + 3] << 24);
}

/* The sections of a module have an order; each addition stands before the first instruction that
 * must follow it. */
static void make_exact(struct words *out, const struct words *in)
{
    bool extension = false, mode = false, decorations = false;
    uint32_t entry = 0;
    for (size_t i = 0; i < HEADER; i++)
        put(out, in->at[i]);
    put_head(out, OP_CAPABILITY, 2);
    put(out, CAPABILITY_PRESERVE);
    for (const uint32_t *i = in->at + HEADER; i; i = next(in, i)) {
        uint32_t op = op_of(i);
        if (op == OP_EXT_INST_IMPORT && !extension) {
            put_extension(out);
            extension = true;
        } else if (op == OP_ENTRY_POINT) {
            entry = i[2];
        } else if (op == OP_EXECUTION_MODE && !mode) {
            put_head(out, OP_EXECUTION_MODE, 4);
            put(out, entry);
            put(out, MODE_PRESERVE);
            put(out, 32);
            mode = true;
        } else if (op >= OP_TYPE_FIRST && op <= OP_TYPE_LAST && !decorations) {
            put_decorations(out, in);
            decorations = true;
        }
        for (uint32_t k = 0; k < *i >> 16; k++)
            put(out, i[k]);
    }
    if (!extension || !mode || !decorations) {
        fputs("spvexact: a module without imports, execution mode or types\n", stderr);
        exit(1);
    }
}

static struct words module_read(const char *path)
{
    struct words w = {0};
    FILE *f = fopen(path, "rb");
    uint32_t word;
    while (f && w.n < MAX && fread(&word, sizeof word, 1, f) == 1)
        put(&w, word);
    if (!f || w.n <= HEADER || w.at[0] != MAGIC) {
        fprintf(stderr, "spvexact: %s · no SPIR-V module of this machine's byte order\n", path);
        exit(1);
    }
    fclose(f);
    return w;
}

static void module_write(FILE *f, int i, const struct words *w)
{
    fprintf(f, "static const uint32_t MODULE_%d[] = {", i);
    for (size_t k = 0; k < w->n; k++)
        fprintf(f, "%s0x%x,", k % 12 ? "" : "\n", (unsigned)w->at[k]);
    fputs("};\n", f);
}

static const char *path_of(const char *argument)
{
    const char *equals = strchr(argument, '=');
    return equals ? equals + 1 : "";
}

int main(int argc, char **argv)
{
    FILE *f = argc > 2 ? fopen(argv[1], "w") : NULL;
    if (!f) {
        fputs("usage: spvexact OUT.c NAME=MODULE.spv...\n", stderr);
        return 1;
    }
    fputs("/* made by spvexact */\n#include \"vulkan/vk.h\"\n", f);
    for (int i = 2; i < argc; i++) {
        const char *path = path_of(argv[i]);
        struct words in = {0}, out = {0};
        if (*path) {
            in = module_read(path);
            make_exact(&out, &in);
            module_write(f, i - 2, &out);
        }
        free(in.at);
        free(out.at);
    }
    fputs("const struct vk_module vk_modules[] = {\n", f);
    for (int i = 2; i < argc; i++)
        if (*path_of(argv[i]))
            fprintf(f, "{\"%.*s\", MODULE_%d, sizeof MODULE_%d},\n", (int)strcspn(argv[i], "="),
                    argv[i], i - 2, i - 2);
        else
            fprintf(f, "{\"%.*s\", NULL, 0},\n", (int)strcspn(argv[i], "="), argv[i]);
    fprintf(f, "};\nconst int vk_module_count = %d;\n", argc - 2);
    return fclose(f) ? 1 : 0;
}
