/* surreal_order.c - who waits for whom among the calls to SurrealDB (the rules are told in
 * surreal.c).
 *
 * A chain is all tasks of one id or one name, each waiting for the one before it. A gate is a list
 * of tasks, and others that wait until all who stood in it before them have left. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/check.h"
#include "store/surreal_task.h"

void ruc__task_fifo_init(fifo_t *fifo)
{
    fifo->head = NULL;
    fifo->tail = &fifo->head;
}

void ruc__task_fifo_push(fifo_t *fifo, task_t *task)
{
    task->link = NULL;
    *fifo->tail = task;
    fifo->tail = &task->link;
}

task_t *ruc__task_fifo_pop(fifo_t *fifo)
{
    task_t *task = fifo->head;
    if (task) {
        fifo->head = task->link;
        if (!fifo->head) {
            fifo->tail = &fifo->head;
        }
    }
    return task;
}

/* ---- who waits for whom ---- */

static void one_less(task_t *task)
{
    RUC_MUST(task->waits > 0);
    if (--task->waits == 0) {
        ruc__task_fifo_push(&task->backend->ready, task);
    }
}

static void join_gate(task_t *task, gate_id_t id)
{
    gate_t *gate = &task->backend->gates[id];
    task->member[id] = true;
    DL_APPEND2(gate->members, task, in[id].prev, in[id].next);
}

static void wait_at(task_t *task, gate_id_t id)
{
    gate_t *gate = &task->backend->gates[id];
    if (gate->members) {
        task->waits++;
        ruc__task_fifo_push(&gate->waiters, task);
    }
}

static void leave_gate(task_t *task, gate_id_t id)
{
    gate_t *gate = &task->backend->gates[id];
    DL_DELETE2(gate->members, task, in[id].prev, in[id].next);
    while (gate->waiters.head &&
           (!gate->members || gate->members->seq >= gate->waiters.head->seq)) {
        one_less(ruc__task_fifo_pop(&gate->waiters));
    }
}

/* Puts a task at the end of the chain of `kind` and `name`. False without memory. */
static bool join_chain(task_t *task, int at, char kind, const char *name)
{
    backend_t *backend = task->backend;
    size_t len = strlen(name);
    chain_t *fresh = calloc(1, sizeof *fresh + len + 2), *chain = NULL;
    if (!fresh) {
        return false;
    }
    fresh->key[0] = kind;
    memcpy(fresh->key + 1, name, len + 1);
    HASH_FIND(hh, backend->chains, fresh->key, len + 1, chain);
    if (chain) {
        free(fresh);
        task_t *before = chain->last;
        before->links[before->links[0].chain == chain ? 0 : 1].after = task;
        task->waits++;
    } else {
        chain = fresh;
        HASH_ADD(hh, backend->chains, key[0], len + 1, chain);
        if (!chain->hh.tbl) {
            free(chain);
            return false;
        }
    }
    chain->last = task;
    task->links[at].chain = chain;
    return true;
}

static void leave_chains(task_t *task)
{
    for (int at = 0; at < 2; at++) {
        chain_t *chain = task->links[at].chain;
        if (!chain) {
            continue;
        }
        if (task->links[at].after) {
            one_less(task->links[at].after);
        } else {
            RUC_MUST(chain->last == task);
            HASH_DEL(task->backend->chains, chain);
            free(chain);
        }
        task->links[at].chain = NULL;
    }
}

/* Before it joins a gate itself, it waits for those who were there before it. */
bool ruc__task_order(task_t *task)
{
    const ruc__store_op_t *op = task->op;
    switch (op->kind) {
    case RUC_OP_CREATE:
        wait_at(task, GATE_REMOVALS);
        join_gate(task, GATE_CHANGES);
        return join_chain(task, 0, 'i', op->row.id) && join_chain(task, 1, 'n', op->row.name);
    case RUC_OP_UPDATE:
        join_gate(task, GATE_CHANGES);
        return join_chain(task, 0, 'i', op->row.id);
    case RUC_OP_REMOVE:
        wait_at(task, GATE_BEATS);
        join_gate(task, GATE_CHANGES);
        join_gate(task, GATE_REMOVALS);
        return join_chain(task, 0, 'i', op->key);
    case RUC_OP_APPEND:
        join_gate(task, GATE_CHANGES);
        return true;
    case RUC_OP_BEATS:
        wait_at(task, GATE_CHANGES);
        join_gate(task, GATE_CHANGES);
        join_gate(task, GATE_BEATS);
        return true;
    case RUC_OP_GET:
        return join_chain(task, 0, 'i', op->key);
    case RUC_OP_PROBE:
    case RUC_OP_CHANGES:
    case RUC_OP_RENEW:
    case RUC_OP_LEAVE:
        return true;
    default:
        wait_at(task, GATE_CHANGES);
        return true;
    }
}

void ruc__task_among_changes(task_t *task)
{
    join_gate(task, GATE_CHANGES);
}

void ruc__task_leave(task_t *task)
{
    for (int id = 0; id < GATES; id++) {
        if (task->member[id]) {
            leave_gate(task, (gate_id_t)id);
        }
    }
    leave_chains(task);
}
