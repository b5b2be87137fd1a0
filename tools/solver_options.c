#include "tools/solver_options.h"

#include "libquant/gptq.h"

const char *const solver_names[] = {"rtn", "weighted", "gptq", NULL};
const char *const solver_orders[] = {"auto", "off", "groups", "all", NULL};

struct solver_options solver_options_default(void)
{
    return (struct solver_options){.solver = -1,
                                   .passes = PARE_GPTQ_PASSES,
                                   .damping = PARE_DAMPING,
                                   .correct = 0.25};
}

static int differ(double a, double b)
{
    return a < b || a > b;
}

enum pare_status solver_options_check(const struct solver_options *o, int calibrated,
                                      int inputs, enum solver *solver,
                                      struct pare_error *err)
{
    const struct solver_options none = solver_options_default();
    *solver = o->solver >= 0 ? (enum solver)o->solver
              : calibrated   ? SOLVER_GPTQ
                             : SOLVER_RTN;
    if (*solver != SOLVER_RTN && !calibrated)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--solver %s needs text: --calibration FILE",
                         solver_names[*solver]);
    if (*solver == SOLVER_RTN && calibrated && !inputs)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--solver rtn has no use for --calibration");
    if (*solver != SOLVER_GPTQ &&
        (o->order != none.order || o->passes != none.passes || o->sequential ||
         differ(o->damping, none.damping) || differ(o->correct, none.correct)))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--act-order, --passes, --damping, --correct and --sequential "
                         "are for --solver gptq");
    return PARE_OK;
}

double solver_options_correction(const struct solver_options *o)
{
    return o->solver >= 0 && o->solver != SOLVER_GPTQ ? 0 : o->correct;
}

int solver_options_history(const struct solver_options *o, cJSON *json)
{
    if (o->solver >= 0 && o->solver != SOLVER_GPTQ)
        return cJSON_AddStringToObject(json, "solver", solver_names[o->solver]) != NULL;
    return cJSON_AddStringToObject(json, "solver", solver_names[SOLVER_GPTQ]) &&
           cJSON_AddStringToObject(json, "act_order", solver_orders[o->order]) &&
           cJSON_AddNumberToObject(json, "passes", o->passes) &&
           cJSON_AddNumberToObject(json, "damping", o->damping) &&
           (o->correct <= 0 || cJSON_AddNumberToObject(json, "correct", o->correct)) &&
           (!o->sequential || cJSON_AddTrueToObject(json, "sequential"));
}
