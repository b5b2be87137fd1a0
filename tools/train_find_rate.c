#include "tools/train_find_rate.h"

#include <stdio.h>

#include "libdistill/find_rate.h"

#define ROWS_A_DECADE 4

static void print_curve(const struct pare_rate_curve *curve)
{
    const struct pare_rate_point *p = curve->points;
    printf("%10s %10s %10s\n", "rate", "loss", "smoothed");
    for (size_t i = 0; i < curve->n; i++)
        if (i % (PARE_RATE_DECADE / ROWS_A_DECADE) == 0 || i + 1 == curve->n)
            printf("%10.1e %10.4f %10.4f\n", p[i].rate, p[i].loss, p[i].smooth);
    if (curve->n < PARE_RATE_POINTS)
        printf("beyond %.1e the loss runs away\n", p[curve->n - 1].rate);
    if (curve->suggested == 0) {
        printf("no rate made the loss fall: nothing to suggest\n");
        return;
    }
    printf("the smoothed loss falls fastest at %.1e and is least at %.1e\n",
           p[curve->steepest].rate, p[curve->least].rate);
    printf("suggested: --lr %.1e (a tenth of the rate with the least loss)\n",
           curve->suggested);
}

enum pare_status train_find_rate_check(const struct pare_cli *cli,
                                       const struct train_options *o,
                                       struct pare_error *err)
{
    if (!o->find_lr && !cli->output)
        return pare_fail(err, PARE_ERR_USAGE, "missing option: -o FILE");
    if (o->find_lr && o->resume)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--find-lr begins anew each time: leave --resume out");
    return PARE_OK;
}

enum pare_status train_find_rate(struct pare_cli *cli, struct pare_params *params,
                                 const struct pare_examples *train,
                                 const struct pare_train_options *options,
                                 struct pare_error *err)
{
    struct pare_rate_curve curve;
    PARE_TRY(pare_find_rate(params, train, options, &cli->progress, &curve, err));
    print_curve(&curve);
    return PARE_OK;
}
