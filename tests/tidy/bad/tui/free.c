/* free.c - view 6: may include what it likes; excepted in one point.  Tested in tests/kernels. */
#include "run.h"
#include "draw.h"
#include <termios.h>

int free_run(char *a) { return system(a ? a : "the edits view (7)"); }
