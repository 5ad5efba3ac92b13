/* clock.c - see clock.h. */
#include "core/clock.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/check.h"
#include "core/err.h"

#define TEN_YEARS_MS (3650.0 * 86400.0 * 1000.0)

int64_t ruc_clock_wall_ms(void)
{
    struct timespec now;
    RUC_MUST(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t ruc_clock_mono_ns(void)
{
    struct timespec now;
    RUC_MUST(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t ruc_clock_mono_ms(void)
{
    return ruc_clock_mono_ns() / 1000000u;
}

/* Writes a number backwards from its last digit; what stands before it is 0 already. */
static void put_digits(char *last, int number)
{
    for (; number > 0; number /= 10) {
        *last-- = (char)('0' + number % 10);
    }
}

const char *ruc_clock_rfc3339(int64_t wall_ms, char out[RUC_RFC3339_SIZE])
{
    const int64_t first = -62167219200000, last = 253402300799999; /* years 0000 and 9999 */
    wall_ms = wall_ms < first ? first : wall_ms > last ? last : wall_ms;
    int64_t ms = wall_ms % 1000;
    time_t seconds = (time_t)(wall_ms / 1000);
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    struct tm utc;
    RUC_MUST(gmtime_r(&seconds, &utc) != NULL);
    memcpy(out, "0000-00-00T00:00:00.000Z", RUC_RFC3339_SIZE);
    put_digits(out + 3, utc.tm_year + 1900);
    put_digits(out + 6, utc.tm_mon + 1);
    put_digits(out + 9, utc.tm_mday);
    put_digits(out + 12, utc.tm_hour);
    put_digits(out + 15, utc.tm_min);
    put_digits(out + 18, utc.tm_sec);
    put_digits(out + 22, (int)ms);
    return out;
}

int ruc_clock_parse(const char *text, int64_t *wall_ms)
{
    struct tm utc = {0};
    int ms = 0, used = 0;
    int got = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &utc.tm_year, &utc.tm_mon,
                     &utc.tm_mday, &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &ms, &used);
    if (got != 7 || used != RUC_RFC3339_SIZE - 1 || text[used] != '\0') {
        return RUC_EINVALID;
    }
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    *wall_ms = (int64_t)timegm(&utc) * 1000 + ms;
    return 0;
}

/* Milliseconds in a unit; 0 for one that is not known. */
static double unit_ms(const char *unit)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(unit, units[i].name) == 0) {
            return units[i].ms;
        }
    }
    return 0;
}

int ruc_clock_duration(const char *text, int64_t *ms)
{
    /* strtod alone would also take "inf", "0x10", " 1" and "1e3". */
    if (!isdigit((unsigned char)text[0])) {
        return RUC_EINVALID;
    }
    size_t digits = strspn(text, "0123456789.");
    char number[32];
    if (digits >= sizeof number || strchr(text, '.') != strrchr(text, '.')) {
        return RUC_EINVALID;
    }
    memcpy(number, text, digits);
    number[digits] = '\0';
    double value = strtod(number, NULL) * unit_ms(text + digits);
    if (unit_ms(text + digits) == 0 || value > TEN_YEARS_MS) {
        return RUC_EINVALID;
    }
    *ms = (int64_t)llround(value);
    return 0;
}
