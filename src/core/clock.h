/* clock.h - the two clocks. Wall time is for display and records only; every delay, deadline and
 * back-off is measured on the monotonic clock. */
#ifndef RUC_CORE_CLOCK_H
#define RUC_CORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that ruc_clock_rfc3339 needs: "2026-11-23T01:02:03.456Z" and the NUL. */
#define RUC_RFC3339_SIZE 25

/* Milliseconds since 1970-01-01 UTC. */
int64_t ruc_clock_wall_ms(void);

/* Nanoseconds on CLOCK_BOOTTIME: monotonic, and goes on while the machine sleeps. */
uint64_t ruc_clock_mono_ns(void);

/* Milliseconds on the same clock. */
uint64_t ruc_clock_mono_ms(void);

/* Writes wall milliseconds as RFC 3339 in UTC with milliseconds; returns `out`. Years outside 0 to
 * 9999 are clamped, so that the text always has its 24 characters. */
const char *ruc_clock_rfc3339(int64_t wall_ms, char out[RUC_RFC3339_SIZE]);

/* Reads what ruc_clock_rfc3339 writes. 0 or RUC_EINVALID. */
int ruc_clock_parse(const char *text, int64_t *wall_ms);

/* Reads a duration: "10ms 30s 5m 2h 1d" (one number, one unit) or a plain number of seconds,
 * fractions allowed. The result is in milliseconds, at most 10 years. 0 or RUC_EINVALID. */
int ruc_clock_duration(const char *text, int64_t *ms);

#endif
