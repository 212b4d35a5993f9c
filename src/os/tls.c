#include "os/tls.h"
