/* help.c - help texts and the command reference, made from the tables. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static void option_line(struct bytes *out, const struct option_info *t)
{
    char head[64];
    int n = snprintf(head, sizeof head, "%c%c%s--%s%s%s", t->letter ? '-' : ' ',
                     t->letter ? t->letter : ' ', t->letter ? ", " : "  ", t->name,
                     t->value && t->value[0] != '[' ? " " : "", t->value ? t->value : "");
    bytes_addf(out, "  %-24s", head);
    if (n > 23)
        bytes_addf(out, "\n  %-24s", "");
    bytes_addf(out, " %s", t->help);
    if ((t->kind == OPTION_INT || t->kind == OPTION_REAL) && t->fallback >= t->min &&
        t->fallback > 0)
        bytes_addf(out, " (default %g)", t->fallback);
    bytes_add_char(out, '\n');
}

void help_command(struct bytes *out, const struct command *cmd)
{
    bytes_addf(out, "usage: borescope %s %s [OPTIONS]\n%s\n\n", cmd->name, cmd->arguments,
               cmd->help);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (option_in(cmd->options, i))
            option_line(out, &option_table[i]);
}

void help_program(struct bytes *out)
{
    bytes_add_string(out, "borescope: look inside a running transformer from a terminal\n\n"
                          "usage: borescope                  (in a terminal: choose a model)\n"
                          "       borescope MODEL [PROMPT] [OPTIONS]\n"
                          "       borescope COMMAND MODEL [OPTIONS]\n\n");
    for (int i = 0; i < command_count; i++)
        bytes_addf(out, "  %-11s %s\n", command_table[i].name, command_table[i].help);
    bytes_add_string(
        out,
        "\nMODEL is a folder with config.json, a .safetensors file beside one, a .gguf file, a name in\n"
        "the local Hugging Face cache, or `teach`, the built-in model.\n"
        "`borescope COMMAND --help` lists the options of a command.\n");
}

void help_markdown(struct bytes *out)
{
    bytes_add_string(
        out,
        "# Commands and options\n\n"
        "Made by `borescope help markdown` from `tui/commands.def` and `tui/options.def`. What the commands\n"
        "print, and the fields of `--json`, stand in [headless.md](headless.md).\n");
    for (int i = 0; i < command_count; i++) {
        bytes_addf(out, "\n## %s\n\n```\n", command_table[i].name);
        help_command(out, &command_table[i]);
        bytes_add_string(out, "```\n");
    }
}
