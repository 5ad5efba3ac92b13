/* frame.h - how the server and rucat-engine cut their conversation into messages.
 *
 *   4 bytes   length of what follows, big-endian, 1 to RUC_FRAME_MAX
 *   1 byte    version, RUC_FRAME_VERSION
 *   the rest  a body (JSON; not looked at here)
 *
 * A reader is fed bytes as they come and gives whole bodies. No libuv, no I/O. */
#ifndef RUC_CORE_FRAME_H
#define RUC_CORE_FRAME_H

#include <stddef.h>

#include "core/buf.h"

#define RUC_FRAME_MAX ((size_t)65536) /* the length field: version and body */
#define RUC_FRAME_VERSION 1
#define RUC_FRAME_HEAD ((size_t)5)

/* The most that may be fed between two drains of ruc_frame_next. */
#define RUC_FRAME_FEED ((size_t)65536)

typedef struct ruc_frame_reader {
    ruc_buf_t in;
    size_t done; /* bytes of `in` that were given out already */
} ruc_frame_reader_t;

/* Makes an empty reader; takes no memory until it is fed. */
void ruc_frame_reader_init(ruc_frame_reader_t *reader);
void ruc_frame_reader_free(ruc_frame_reader_t *reader);

/* Takes up to RUC_FRAME_FEED bytes; ruc_frame_next is then to be called until it returns 0.
 * 0, RUC_ETOOBIG (fed without draining) or UV_ENOMEM. */
int ruc_frame_feed(ruc_frame_reader_t *reader, const void *data, size_t len);

/* The next whole body, valid until the next call with this reader; not terminated by a NUL.
 * 1: there is one; 0: more bytes are needed; RUC_EPROTO: this is not our framing (give up). */
int ruc_frame_next(ruc_frame_reader_t *reader, const char **body, size_t *len);

/* Appends a frame around `body`. 0, RUC_ETOOBIG (the frame's bound or the buffer's: the buffer is
 * then as it was) or UV_ENOMEM. */
int ruc_frame_write(ruc_buf_t *out, const void *body, size_t len);

#endif
