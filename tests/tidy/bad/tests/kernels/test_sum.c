/* test_sum.c - not built */
int main(void) { return KN_OP_ADD; }
