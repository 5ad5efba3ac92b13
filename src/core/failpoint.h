/* failpoint.h - places where a test may make us fail: at each write of the store, each start of a
 * process and each message of the RPC. Only in builds with -DRUCAT_TESTING=ON; elsewhere a fail
 * point is the constant 0 and nothing of it is in the program.
 *
 * The environment variable FAILPOINTS (not RUCAT_...: it is no key of the configuration) says what
 * happens where:
 *
 *     FAILPOINTS="store.commit.before=crash@3;rpc.call=delay:50;re.*=crash~200"
 *
 *     NAME      a point, or the beginning of names and a star
 *     crash     SIGKILL to this process, stop: SIGSTOP
 *     error     the point gives -EIO, error:28 the negative of that errno
 *     delay:MS  sleeps
 *     @N        only when it is passed for the Nth time (all that the name stands for count)
 *     ~N        with a chance of one in N; FAILPOINTS_SEED and the pid begin the row of numbers
 *
 * The server hands FAILPOINTS_ENGINE on to each rucat-engine as its FAILPOINTS. */
#ifndef RUC_CORE_FAILPOINT_H
#define RUC_CORE_FAILPOINT_H

#ifdef RUC_TESTING
/* 0, or the negative errno that the environment asks for here. Any thread. */
int ruc_failpoint(const char *name);
#else
static inline int ruc_failpoint(const char *name)
{
    (void)name;
    return 0;
}
#endif

/* The value may be left alone where an error has no meaning. */
#define RUC_FAILPOINT(name) ruc_failpoint(name)

#endif
