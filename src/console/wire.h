/* wire.h - what a console and its server say to each other: frames as in core/frame.h (4 bytes
 * length, 1 byte version, JSON), with a larger bound, and with a way past a frame that is too
 * large.
 *
 *   client   {"type":"eval","id":1,"code":"...","name":"=console","columns":80}
 *            {"type":"complete","id":2,"text":"the line up to the cursor"}
 *            {"type":"cancel"}           the line that runs, and what is followed
 *   server   {"type":"hello","version":"...","pid":1,"mode":"local","number":3}
 *            {"type":"out","text":"..."}        what `print` wrote
 *            {"type":"push","text":"..."}       a line of something that is followed
 *            {"type":"result","id":1,"ok":true,"text":"..."}      or "ok":false with the error,
 *                                                 or "incomplete":true: the code goes on
 *            {"type":"words","id":2,"from":4,"words":["..."]}   replace the text from there on
 *            {"type":"error","text":"..."}      what was received made no sense
 *            {"type":"bye","text":"..."}        the last one: the server ends this console
 */
#ifndef RUC_CONSOLE_WIRE_H
#define RUC_CONSOLE_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

#define RUC_WIRE_LINE ((size_t)1 << 20)   /* bytes of code in one eval */
#define RUC_WIRE_FRAME ((size_t)4 << 20)  /* bytes of a frame: a line may double as JSON */
#define RUC_WIRE_SKIP ((size_t)256 << 20) /* a frame beyond that is not passed over */
#define RUC_WIRE_FEED ((size_t)65536)     /* the most that is fed at once */
#define RUC_WIRE_VERSION 1

typedef struct ruc_wire {
    ruc_buf_t in;
    size_t done; /* bytes of `in` that were given out */
    size_t skip; /* bytes still to come of a frame that is too large */
} ruc_wire_t;

void ruc_wire_init(ruc_wire_t *wire);
void ruc_wire_free(ruc_wire_t *wire);

/* Takes up to RUC_WIRE_FEED bytes; ruc_wire_next is then to be called until it returns 0. 0,
 * RUC_ETOOBIG (fed without draining) or UV_ENOMEM. */
int ruc_wire_feed(ruc_wire_t *wire, const char *data, size_t len);

/* The next whole body, valid until the next feed. 1: there is one; 0: more bytes are needed;
 * RUC_ETOOBIG: a frame is too large, it is passed over; RUC_EPROTO: this is not our framing. */
int ruc_wire_next(ruc_wire_t *wire, const char **body, size_t *len);

/* Begins a frame at the end of `out` and ends it (its length is then known). `at` is what begin
 * returned. Codes of ruc_buf_add; end: RUC_ETOOBIG. */
int ruc_wire_begin(ruc_buf_t *out, size_t *at);
int ruc_wire_end(ruc_buf_t *out, size_t at);

#endif
