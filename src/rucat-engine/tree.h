/* tree.h - the helper's children: all that the driver left behind comes to the subreaper. */
#ifndef RUC_RE_TREE_H
#define RUC_RE_TREE_H

/* Sends SIGKILL to every child of this process; how many there were. They cannot be mixed up with
 * others: nobody but this thread reaps them. */
int ruc_re_tree_kill_children(void);

#endif
