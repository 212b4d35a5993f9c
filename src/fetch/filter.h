/*
 * filter.h: a program of the user's that sees the header (TOP n 0) on its standard input
 * and decides by its exit status: 0 fetch, 100 never fetch, 101 delete unseen, else
 * later.
 */
#ifndef FETCH_FILTER_H
#define FETCH_FILTER_H

#include "fetch/plan.h"

/* Blocking, on a delivery thread; any fault of the program is FILTER_LATER. */
enum filter_verdict filter_ask(const struct fetch_account *a, struct view header);

#endif
