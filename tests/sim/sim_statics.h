/*
 * sim_statics.h: what a program keeps outside its values: where its log and its counters
 * are. Each process has its own.
 */
#ifndef SIM_STATICS_H
#define SIM_STATICS_H

struct proc;
void statics_fresh(struct proc *p);
void statics_load(const struct proc *p);
void statics_save(struct proc *p);

#endif
