/* output.h - the driver's output: one pipe, read here, written to RUN_DIR/log, cut into lines.
 *
 * The driver is never stalled by the disk: what cannot be written is dropped and counted, and
 * writing goes on when there is room again. At log_max bytes the log becomes log.1 (one is kept)
 * and a new one begins. Lines are told to a listener without their colours, at most 8 KiB of
 * each. */
#ifndef RUC_RE_OUTPUT_H
#define RUC_RE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rucat-engine/loop.h"

#define RUC_RE_LINE_MAX 8192
#define RUC_RE_RECENT 4096
#define RUC_RE_TAIL 2048 /* bytes of the tail, without its NUL */

typedef struct ruc_re_output {
    ruc_re_loop_t *loop;
    ruc_re_source_t pipe;
    int log; /* -1: could not be opened; tried again at the next output */
    int64_t log_max;
    int64_t log_size;                                      /* of the current file */
    int64_t written, dropped;                              /* bytes, of all files */
    void (*line)(void *arg, const char *line, size_t len); /* NULL: nobody listens (any more) */
    void *arg;
    size_t line_len;
    size_t recent_len;
    char line_text[RUC_RE_LINE_MAX];
    char recent[RUC_RE_RECENT]; /* the last bytes, as they came */
} ruc_re_output_t;

/* Opens RUN_DIR/log (the working directory is RUN_DIR) and the pipe; `*write_end` is for the driver
 * and to be closed by the caller. 0 or a negative errno (the log alone is no error). */
int ruc_re_output_open(ruc_re_output_t *output, ruc_re_loop_t *loop, int64_t log_max,
                       int *write_end);

/* Takes what is still in the pipe, up to its end or until it is empty, and closes everything. */
void ruc_re_output_finish(ruc_re_output_t *output);

/* Writes the last whole lines of the output as valid UTF-8 without colours: at most RUC_RE_TAIL
 * bytes and a NUL. */
void ruc_re_output_tail(const ruc_re_output_t *output, char out[RUC_RE_TAIL + 1]);

#endif
