// Runs every kernel on the host and compares forward and backward with references in double.
#define COLA_EMULATE
#include <algorithm>
#include <tuple>

#include "attention.h"
#include "norms.h"
#include "optimizer.h"
#include "pointwise.h"

int main() {
    check_pointwise();
    check_norms();
    check_optimizer();
    check_attention();
    if (failures == 0) printf("all kernels agree with their references\n");
    return failures != 0;
}
