/* command.h - test support: running the program and reading what it printed. */
#ifndef COMMAND_H
#define COMMAND_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

struct result {
    int status;      /* exit status; -1 = a signal */
    char *out, *err; /* NUL-terminated besides the lengths */
    size_t out_len, err_len;
};

/* borescope with these arguments (NULL ends them) and `input` (may be NULL) on standard input. */
struct result command_run(const char *input, const char *const *args);
#define RUN(...) command_run(NULL, (const char *const[]){__VA_ARGS__, NULL})
void result_free(struct result *r);
/* The command (args[0] is its name), killed `ms` after it has written `part` anew, or has begun
 * where that is NULL; ms < 0: not killed.  Did it end by itself?  Its output goes to `out`. */
bool command_killed(const char *const *args, const char *out, const char *part, long ms);
/* `args` behind the command's name, killed at random and gone on with by --resume (a file in
 * `folder`), print what a run that nothing disturbed prints; BORE_KILLS: more than the few of every
 * day. */
void command_killed_prints(const char *const *args, int n_args, const char *folder, uint32_t seed);

/* It succeeded and printed one JSON document, which is returned (js_close); the result is freed. */
struct js_doc *command_json(const char *const *args);
#define RUN_JSON(...) command_json((const char *const[]){__VA_ARGS__, NULL})

/* It failed with this status: nothing on stdout, one line on stderr that begins with "borescope: ",
 * holds no control character and contains `part`. */
void assert_refused(struct result r, int status, const char *part);
/* No C0 (but newline and tab), DEL, C1 or broken UTF-8. */
void assert_printable(const char *text, size_t len);

/* Values of a JSON document that must be there. */
const char *json_string(struct js_node n, const char *key);
int64_t json_int(struct js_node n, const char *key);
double json_number(struct js_node n, const char *key);
bool json_bool(struct js_node n, const char *key);
double json_number_at(struct js_node array, size_t i);
const char *json_string_at(struct js_node array, size_t i);

/* Every fixture model: its reference values, its folder, and its prompt as --tokens takes it. */
struct fixture;
void on_every_model(void (*test)(const struct fixture *f, const char *path,
                                 const char *const input[2]));

/* A new folder for one test's files, removed with all in it by folder_remove. */
char *folder_make(void);
void folder_remove(char *folder);
/* "folder/name", malloc'ed. */
char *folder_path(const char *folder, const char *name);
/* All bytes of a file. */
char *file_read(const char *path, size_t *len);

#endif
