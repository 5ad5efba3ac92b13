/* signame.c - see signame.h. */
#include "proc/signame.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define STOP_SIGNALS(XX)                                                                           \
    XX(TERM) XX(INT) XX(HUP) XX(QUIT) XX(ABRT) XX(USR1) XX(USR2) XX(WINCH) XX(KILL)

int ruc_proc_stop_signal(const char *name)
{
    if (strncmp(name, "SIG", 3) == 0) {
        name += 3;
    }
#define XX(each)                                                                                   \
    if (strcmp(name, #each) == 0) {                                                                \
        return SIG##each;                                                                          \
    }
    STOP_SIGNALS(XX)
#undef XX
    return -1;
}

const char *ruc_proc_signal_name(int signal, char out[RUC_SIGNAME_SIZE])
{
    const char *name = sigabbrev_np(signal);
    if (name != NULL) {
        snprintf(out, RUC_SIGNAME_SIZE, "SIG%s", name);
    } else if (signal >= SIGRTMIN && signal <= SIGRTMAX) {
        snprintf(out, RUC_SIGNAME_SIZE, "SIGRTMIN+%d", signal - SIGRTMIN);
    } else {
        snprintf(out, RUC_SIGNAME_SIZE, "SIG%d", signal);
    }
    return out;
}
