#include "ipc/log.h"
