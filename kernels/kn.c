/* kn.c - names, sizes and views; opening a backend by name.  Tested in tests/kernels. */
#include "kn.h"
