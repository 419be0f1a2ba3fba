/* The hardware's table of namespaces. */
#ifndef NVME_TABLE_H
#define NVME_TABLE_H

#include "nvme.h"

/* What I/O commands of that controller and namespace are about from now on. */
void table_write(unsigned controller, uint32_t nsid, const struct nvme_namespace *is);

#endif
