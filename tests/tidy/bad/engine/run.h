/* run.h - without a guard */
#define RUN_H

int run_one(int n);

/* This one is explained. */
int run_two(int n);
