/* sim_program.h: the programs of Restante as processes of the simulation. */
#ifndef SIM_PROGRAM_H
#define SIM_PROGRAM_H

struct proc;

void program_monitor(void);
struct proc *program_fetch(void);
/* sim_sqlite.c: once, before the first retriever. */
void program_sqlite(void);

#endif
