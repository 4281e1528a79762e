/* main.c - the program: picks the command, prints its result or its error.
 *
 * Exit status: 0; 1 the work failed or the input is bad; 2 wrong usage.  An error is one line on
 * standard error and nothing on standard output.  Tested in tests/tui/test_cli_errors.c. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "base/mapping.h"
#include "base/nearest.h"
#include "base/ranks.h"
#include "model/checkpoint.h"
#include "input/picker.h"
#include "long_work.h"
#include "term/guard.h"
#include "term/tty.h"
#include "text.h"

static int failed(const struct err *e)
{
    return e->code == ERR_USAGE ? 2 : 1;
}

static int fail(const struct err *e)
{
    cli_say(e->text);
    return failed(e);
}

/* Everything at once, and a full disk or closed pipe is noticed. */
static int print(const struct bytes *out)
{
    if (out->failed) {
        cli_say("out of memory · the result is not printed");
        return 1;
    }
    if (out->len)
        fwrite(out->data, 1, out->len, stdout);
    if (fflush(stdout) || ferror(stdout)) {
        struct err e;
        err_set(&e, ERR_SYSTEM, "standard output · %s", strerror(errno));
        return fail(&e);
    }
    return 0;
}

/* Do its arguments begin with one that may not be left out? */
static bool needs_word(const struct command *cmd)
{
    const char *end = strchr(cmd->arguments, ']');
    return cmd->words && !(cmd->arguments[0] == '[' && end && !end[1]);
}

static int run_command(const struct command *cmd, int argc, char **argv)
{
    struct options opt;
    struct cli c = {.opt = &opt};
    int status;
    bool shared = long_work_shared(cmd);
    c.silent = shared && ranks_started() > 0;
    int rc = options_parse(&opt, cmd->options, cmd->words, argc, argv, &c.err);
    opt.command = cmd;
    c.model_name = opt.model;
    if (!rc && opt.help)
        help_command(&c.out, cmd);
    else if (!rc && needs_word(cmd) && !opt.model && !opt.resume && !opt.session)
        rc = err_set(&c.err, ERR_USAGE, "%s needs more · borescope %s %s", cmd->name, cmd->name,
                     cmd->arguments);
    else if (!rc && !(shared && (rc = long_work_ranks(&c))))
        rc = cmd->run(&c);
    const char *file;
    if (!rc && c.m && c.m->files && checkpoint_changed(c.m->files, &file))
        rc = err_set(&c.err, ERR_SYSTEM,
                     "%s · %s was cut short, replaced or written to while in use · run it again",
                     c.m->name, file);
    if (!rc)
        cli_tell_places(&c);
    if (!rc && c.note[0] && !c.silent)
        cli_say(c.note);
    status = (rc && !c.show_anyway) || c.silent ? 0 : print(&c.out);
    if (rc)
        status = c.silent ? failed(&c.err) : fail(&c.err);
    ranks_close(c.ranks, &c.err);
    cli_close(&c);
    options_free(&opt);
    if (c.signal)
        raise(c.signal);
    return status;
}

/* The command that `word` was meant to be, if it is no model either. */
static const char *misspelt(const char *word)
{
    struct stat st;
    for (int i = 0; i < command_count; i++)
        if (nearest_distance(word, command_table[i].name) <= 2 && stat(word, &st))
            return command_table[i].name;
    return NULL;
}

/* Without a word on the command line, in a terminal: the list of models, then the explorer of what
 * is picked. */
static int pick_and_open(void)
{
    struct explorer_options o = {0};
    struct err e = {0};
    char *name;
    int status = picker_main(&o, &name, &e) ? fail(&e) : 0;
    if (name)
        status = run_command(command_find("explore"), 2, (char *[]){(char[]){"--"}, name});
    free(name);
    return status;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    guard_set_repair(mapping_repair);
    struct bytes out = {0};
    int status = 0;
    const char *word = argc > 1 ? argv[1] : "--help";
    const struct command *cmd = command_find(word);
    if (argc == 1 && isatty(STDIN_FILENO) && tty_is_usable()) {
        status = pick_and_open();
    } else if (cmd) {
        status = run_command(cmd, argc - 2, argv + 2);
    } else if (!strcmp(word, "--print-keymap")) {
        status = run_command(command_find("keys"), argc - 2, argv + 2);
    } else if (!strcmp(word, "--version")) {
        bytes_add_string(&out, "borescope " BORE_VERSION "\n");
        status = print(&out);
    } else if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        if (argc > 2 && !strcmp(argv[2], "markdown"))
            help_markdown(&out);
        else if (argc > 2 && !strcmp(argv[2], "man"))
            help_man(&out);
        else
            help_program(&out);
        status = print(&out);
        status = argc > 1 ? status : 2;
    } else if (word[0] != '-' && misspelt(word)) {
        struct err e;
        err_set(&e, ERR_USAGE, "no command \"%s\" · nearest: %s", word, misspelt(word));
        status = fail(&e);
    } else {
        status = run_command(command_find("explore"), argc - 1, argv + 1);
    }
    bytes_free(&out);
    return status;
}
