/*
 * move.h: the subcommands of restante-move. argv[0] is the subcommand's name; what each
 * returns is the exit status.
 */
#ifndef MOVE_MOVE_H
#define MOVE_MOVE_H

int move_import_main(int argc, char **argv);
int move_check_main(int argc, char **argv);

#endif
