/* sum.c - knows too much.  Tested in tests/kernels/test_sum.c, tests/kernels/test_nothing.c. */
#include "../engine/run.h"

#include <stdio.h>

/* printf("no call\n") */
int sum_print(int n)
{
    const char *text = "printf(";
    return printf("%s", text) + n;
}
