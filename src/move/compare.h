/*
 * compare.h: restante compare OLD NEW --users FILE: would a client notice the move?
 */
#ifndef MOVE_COMPARE_H
#define MOVE_COMPARE_H

/* argv[0] is "compare". An exit status of sysexits(3): 0 all are safe, 65 some are not.
 */
int move_compare_main(int argc, char **argv);

#endif
