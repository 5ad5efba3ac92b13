/* id.c - see id.h. ULID layout: https://github.com/ulid/spec (binary layout and byte order). */
#include "core/id.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "core/check.h"
#include "core/clock.h"

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

void ruc_id_random(void *out, size_t len)
{
    unsigned char *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        RUC_MUST(got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

/* Raises the 80 random bits by one; true on overflow. */
static bool raise_by_one(unsigned char bits[10])
{
    for (int i = 9; i >= 0; i--) {
        if (++bits[i] != 0) {
            return false;
        }
    }
    return true;
}

static uint64_t last_ms;  /* of the newest one */
static int64_t offset_ms; /* of the clock they are made on, against ours */

void ruc_id_set_offset(int64_t ms)
{
    offset_ms = ms;
}

const char *ruc_id_ulid(char out[RUC_ULID_SIZE])
{
    static unsigned char bits[10];
    uint64_t now = (uint64_t)(ruc_clock_wall_ms() + offset_ms);
    if (now > last_ms) {
        last_ms = now;
        ruc_id_random(bits, sizeof bits);
    } else if (raise_by_one(bits)) {
        last_ms++;
    }
    for (int i = 9; i >= 0; i--) {
        out[i] = alphabet[(last_ms >> (5 * (9 - i))) & 31];
    }
    for (int group = 0; group < 2; group++) { /* 5 bytes are 8 characters */
        uint64_t value = 0;
        for (int i = 0; i < 5; i++) {
            value = value << 8 | bits[group * 5 + i];
        }
        for (int i = 7; i >= 0; i--) {
            out[10 + group * 8 + i] = alphabet[value & 31];
            value >>= 5;
        }
    }
    out[26] = '\0';
    return out;
}

void ruc_id_after(const char *ulid)
{
    uint64_t next = ruc_id_is_ulid(ulid) ? (uint64_t)ruc_id_time_ms(ulid) + 1 : 0;
    if (next > last_ms) {
        last_ms = next;
    }
}

int64_t ruc_id_newest_ms(void)
{
    return (int64_t)last_ms;
}

int64_t ruc_id_time_ms(const char *ulid)
{
    int64_t ms = 0;
    for (int i = 0; i < 10; i++) {
        ms = ms * 32 + (strchr(alphabet, ulid[i]) - alphabet);
    }
    return ms;
}

bool ruc_id_is_ulid(const char *text)
{
    return strlen(text) == 26 && strspn(text, alphabet) == 26 && text[0] <= '7';
}

const char *ruc_id_uuid(char out[RUC_UUID_SIZE])
{
    unsigned char b[16];
    ruc_id_random(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, RUC_UUID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
    return out;
}
