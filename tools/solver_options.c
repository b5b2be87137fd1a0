#include "tools/solver_options.h"

const char *const solver_names[] = {"rtn", "gptq", NULL};
const char *const solver_orders[] = {"off", "groups", "all", NULL};

struct solver_options solver_options_default(void)
{
    return (struct solver_options){
        .solver = -1, .order = PARE_ORDER_GROUPS, .damping = PARE_DAMPING};
}

enum pare_status solver_options_check(const struct solver_options *o, int calibrated,
                                      enum solver *solver, struct pare_error *err)
{
    const struct solver_options none = solver_options_default();
    *solver = o->solver >= 0 ? (enum solver)o->solver
              : calibrated   ? SOLVER_GPTQ
                             : SOLVER_RTN;
    if (*solver == SOLVER_GPTQ && !calibrated)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--solver gptq needs text: --calibration FILE");
    if (*solver == SOLVER_RTN && calibrated)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--solver rtn has no use for --calibration");
    if (*solver == SOLVER_RTN && (o->order != none.order || o->sequential ||
                                  o->damping < none.damping || o->damping > none.damping))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--act-order, --damping and --sequential are for --solver gptq");
    return PARE_OK;
}

int solver_options_history(const struct solver_options *o, cJSON *json)
{
    return cJSON_AddStringToObject(json, "solver", solver_names[SOLVER_GPTQ]) &&
           cJSON_AddStringToObject(json, "act_order", solver_orders[o->order]) &&
           cJSON_AddNumberToObject(json, "damping", o->damping) &&
           (!o->sequential || cJSON_AddTrueToObject(json, "sequential"));
}
