/* names.h - names of one tensor in several libraries, as `hooks --names` and `name` print them.
 * Tested in tests/tui/test_cli_names.c. */
#ifndef NAMES_H
#define NAMES_H

#include "names/alias.h"
#include "cli.h"

/* --names as bits 1 << enum alias_library: all, or one library's; 0 = not given. */
int names_libraries(struct cli *c, unsigned *out);
/* {"bridge": [...], "hf": [...], ...} */
void names_json(const struct config *cfg, struct json_out *j, const struct alias_value *v,
                unsigned libraries);
/* The name of an expert's tensor as that of experts first..last: "mlp.experts.{0..127}.hook_pre",
 * which the edit language and --filter take too. */
char *names_experts(const char *name, int32_t first, int32_t last, char buf[LIMIT_NAME]);

#endif
