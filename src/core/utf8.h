/* utf8.h - is this UTF-8? (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF) */
#ifndef RUC_CORE_UTF8_H
#define RUC_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length in bytes (1 to 4) of the character that starts at `text`, of which `len` bytes are there;
 * 0 when it is not valid UTF-8. */
size_t ruc_utf8_length(const char *text, size_t len);

/* True when all of it is valid. */
bool ruc_utf8_valid(const char *text, size_t len);

#endif
