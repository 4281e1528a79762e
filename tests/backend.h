/* backend.h - the backend that a test runs on: the cpu, or what the environment names, so that the
 * whole suite can be run on another one (BORE_TEST_BACKEND=fence:cpu).  The program never looks at
 * that. */
#ifndef TEST_BACKEND_H
#define TEST_BACKEND_H

#include <stdlib.h>

static inline const char *test_backend(void)
{
    const char *name = getenv("BORE_TEST_BACKEND");
    return name && *name ? name : "cpu";
}

#endif
