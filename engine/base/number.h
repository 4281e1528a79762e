/* number.h - numbers in text as C writes them, whatever locale the host program has set.
 * Tested in tests/engine/test_edit.c and test_grad.c. */
#ifndef NUMBER_H
#define NUMBER_H

#include <stddef.h>

/* strtof and strtod with a point; *end as theirs. */
float number_float(const char *text, char **end);
double number_double(const char *text, char **end);
/* "%.*g" with a point; the length as snprintf's. */
int number_print(char *buf, size_t size, int digits, double x);

#endif
