/* run.c - nobody says who tests it */
#include "run.h"
#include <termios.h>

int run_two(int n)
{
	char text[8] = "gpt2"; 
    strcpy(text, "12");
    abort();
    return n + atoi(text); // FIXME issue #12
}
