#include "os/sealed.h"
