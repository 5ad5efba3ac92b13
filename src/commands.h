/* commands.h - the commands of `rucat` that are C. Each returns the exit code. */
#ifndef RUC_COMMANDS_H
#define RUC_COMMANDS_H

#include "setup.h"

/* rucat serve: until a signal ends it. */
int ruc_cmd_serve(const ruc_flags_t *flags);

/* rucat check: 0 when everything loads, 1 with a line for each thing that is wrong. */
int ruc_cmd_check(const ruc_flags_t *flags);

/* rucat run SCRIPT ARGS...: argv[0] is the script. */
int ruc_cmd_run(int argc, char **argv);

/* rucat console: the client of the admin socket; argv[0] is "console". */
int ruc_cmd_console(int argc, char **argv);

/* rucat store copy: from one store to another; argv[0] is "store". */
int ruc_cmd_store(int argc, char **argv);

/* The commands of the client (lua/rucat/cli.lua): argv[0] is the command. */
int ruc_cmd_client(int argc, char **argv);

#endif
