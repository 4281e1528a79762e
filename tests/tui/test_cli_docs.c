/* test_cli_docs.c - the documentation says what the program does: the command reference is the one
 * the tables give, and every field of --json is explained. */
#include "command.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void is_fresh(const char *path, const char *form)
{
    size_t len;
    char *file = file_read(path, &len);
    struct result r = RUN("help", form);
    if (strcmp(file, r.out))
        fail_msg("%s is stale: borescope help %s > %s", path, form, path);
    result_free(&r);
    free(file);
}

static void the_command_reference_is_fresh(void **state)
{
    (void)state;
    is_fresh("docs/commands.md", "markdown");
    is_fresh("docs/borescope.1", "man");
}

static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = text; (p = strstr(p, word)) != NULL; p += len) {
        bool begins = p == text || !(isalnum((unsigned char)p[-1]) || p[-1] == '_');
        bool ends = !(isalnum((unsigned char)p[len]) || p[len] == '_');
        if (begins && ends)
            return true;
    }
    return false;
}

/* The part of the page about one command, from its name in backticks at a line's start to the next
 * blank line. */
static char *section(const char *page, const char *command)
{
    char mark[64];
    snprintf(mark, sizeof mark, "\n`%s`: ", command);
    const char *begin = strstr(page, mark);
    if (!begin)
        fail_msg("docs/headless.md says nothing of %s", command);
    begin += strlen(mark);
    const char *end = strstr(begin, "\n\n");
    return strndup(begin, end ? (size_t)(end - begin) : strlen(begin));
}

/* `common`: what is said of all commands. */
static void keys_are_explained(struct js_node n, const char *common, const char *part,
                               const char *command)
{
    for (size_t i = 0; js_is_array(n) && i < js_count(n) && i < 3; i++)
        keys_are_explained(js_at(n, i), common, part, command);
    if (!js_is_object(n))
        return;
    for (struct js_iter it = js_members(n); js_next(&it);) {
        if (!has_word(part, it.key) && !has_word(common, it.key))
            fail_msg("docs/headless.md does not explain \"%s\" of %s", it.key, command);
        keys_are_explained(it.value, common, part, command);
    }
}

static void every_field_is_explained(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "hooks",       "run",         "lens", "norms",   "attn",        "plan",  "info",   "check",
        "logit_attrs", "detect_head", "loss", "weights", "composition", "heads", "neurons"};
    size_t len;
    char *page = file_read("docs/headless.md", &len), *begin = strstr(page, "| field | meaning |");
    assert_non_null(begin);
    char *common = strndup(begin, (size_t)(strstr(begin, "\n\n") - begin));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *model = "tests/fixtures/models/llama"; /* grouped heads: a refused hook */
        bool info = !strcmp(commands[i], "info") || !strcmp(commands[i], "weights") ||
                    !strcmp(commands[i], "composition");
        bool edits = !strcmp(commands[i], "run") || !strcmp(commands[i], "lens");
        struct js_doc *doc = info    ? RUN_JSON(commands[i], model, "--json")
                             : edits ? RUN_JSON(commands[i], model, "--tokens", "1,2,3", "--json",
                                                "-e", "hook_embed = 0")
                                     : RUN_JSON(commands[i], model, "--tokens", "1,2,3", "--json");
        char *part = section(page, commands[i]);
        keys_are_explained(js_root(doc), common, part, commands[i]);
        free(part);
        js_close(doc);
    }
    static const char *const tokenizer = "tests/fixtures/tokenizers/gpt2/tokenizer.json";
    static const char *const of[] = {"tokens",  "tokens",  "generate", "weights", "weights",
                                     "weights", "weights", "weights",  "models",  "texts",
                                     "stats",   "eval",    "eval"};
    struct js_doc *docs[] = {
        RUN_JSON("tokens", tokenizer, "-p", "é", "--json"),
        RUN_JSON("tokens", tokenizer, "-p", "5 6", "--decode", "--json"),
        RUN_JSON("generate", "teach", "-p", "One", "-n", "2", "--json"),
        RUN_JSON("weights", "teach", "--svd", "-l", "0", "-H", "1", "--json"),
        RUN_JSON("weights", "teach", "--svd", "-l", "0", "-H", "1", "--as-tokens", "--json"),
        RUN_JSON("weights", "teach", "--target", " Mary", "-l", "0", "-H", "1", "--json"),
        RUN_JSON("weights", "teach", "--eigenvalues", "-l", "0", "-H", "1", "--json"),
        RUN_JSON("weights", "teach", "blocks.1.mlp.W_out[2:4]", "--as-tokens", "--json"),
        RUN_JSON("models", "--json"),
        RUN_JSON("texts", "teach", "README.md", "--limit", "2", "--json"),
        RUN_JSON("stats", "teach", "README.md", "--limit", "2", "-c", "hook_embed", "--json"),
        RUN_JSON("eval", "teach", "README.md", "--limit", "2", "-e", "hook_embed *= 2", "--json"),
        RUN_JSON("eval", "teach", "tests/fixtures/prompts/questions.jsonl", "--choices", "--json")};
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
        char *part = section(page, of[i]);
        keys_are_explained(js_root(docs[i]), common, part, of[i]);
        free(part);
        js_close(docs[i]);
    }
    free(common);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_command_reference_is_fresh),
        cmocka_unit_test(every_field_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
