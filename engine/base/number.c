/* number.c - see number.h. */
#include "base/number.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

/* The calling thread's locale while it is in C's. */
struct away {
    locale_t c, before;
};

static struct away enter(void)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return (struct away){c, uselocale(c)};
}

static void leave(struct away a)
{
    uselocale(a.before);
    freelocale(a.c);
}

float number_float(const char *text, char **end)
{
    struct away a = enter();
    float x = strtof(text, end);
    leave(a);
    return x;
}

double number_double(const char *text, char **end)
{
    struct away a = enter();
    double x = strtod(text, end);
    leave(a);
    return x;
}

int number_print(char *buf, size_t size, int digits, double x)
{
    struct away a = enter();
    int n = snprintf(buf, size, "%.*g", digits, x);
    leave(a);
    return n;
}
