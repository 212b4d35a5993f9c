/*
 * torture_cases.h: the tables of cases, in the order in which they are tried. Each ends
 * with a row without an id.
 */
#ifndef TORTURE_CASES_H
#define TORTURE_CASES_H

#include "torture/torture_trial.h"

extern const struct torture_case cases_words[], cases_states[], cases_numbers[],
	cases_capa[], cases_login[], cases_sasl[], cases_tls[], cases_records[],
	cases_lists[], cases_mail[], cases_marks[], cases_pipe[], cases_load[],
	cases_utf8[], cases_delete[];

#endif
