#include "tools/precision_option.h"

const char *const precision_words[] = {"fp32", "bf16", NULL};
