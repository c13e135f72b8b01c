// All is inline in the header; a target needs a source, and this one shows that the header stands alone.
#include "CHostAtomics.h"
