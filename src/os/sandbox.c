#include "os/sandbox.h"
