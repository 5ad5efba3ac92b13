/* cas.c - durable compare-and-swap writes through the store room, as bench/run.sh counts them.
 *
 *   bench_cas DIRECTORY|URL WRITERS SECONDS EVENTS
 *
 * With a URL (http://...) the store is the SurrealDB there: a database of this run's own in
 * namespace "bench", user root, password in BENCH_PASSWORD ("root").
 *
 * WRITERS writers own a record each and change it as soon as their last change is acknowledged
 * (committed, synchronous=FULL), with EVENTS events (0 or 1) in the same transaction. Prints:
 * writes_per_second p50_us p99_us. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/id.h"
#include "store/store.h"

#define SAMPLES 4000000u

typedef struct writer {
    char id[27], name[32];
    uint64_t rev, began;
} writer_t;

static uv_loop_t loop;
static ruc_store_t *store;
static char doc[600], event_doc[240];
static int events, busy;
static size_t count;
static uint32_t *took;
static uint64_t stop_at;

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "bench_cas: %s: %s\n", what, ruc_err_text(rc));
        exit(1);
    }
}

static void next(writer_t *writer);

static void on_written(void *arg, int rc)
{
    writer_t *writer = arg;
    must(rc, "write");
    uint64_t now = ruc_clock_mono_ns();
    if (writer->rev > 1 && count < SAMPLES) {
        took[count++] = (uint32_t)((now - writer->began) / 1000);
    }
    busy--;
    if (now < stop_at) {
        next(writer);
    }
}

static ruc_store_row_t row_of(const writer_t *writer)
{
    return (ruc_store_row_t){.id = writer->id,
                             .name = writer->name,
                             .rev = writer->rev,
                             .state = writer->rev % 2 ? "Running" : "Pending",
                             .desired = "Running",
                             .type = "spark",
                             .platform = "local",
                             .owner = "anonymous",
                             .due_ms = ruc_clock_wall_ms(),
                             .doc = doc,
                             .doc_len = strlen(doc)};
}

static void next(writer_t *writer)
{
    char id[27];
    ruc_id_ulid(id);
    ruc_store_event_t event = {.id = id,
                               .engine = writer->id,
                               .at_ms = ruc_clock_wall_ms(),
                               .kind = "state",
                               .doc = event_doc,
                               .doc_len = strlen(event_doc)};
    uint64_t expected = writer->rev++;
    ruc_store_row_t row = row_of(writer);
    writer->began = ruc_clock_mono_ns();
    busy++;
    must(ruc_store_update(store, &row, expected, &event, (size_t)events, on_written, writer),
         "update");
}

static void wait_all(void)
{
    while (busy > 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void on_closed(void *arg, int rc)
{
    (void)arg;
    must(rc, "close");
    busy--;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "bench_cas DIRECTORY|URL WRITERS SECONDS EVENTS\n");
        return 2;
    }
    char path[512];
    int writers = atoi(argv[2]);
    double seconds = atof(argv[3]);
    events = atoi(argv[4]) > 0;
    ruc_why_t why = {""};
    snprintf(path, sizeof path, "%s/bench-%d.db", argv[1], (int)getpid());
    snprintf(doc, sizeof doc, "{\"name\":\"bench\",\"labels\":{},\"pad\":\"%0500d\"}", 0);
    snprintf(event_doc, sizeof event_doc, "{\"kind\":\"state\",\"pad\":\"%0180d\"}", 0);
    writer_t *all = calloc((size_t)writers, sizeof *all);
    took = calloc(SAMPLES, sizeof *took);
    must(all == NULL || took == NULL ? UV_ENOMEM : uv_loop_init(&loop), "memory");
    bool surreal = strncmp(argv[1], "http", 4) == 0;
    const char *password = getenv("BENCH_PASSWORD");
    ruc_store_config_t config = {.kind = surreal ? "surreal" : "sqlite",
                                 .path = path,
                                 .url = argv[1],
                                 .name_space = "bench",
                                 .database = path + strlen(argv[1]) + 1,
                                 .user = "root",
                                 .password = password ? password : "root",
                                 .connect_ms = 10000};
    if (ruc_store_open(&loop, &config, &store, &why) < 0) {
        fprintf(stderr, "bench_cas: %s\n", why.text);
        return 1;
    }
    for (int i = 0; i < writers; i++) {
        ruc_id_ulid(all[i].id);
        snprintf(all[i].name, sizeof all[i].name, "w%d", i);
        all[i].rev = 1;
        ruc_store_row_t row = row_of(&all[i]);
        busy++;
        must(ruc_store_create(store, &row, NULL, 0, on_written, &all[i]), "create");
    }
    wait_all();
    count = 0;
    uint64_t start = ruc_clock_mono_ns();
    stop_at = start + (uint64_t)(seconds * 1e9);
    for (int i = 0; i < writers; i++) {
        next(&all[i]);
    }
    wait_all();
    double spent = (double)(ruc_clock_mono_ns() - start) / 1e9;
    qsort(took, count, sizeof *took, by_value);
    printf("%.0f %u %u\n", (double)count / spent, took[count / 2], took[count * 99 / 100]);
    busy = 1;
    must(ruc_store_close(store, on_closed, NULL), "close");
    wait_all();
    uv_loop_close(&loop);
    unlink(path);
    for (const char *const *tail = (const char *const[]){"-wal", "-shm", NULL}; *tail; tail++) {
        char side[544];
        snprintf(side, sizeof side, "%s%s", path, *tail);
        unlink(side);
    }
    free(all);
    free(took);
    return 0;
}
