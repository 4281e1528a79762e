/* faults_wrap.h - one function replaced by one that can be made to fail (faults.c, faults_gsl.c).
 */
#ifndef FAULTS_WRAP_H
#define FAULTS_WRAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "faults.h"

/* Count a call; true: it is to fail, and errno is `code`. */
bool fault_due(enum fault_kind kind, int code);

/* WRAP(kind, code, what a failure returns, result type, name, parameters, arguments) */
#define WRAP(kind, code, value, type, name, parameters, arguments)        \
    type __real_##name parameters;                                        \
    type __wrap_##name parameters;                                        \
    type __wrap_##name parameters                                         \
    {                                                                     \
        return fault_due(kind, code) ? (value) : __real_##name arguments; \
    }

#endif
