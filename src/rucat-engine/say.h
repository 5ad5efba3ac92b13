/* say.h - the helper's own words, into RUN_DIR/helper.log (its standard error). Few by nature. */
#ifndef RUC_RE_SAY_H
#define RUC_RE_SAY_H

#include <stdbool.h>

/* One line with a time in front. */
void ruc_re_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, once for each place in the code: for what may happen with every byte of output. */
#define ruc_re_say_once(...)                                                                       \
    do {                                                                                           \
        static bool said_;                                                                         \
        if (!said_) {                                                                              \
            said_ = true;                                                                          \
            ruc_re_say(__VA_ARGS__);                                                               \
        }                                                                                          \
    } while (0)

#endif
