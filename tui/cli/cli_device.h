/* cli_device.h - where a command computes, and what it tells of that.
 *
 * Tested in tests/tui/test_cli_devices.c. */
#ifndef CLI_DEVICE_H
#define CLI_DEVICE_H

#include "cli.h"
#include "run/cpu_choice.h"

/* Open c->be and c->m and decide which layers are computed where, which is told in a terminal
 * before a weight is on its way, elsewhere beside the result (cli_tell_places): a model that does
 * not fit has as many of its last layers there as fit and the others on the cpu, or as many as
 * --gpu-layers says, or is refused with the numbers.
 */
int cli_open_device(struct cli *c);

/* The instruction set by --cpu, else by BORESCOPE_CPU, else auto; ERR_USAGE. */
int cli_cpu(struct cli *c, struct cpu_choice *cpu);

/* One device of a plan: "cuda:0 NAME · layers 12-31 of 32 · weights 4.8 MB, ..." */
void cli_part_text(const struct placement *p, int i, char *text, size_t size);
/* The same as members of an object. */
void cli_json_part(struct json_out *j, const struct placement *p, int i);

#endif
