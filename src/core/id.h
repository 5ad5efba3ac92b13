/* id.h - identifiers: ULIDs for engines, events and requests, UUIDs for driver instances.
 *
 * A ULID here is 26 characters of Crockford's base 32 in lower case: 48 bits of wall milliseconds,
 * then 80 random bits. Two made in the same millisecond by one process still sort in the order they
 * were made (the random part is raised by one), and a clock that steps back does not make them
 * sort backwards. */
#ifndef RUC_CORE_ID_H
#define RUC_CORE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUC_ULID_SIZE 27 /* with the NUL */
#define RUC_UUID_SIZE 37 /* with the NUL */

/* Writes a new ULID; returns `out`. Loop thread only (it keeps the last one). */
const char *ruc_id_ulid(char out[RUC_ULID_SIZE]);

/* Those made from now on sort behind this one, which an earlier process made: also when the clock
 * was set back in between. What is not a ULID is ignored. Loop thread only. */
void ruc_id_after(const char *ulid);

/* ULIDs are made on a clock that is `ms` ahead of ours (negative: behind) from now on: several
 * servers that share a store go by its clock, so that what they make sorts by time. Loop thread
 * only. */
void ruc_id_set_offset(int64_t ms);

/* Wall milliseconds of the newest ULID made or known here; 0: none. Ahead of the clock where that
 * was set back. Loop thread only. */
int64_t ruc_id_newest_ms(void);

/* Wall milliseconds that a ULID of ours carries. `ulid` must be one. */
int64_t ruc_id_time_ms(const char *ulid);

/* True when `text` has the shape of a ULID of ours. */
bool ruc_id_is_ulid(const char *text);

/* Writes a random (version 4) UUID, RFC 9562; returns `out`. Any thread. */
const char *ruc_id_uuid(char out[RUC_UUID_SIZE]);

/* Fills `out` with `len` bytes from the kernel's generator. */
void ruc_id_random(void *out, size_t len);

#endif
