/*
 * torture_steps.h: plays the steps of a row on the trial's own connection.
 */
#ifndef TORTURE_STEPS_H
#define TORTURE_STEPS_H

#include "torture/torture_trial.h"

[[nodiscard]] bool trial_play(struct trial *t, const struct step *steps);

#endif
