/* man.c - the manual page, made from the tables of commands, options and actions and the built-in
 * key map.
 *
 * Tested in tests/tui/test_cli_docs.c: docs/borescope.1 is what this writes. */
#include <stdio.h>
#include <string.h>

#include "action.h"
#include "cli.h"
#include "input/keymap.h"

/* Text as troff takes it: hyphens that are typed, no line that looks like a request. */
static void add_text(struct bytes *out, const char *s)
{
    if (*s == '.' || *s == '\'')
        bytes_add_string(out, "\\&");
    for (; *s; s++) {
        if (*s == '\\')
            bytes_add_string(out, "\\e");
        else if (*s == '-')
            bytes_add_string(out, "\\-");
        else
            bytes_add_char(out, *s);
        if (*s == '\n' && (s[1] == '.' || s[1] == '\''))
            bytes_add_string(out, "\\&");
    }
}

/* One tagged paragraph: a bold word, an argument in italics, its explanation. */
static void add_item(struct bytes *out, const char *word, const char *argument, const char *help)
{
    bytes_add_string(out, ".TP\n\\fB");
    add_text(out, word);
    bytes_add_string(out, "\\fR");
    if (argument && *argument) {
        bytes_add_string(out, " \\fI");
        add_text(out, argument);
        bytes_add_string(out, "\\fR");
    }
    bytes_add_char(out, '\n');
    add_text(out, help);
    bytes_add_char(out, '\n');
}

static void add_commands(struct bytes *out)
{
    bytes_add_string(
        out,
        ".SH COMMANDS\nWhat each prints, and its options, are told by \\fBborescope\\fR \\fICOMMAND\\fR "
        "\\fB\\-\\-help\\fR.\n");
    for (int i = 0; i < command_count; i++)
        add_item(out, command_table[i].name, command_table[i].arguments, command_table[i].help);
}

static void add_options(struct bytes *out)
{
    bytes_add_string(out, ".SH OPTIONS\nNot every command takes all of them.\n");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_info *t = &option_table[i];
        char word[80], help[512];
        snprintf(word, sizeof word, "%s%c%s--%s", t->letter ? "-" : "", t->letter ? t->letter : ' ',
                 t->letter ? ", " : "", t->name);
        bool number = (t->kind == OPTION_INT || t->kind == OPTION_REAL) && t->fallback >= t->min &&
                      t->fallback > 0;
        if (number)
            snprintf(help, sizeof help, "%s (default %g)", t->help, t->fallback);
        add_item(out, word + (t->letter ? 0 : 1), t->value, number ? help : t->help);
    }
}

/* The default keys as their file has them: comments are headings there, so they stay. */
static void add_keys(struct bytes *out)
{
    size_t len;
    const char *text = keymap_builtin("default", &len);
    bytes_add_string(
        out,
        ".SH KEYS\nThe default key map; \\fBborescope keys\\fR prints the one in force.\n.PP\n.nf\n");
    struct bytes all = {0};
    bytes_add(&all, text, len);
    bytes_add_char(&all, '\0');
    if (!all.failed)
        add_text(out, all.data);
    bytes_free(&all);
    bytes_add_string(out, ".fi\n");
}

void help_man(struct bytes *out)
{
    bytes_add_string(
        out,
        ".\\\" Made by `borescope help man`.\n.TH BORESCOPE 1 \"\" \"borescope " BORE_VERSION
        "\" \"User Commands\"\n"
        ".SH NAME\nborescope \\- look inside a running transformer from a terminal\n"
        ".SH SYNOPSIS\n.B borescope\n\\fIMODEL\\fR [\\fIPROMPT\\fR] [\\fIOPTIONS\\fR]\n.br\n.B borescope\n"
        "\\fICOMMAND\\fR \\fIMODEL\\fR [\\fIOPTIONS\\fR]\n"
        ".SH DESCRIPTION\nThe first form is the explorer: every token at every layer, attention as pictures, every\n"
        "hook point under the name that TransformerLens gives it. A key changes what is under the cursor and the\n"
        "model is rerun. The others print the same numbers.\n.PP\n"
        "Alone in a terminal it lists the models that are here, and opens the one that is picked.\n.PP\n"
        "\\fIMODEL\\fR is a folder with config.json, a .safetensors file beside one, a .gguf file, a name in the local\n"
        "Hugging Face cache, or \\fBteach\\fR, the built\\-in model.\n");
    add_commands(out);
    add_options(out);
    bytes_add_string(out,
                     ".SH IN THE EXPLORER\nCommands for the \\fB:\\fR line and for key maps.\n");
    for (int i = 0; i < ACTION_COUNT; i++)
        add_item(out, action_table[i].name, action_table[i].usage, action_table[i].help);
    add_keys(out);
    bytes_add_string(
        out,
        ".SH FILES\n.TP\n$XDG_CONFIG_HOME/borescope/keys\nkeys of one's own; ~/.config when the variable is not set\n"
        ".SH ENVIRONMENT\n.TP\n.BR HF_HOME \", \" HF_HUB_CACHE\nwhere the Hugging Face cache is\n"
        ".TP\n.BR HF_TOKEN \", \" HF_ENDPOINT \", \" HF_HUB_OFFLINE\nfor \\fBborescope pull\\fR, as for the hub's own client\n"
        ".TP\n.BR TERM \", \" COLORTERM \", \" NO_COLOR\nwhat the terminal can do, and whether colours are wanted\n"
        ".SH EXIT STATUS\n0; 1 if the work failed or the input is bad; 2 for wrong usage. An error is one line on standard error.\n");
}
