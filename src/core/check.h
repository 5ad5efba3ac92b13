/* check.h - the three kinds of assertion. Plain assert() is not used in this project.
 *
 *   RUC_MUST(cond)    an invariant of our own code: writes file:line and aborts, in every build.
 *   RUC_FAILS(cond)   a thing that should not be, but that the caller can handle: logged once per
 *                     place, and the value is true when it happened. Never for network input.
 *   static_assert     whatever can be known at compile time.
 */
#ifndef RUC_CORE_CHECK_H
#define RUC_CORE_CHECK_H

#include <stdbool.h>

#define RUC_MUST(cond)                                                                             \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            ruc_check_abort(__FILE__, __LINE__, #cond);                                            \
        }                                                                                          \
    } while (0)

#define RUC_FAILS(cond)                                                                            \
    __extension__(__builtin_expect(!!(cond), 0) && ({                                              \
                      static bool told_;                                                           \
                      if (!told_) {                                                                \
                          told_ = true;                                                            \
                          ruc_check_report(__FILE__, __LINE__, #cond);                             \
                      }                                                                            \
                      true;                                                                        \
                  }))

/* Says what does not hold on standard error and aborts. Does not return. */
_Noreturn void ruc_check_abort(const char *file, int line, const char *cond);

/* Says it on standard error and goes on. */
void ruc_check_report(const char *file, int line, const char *cond);

#endif
