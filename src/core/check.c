/* check.c - what happens when an assertion does not hold. Uses nothing but write(2), as it runs
 * when other things are broken. */
#include "core/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void ruc_check_report(const char *file, int line, const char *cond)
{
    char text[512];
    int length = snprintf(text, sizeof text, "rucat: %s:%d: does not hold: %s\n", file, line, cond);
    if (length > 0) {
        size_t size = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
        ssize_t written = write(STDERR_FILENO, text, size);
        (void)written; /* nowhere left to complain */
    }
}

void ruc_check_abort(const char *file, int line, const char *cond)
{
    ruc_check_report(file, line, cond);
    abort();
}
