#include "os/loop.h"
