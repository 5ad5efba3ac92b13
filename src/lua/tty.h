/* tty.h - what prim_tty.c tells the program that runs a tool. */
#ifndef RUC_LUA_TTY_H
#define RUC_LUA_TTY_H

/* The signal that has ended the tool's job (rucat.tty.interruptible), or 0. */
int ruc_tty_interrupted(void);

#endif
