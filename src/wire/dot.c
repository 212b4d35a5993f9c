#include "pop3/dot.h"
