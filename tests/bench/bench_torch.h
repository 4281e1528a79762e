/* bench_torch.h - PyTorch with TransformerLens, as one process that is asked: peer.py.
 *
 * BORESCOPE_PYTHON names the interpreter; without it, or without its packages, every answer is
 * absent, and why. */
#ifndef BENCH_TORCH_H
#define BENCH_TORCH_H

#include <stdbool.h>

enum { TORCH_ANSWER = 512 };

/* Start it on a model's folder. */
void torch_start(const char *folder);
/* Why there are no answers; "" where there are. */
const char *torch_why(void);
/* The answer to a task; false: torch_why says why there is none. */
bool torch_ask(char answer[TORCH_ANSWER], const char *task);
/* Milliseconds of the task `TASK n`; 0 where there is no answer. */
double torch_time(const char *task, int n);
void torch_end(void);

#endif
