/* tree.h - what descends from the helper: the driver, and all that it left behind, which comes to
 * the subreaper. For where there is no cgroup that could be killed in one go, and beside it. */
#ifndef RUC_RE_TREE_H
#define RUC_RE_TREE_H

/* Sends SIGKILL to every child of this process; how many there were. They cannot be mixed up with
 * others: nobody but this thread reaps them. */
int ruc_re_tree_kill_children(void);

/* Looks at all processes once and sends SIGKILL to every living descendant, each through a pidfd
 * whose process was looked at again. How many lived. */
int ruc_re_tree_kill_all(void);

#endif
