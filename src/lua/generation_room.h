/* generation_room.h - what generation.c (a whole generation) and generation_load.c (its files)
 * share. */
#ifndef RUC_LUA_GENERATION_ROOM_H
#define RUC_LUA_GENERATION_ROOM_H

#include "lua/generation.h"

/* Adds what is wrong to the report; at its bound it goes to the log only. */
void ruc__generation_error(ruc_load_report_t *report, const char *text);

/* Loads all files of the generation into its state. What is wrong is in the report. */
void ruc__generation_load(ruc_generation_t *generation, ruc_load_report_t *report);

/* "templates/spark_local.lua" -> "spark_local" */
void ruc__generation_base(const char *name, char out[128]);

#endif
