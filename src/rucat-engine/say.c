/* say.c - see say.h. */
#include "rucat-engine/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"

void ruc_re_say(const char *format, ...)
{
    char text[1024];
    char when[RUC_RFC3339_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dprintf(STDERR_FILENO, "%s %s\n", ruc_clock_rfc3339(ruc_clock_wall_ms(), when), text);
}
