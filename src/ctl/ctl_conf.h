/*
 * ctl_conf.h: the configuration, as `restante conf` shows it.
 */
#ifndef CTL_CONF_H
#define CTL_CONF_H

#include "conf/conf.h"

#define CTL_CONF_FILE RESTANTE_SYSCONFDIR "/restante.conf"

/*
 * The configuration of that file; NULL stands for CTL_CONF_FILE. *ret is the caller's,
 * conf_free. 0, or an exit status after all errors were told on stderr.
 */
[[nodiscard]] int ctl_conf_load(const char *file, struct conf **ret);
/* Prints the value in force of NAME, or of LISTENER.NAME. 0 or an exit status. */
[[nodiscard]] int ctl_conf_get(const struct conf *c, const char *name);
/* Prints every option with its value, as a file would have it. */
[[nodiscard]] int ctl_conf_list(const struct conf *c);

#endif
