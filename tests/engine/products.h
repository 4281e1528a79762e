/* products.h - the matrix products that the fixtures' backend makes in a test: counted from its
 * setup to its teardown, which comes also where the test fails. */
#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "fixture.h"

static struct kn_backend_type products_type;
static const struct kn_backend_type *products_right;
static int products, products_calls; /* and their calls */

static enum kn_status products_run(struct kn_backend *be, const struct kn_call *call)
{
    products += call->op == KN_OP_LINEAR    ? 1
                : call->op == KN_OP_LINEARS ? 2 + (call->in[5].ndim > 0)
                                            : 0;
    products_calls += call->op == KN_OP_LINEAR || call->op == KN_OP_LINEARS;
    return products_right->run(be, call);
}

static int products_begin(void **state)
{
    (void)state;
    products_right = fixture_backend()->type;
    products_type = *products_right;
    products_type.run = products_run;
    fixture_backend()->type = &products_type;
    products = products_calls = 0;
    return 0;
}

static int products_end(void **state)
{
    (void)state;
    fixture_backend()->type = products_right;
    return 0;
}

#define PRODUCTS_TEST(test) cmocka_unit_test_setup_teardown(test, products_begin, products_end)

#endif
