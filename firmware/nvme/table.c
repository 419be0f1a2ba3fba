#include "table.h"

#include "card_registers.h"
#include "hal/registers.h"
#include "nvme_layout.h"

static void write_word(unsigned controller, uint32_t nsid, unsigned word, uint32_t value)
{
    uint32_t at = NVME_RECORD_WORDS * (NVME_RECORDS * controller + nsid - 1) + word;
    register_write(CARD_STORAGE_NVME_ENGINE_NAMESPACES + 4 * at, value);
}

void table_write(unsigned controller, uint32_t nsid, const struct nvme_namespace *is)
{
    write_word(controller, nsid, NVME_RECORD_FLAGS, 0);
    if (!is->attached)
        return;
    write_word(controller, nsid, NVME_RECORD_BLOCKS, (uint32_t)is->blocks);
    write_word(controller, nsid, NVME_RECORD_BLOCKS + 1, (uint32_t)(is->blocks >> 32));
    write_word(
        controller, nsid, NVME_RECORD_FLAGS,
        NVME_RECORD_ACTIVE | (is->read_only ? NVME_RECORD_READ_ONLY : 0)
            | (is->shift == 12 ? NVME_RECORD_LARGE : 0)
            | (uint32_t)is->volume << NVME_RECORD_VOLUME_SHIFT
    );
}
