/*
 * passport.h: restante passport export|verify|key: the list of a maildrop, to be held
 * against another one later.
 */
#ifndef MOVE_PASSPORT_H
#define MOVE_PASSPORT_H

/* argv[0] is "passport". An exit status of sysexits(3): of verify 0 where no client would
 * notice, 65 where one would, 76 where the passport itself cannot be believed; of export
 * 65 where it was written and lacks what the maildrop does not show. */
int move_passport_main(int argc, char **argv);

#endif
