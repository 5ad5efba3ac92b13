/* utf8.c - see utf8.h. The ranges are the table in RFC 3629, section 4. */
#include "core/utf8.h"

size_t ruc_utf8_length(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return 1;
    }
    size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len < want) {
        return 0;
    }
    unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < want; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return want;
}

bool ruc_utf8_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t wide = ruc_utf8_length(text + i, len - i);
        if (wide == 0) {
            return false;
        }
        i += wide;
    }
    return true;
}
