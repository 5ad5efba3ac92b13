/* monitor.h - the monitor role: the system's state, in which lua/rucat/monitor.lua reconciles, and
 * what wakes it (changes of records, news of drivers, the agenda's time). */
#ifndef RUC_LUA_MONITOR_H
#define RUC_LUA_MONITOR_H

#include "lua/app.h"
#include "lua/job.h"

/* Opens the system's state with the shipped library and starts reconciling all engines of the
 * table. 0 or a negative code with `why`. */
int ruc_monitor_open(ruc_app_t *app, ruc_why_t *why);

/* Makes the fleet and the agenda of the app (before ruc_monitor_open). */
int ruc_monitor_prepare(ruc_app_t *app, ruc_why_t *why);

/* To be `changed` of the app's feed: engines are looked at only while what is known of them is as
 * the store has it. */
void ruc_monitor_fresh(void *arg, bool fresh);

/* The job of that ticket waits for the next engine; one at a time. */
void ruc_monitor_wait(ruc_ticket_t ticket);

/* Who is on the store has changed, or whether we may decide: everything is looked at. */
void ruc_monitor_replicas_changed(ruc_app_t *app);

/* No more reconciling. */
void ruc_monitor_close(ruc_app_t *app);

#endif
