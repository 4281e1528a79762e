#include <stdio.h>
#include "run.h"
int draw(void) { return fopen("/home/me/x", "r") != NULL; }
